"""What an action-chunk policy is made of."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from typing import Literal

from foresight.core.checkpoint import Header, TrainedOn
from foresight.core.errors import ForesightError
from foresight.core.files import late
from foresight.perception.preprocess import DEFAULT_FIT, Fit
from foresight.worldmodel.config import CameraInput

Head = Literal["l1", "flow", "cvae"]
Trunk = Literal["mlp", "transformer"]
Preset = Literal["small", "transformer", "source-head"]
READOUTS: dict[str, str] = {
    "small": "tubelet:grid=8,stride=0",
    "transformer": "tubelet:stride=0",
    "source-head": "last:grid=8,window=16",
}
"""What belongs to each preset: 64 or 16 tokens of a still picture, which asks for no steps in
between; 64 tokens of a clip of 16 frames."""


@dataclass(frozen=True)
class NetworkConfig:
    """Sizes of the network, what it is told and how it decides."""

    head: Head = "l1"
    """l1: one chunk, absolute error; flow: chunks from noise by flow matching; cvae: ACT's latent
    for the style of a demonstration, 0 when acting."""
    trunk: Trunk = "mlp"
    """mlp: all tokens side by side into residual layers, an update in a fortieth of the time;
    transformer: the actions attend to the tokens."""
    keypoints: int = 64
    """Points by which each picture is told: where something is, found alike in all of it (spatial
    softmax); 0 tells every patch."""
    convolution: int = 64
    """Channels of two small convolutions by which patches are described before points are looked
    for; 0 looks at the patches as they are."""
    chunk: int = 16
    """Actions that are decided at once."""
    width: int = 32
    """Channels of every token inside."""
    hidden: int = 512
    """Width of the mlp's residual layers."""
    encoder_layers: int = 1
    """Layers of a transformer in which the context attends to itself before actions look at it."""
    layers: int = 2
    """Residual layers; of a transformer those in which the actions attend to each other and to the
    context."""
    heads: int = 4
    """Attention heads of a transformer."""
    feedforward: int = 512
    """Width between the two products of a layer's network."""
    dropout: float = 0.1
    """Share of activations that are dropped in training."""
    state: bool = True
    """Tell the robot's own numbers, where there are any."""
    state_tokens: int = 1
    """Tokens that the robot's own numbers become."""
    state_history: int = 1
    """Steps of the robot's own numbers that are told, the present one included."""
    state_hidden: tuple[int, ...] = (128,)
    """Widths of the network over them."""
    task: bool = True
    """Tell which of the dataset's tasks is meant, where it has several."""
    goal: bool = False
    """Show the last picture of another demonstration of the same task."""
    tokens: Literal["standardise", "l2"] = "standardise"
    """standardise: around the mean of each place, unit variance of each channel; l2: unit norm."""
    latent: int = 32
    """Width of cvae's latent."""
    kl: float = 10.0
    """Weight of cvae's divergence from a standard normal."""
    flow_steps: int = 10
    """Euler steps from noise to actions."""
    blind: bool = False
    """Learn with visual tokens that are zero: what can be had without eyes."""

    def __post_init__(self) -> None:
        counts = (
            "chunk",
            "width",
            "hidden",
            "layers",
            "heads",
            "feedforward",
            "state_tokens",
            "latent",
        )
        for name in (*counts, "state_history", "flow_steps"):
            if getattr(self, name) < 1:
                raise ForesightError(f"{name} is {getattr(self, name)}: choose at least 1.")
        attends = self.trunk == "transformer" or self.head == "cvae"
        if self.width % 2 or (attends and self.width % self.heads):
            raise ForesightError(
                f"A width of {self.width} does not divide among {self.heads} heads: choose an even "
                "multiple."
            )
        least = min(self.encoder_layers, self.keypoints, self.convolution)
        if least < 0 or not 0 <= self.dropout < 1:
            raise ForesightError(
                f"{self.encoder_layers} layers of the context, {self.keypoints} points, "
                f"{self.convolution} channels and a dropout of {self.dropout} cannot be built: "
                "choose at least 0, and below 1."
            )


PRESETS: dict[str, NetworkConfig] = {
    "small": NetworkConfig(),
    "transformer": NetworkConfig(trunk="transformer", keypoints=0, width=128, layers=3),
    # 64 video, 64 goal and 4 proprioception tokens of one camera, 50 actions.
    "source-head": NetworkConfig(
        trunk="transformer",
        keypoints=0,
        chunk=50,
        width=512,
        encoder_layers=0,
        layers=4,
        heads=8,
        feedforward=2048,
        state_tokens=4,
        state_history=5,
        state_hidden=(128, 256),
        task=False,
        goal=True,
        tokens="l2",
    ),
}


def preset(name: Preset, changes: NetworkConfig) -> NetworkConfig:
    """A preset with every field of ``changes`` that is not at its default."""
    plain = NetworkConfig()
    wanted = {f.name: getattr(changes, f.name) for f in fields(plain)}
    return replace(PRESETS[name], **{k: v for k, v in wanted.items() if v != getattr(plain, k)})


@dataclass(frozen=True)
class ChunkConfig(TrainedOn):
    """Everything needed to build the policy again, and what it was trained on."""

    cameras: tuple[CameraInput, ...]
    actions: int
    """A."""
    states: int = 0
    """S, the robot's own numbers; 0 where it is not told them."""
    network: NetworkConfig = field(default_factory=NetworkConfig)
    binary: tuple[int, ...] = ()
    """Numbers of an action that take two values only: they are classified."""
    rotations: tuple[int, ...] = ()
    """Where an axis-angle triple begins in the state."""
    tasks: tuple[str, ...] = ()
    """Texts that the task token can stand for."""
    task_width: int = 0
    """Length of a text encoder's vectors; 0 learns an embedding."""
    goals: int = 0
    """Goals kept for each task."""
    goal_tasks: tuple[str, ...] = late(())
    """Texts of the tasks that goals are kept of, where the goal alone says which one is meant."""
    fit: Fit = DEFAULT_FIT

    @classmethod
    def from_header(cls, header: Header) -> ChunkConfig:
        """Read what `to_json` wrote; within `foresight.core.checkpoint.building`."""
        raw = header.config
        network = {**raw["network"], "state_hidden": tuple(raw["network"]["state_hidden"])}
        return cls.read(
            header,
            **{name: tuple(raw[name]) for name in ("binary", "rotations", "tasks")},
            goal_tasks=tuple(raw.get("goal_tasks", ())),
            cameras=tuple(CameraInput(**camera) for camera in raw["cameras"]),
            network=NetworkConfig(**network),
        )

"""What a world model is made of."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from foresight.core.checkpoint import Header, TrainedOn
from foresight.core.errors import ForesightError
from foresight.core.files import late
from foresight.worldmodel.dynamics.config import DynamicsConfig
from foresight.worldmodel.dynamics.simnorm import GROUP


@dataclass(frozen=True)
class CameraInput:
    """What one camera's pictures are, once they are encoded."""

    name: str
    """Of the camera."""
    patches: int
    """P, tokens of a picture; 1 where a picture is one feature vector."""
    dim: int
    """D, channels of a token, or the length of the feature vector."""


StateKind = Literal["raw", "standardise", "pca", "adapter"]


@dataclass(frozen=True)
class StateEncoderConfig:
    """How features, and the robot's own numbers, become a latent state z."""

    kind: StateKind = "standardise"
    """raw: the features themselves; standardise: zero mean and unit variance in every dimension;
    pca: projected on the leading principal axes and scaled to unit mean variance; adapter: a
    network over each patch and then over all of them, learned from reward, proprioception and an
    expert's actions, whose states are groups of 8 shares."""
    dim: int = 128
    """Z of `pca` and `adapter`; the other kinds keep the width of the stacked features."""
    history: int = 1
    """Steps that are stacked, the present one included; 2 or more lets z hold velocities."""
    stride: int = 1
    """Steps between stacked features."""
    n_components: int = 48
    """Numbers that `adapter` keeps of each token."""
    hidden: int = 512
    """Width of `adapter`."""
    normed: bool = late(False)
    """Normalise what `adapter` says before it becomes shares (LayerNorm, as in TD-MPC2), so that
    states are apart from the first update on; for an adapter that values shape."""
    proprio: bool = False
    """Join the robot's own numbers, normalised, to the features. Without, acting needs pictures
    alone."""
    joined: tuple[int, ...] = late(())
    """Which of the robot's numbers are joined, by place; all if none is named."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "joined", tuple(self.joined))  # a list in a file
        if self.joined and (min(self.joined) < 0 or len(set(self.joined)) < len(self.joined)):
            raise ForesightError(
                f"Joining the robot's numbers {list(self.joined)} is refused: give places from 0 "
                "on, each once."
            )
        if self.history < 1 or self.stride < 1 or self.n_components < 1 or self.hidden < 1:
            raise ForesightError(
                f"A state of {self.history} steps {self.stride} apart, {self.n_components} numbers "
                f"of a token and a width of {self.hidden} cannot be built: choose at least 1 each."
            )
        if self.kind == "adapter" and (self.dim % GROUP or self.dim < GROUP):
            raise ForesightError(
                f"A latent of {self.dim} dimensions does not divide into groups of {GROUP}: "
                f"choose a multiple of {GROUP}."
            )


@dataclass(frozen=True)
class HeadsConfig:
    """What is read off a latent state, beside the dynamics."""

    hidden: int = 256
    """Width of all heads."""
    reward: Literal["none", "mlp", "twohot"] = "twohot"
    """mlp: squared error; twohot: cross-entropy on bins, robust to the scale."""
    values: int = 2
    """Value networks Q(z, a), whose mean ends a plan; 0 for none."""
    prior: bool = True
    """An action prior, which proposes plans."""
    continuation: bool = False
    """Predict whether the episode goes on; plans count nothing after its end."""
    proprio: int = 0
    """Numbers of proprioception that are read off the state in training, a dense lesson in where
    things are; acting never needs them."""
    unbiased: bool = late(False)
    """Whether reward and values of two-hot bins are means of what they may be
    (`foresight.worldmodel.heads.scalar.TwoHot`)."""
    decoder: int = late(0)
    """Side of the pictures that are decoded from the state, to look at imagined futures; 0 for
    none. It is learned afterwards (`foresight imagine`)."""

    def __post_init__(self) -> None:
        if self.decoder and (self.decoder < 8 or self.decoder.bit_count() != 1):
            raise ForesightError(
                f"Pictures of side {self.decoder} cannot be decoded: choose 8, 16, 32, 64, … or 0 "
                "for none."
            )
        if self.hidden < 1 or self.values < 0 or self.values == 1 or self.proprio < 0:
            raise ForesightError(
                f"Heads of width {self.hidden} with {self.values} values and {self.proprio} "
                "numbers of proprioception cannot be built: choose at least 1, and 0 or at least "
                "2, and 0."
            )
        if self.values and not self.prior:
            raise ForesightError(
                f"{self.values} values need an action prior to be asked about: add the prior, or "
                "leave the values out."
            )


PREDICTION_ONLY = HeadsConfig(reward="mlp", values=0, prior=False)
"""A reward beside the dynamics, and nothing else."""


@dataclass(frozen=True)
class WorldModelConfig(TrainedOn):
    """Everything needed to build the networks again, and what they were trained on.

    Actions are in [-1, 1] everywhere inside a model.
    """

    task: str
    """Environment or task that it was trained on."""
    actions: int
    """A."""
    action_low: tuple[float, ...]
    """What -1 stands for, in the environment's units."""
    action_high: tuple[float, ...]
    """What 1 stands for."""
    cameras: tuple[CameraInput, ...]
    """In the order in which their features stand side by side."""
    state: StateEncoderConfig = field(default_factory=StateEncoderConfig)
    dynamics: DynamicsConfig = field(default_factory=DynamicsConfig)
    heads: HeadsConfig = PREDICTION_ONLY
    proprio: int = 0
    """Numbers of the robot's state, for a state encoder that joins them."""
    discount: float = 1.0
    """γ of one decision."""
    repeat: int = 1
    """Environment steps for which one decision is held."""
    rewards: tuple[float, float] | None = late(None)
    """Smallest and largest reward of a decision, which the bins of reward and values cover; 0 to
    `repeat` if not given."""
    steps: int = 0
    """Environment steps it has learned from."""
    trust: float | None = late(None)
    """The prior weight of a search that earned most when the agent tried several; None where it
    never did."""

    def __post_init__(self) -> None:
        if not self.actions == len(self.action_low) == len(self.action_high):
            raise ForesightError(
                f"A model of {self.actions} actions got {len(self.action_low)} lower and "
                f"{len(self.action_high)} upper bounds: give one for each."
            )
        if not self.cameras or self.repeat < 1:
            raise ForesightError(
                f"A model of {len(self.cameras)} cameras that holds actions for {self.repeat} "
                "steps cannot be built: choose at least 1 each."
            )
        if not (0 < self.discount < 1 or (self.discount == 1 and not self.heads.values)):
            raise ForesightError(
                f"A discount of {self.discount} is refused: choose one between 0 and 1."
            )
        if self.rewards is not None and not self.rewards[0] < self.rewards[1]:
            raise ForesightError(
                f"Rewards from {self.rewards[0]:g} to {self.rewards[1]:g} are no range: give the "
                "smallest and the largest."
            )
        if self.dynamics.kind == "simnorm" and self.state.kind != "adapter":
            raise ForesightError(
                f"simnorm dynamics move shares, which states of the kind {self.state.kind} are "
                "not: choose the state adapter, or other dynamics."
            )

    @classmethod
    def from_header(cls, header: Header) -> WorldModelConfig:
        """Read what `to_json` wrote; within `foresight.core.checkpoint.building`."""
        raw = header.config
        return cls.read(
            header,
            cameras=tuple(CameraInput(**camera) for camera in raw["cameras"]),
            state=StateEncoderConfig(**raw["state"]),
            dynamics=DynamicsConfig(**raw["dynamics"]),
            heads=HeadsConfig(**raw["heads"]),
            action_low=tuple(raw["action_low"]),
            action_high=tuple(raw["action_high"]),
            rewards=raw.get("rewards") and tuple(raw["rewards"]),
        )

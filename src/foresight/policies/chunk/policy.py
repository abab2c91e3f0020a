"""Acting by chunks: see, decide several actions, execute some of them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Float, Float32, UInt8
from torch import Tensor

from foresight.core.checkpoint import building, load_weights, read_header, save_checkpoint
from foresight.core.errors import ForesightError
from foresight.core.observation import Observation, pictures_of
from foresight.core.policy import Action, Policy
from foresight.core.spec import Spec
from foresight.core.thread_pool import run_alone, run_in_lanes
from foresight.perception.config import EncoderConfig
from foresight.perception.stream import FeatureStream
from foresight.policies.chunk.config import ChunkConfig
from foresight.policies.chunk.network import ChunkNetwork
from foresight.policies.mpc import expect_robot

TYPE = "chunk-policy"


@dataclass(frozen=True)
class ChunkActing:
    """How chunks become actions."""

    execute: int = 0
    """Actions of a chunk that are executed before the next one is decided; 0: half of them."""
    ensemble: float | None = None
    """Decide at every step and average what all chunks say of it, ACT's temporal ensembling: the
    weight of a chunk that is i decisions younger than the oldest is exp(-ensemble i); ACT: 0.01."""
    blind: bool = False
    """Act with visual tokens that are zero: what the policy does without eyes."""
    shuffle: bool = False
    """Give each camera the tokens of the next one, where they have equal sizes."""

    def __post_init__(self) -> None:
        if self.execute < 0 or (self.ensemble is not None and not np.isfinite(self.ensemble)):
            raise ForesightError(
                f"{self.execute} executed actions and an ensemble of {self.ensemble} cannot be: "
                "choose 0 or more, and a number."
            )


class ChunkPolicy(Policy):
    """A network that decides chunks, with its eyes, as a policy of one robot.

    Args:
        network: trained.
        acting: how its chunks become actions.
        device: where network and encoder run.

    Raises:
        ForesightError: the encoder cannot be loaded or is another than in training.
    """

    eyes_config: ClassVar[type[EncoderConfig]] = EncoderConfig
    """Makes encoder and readout of their names."""

    def __init__(
        self, network: ChunkNetwork, acting: ChunkActing | None = None, device: str = "cpu"
    ) -> None:
        self.network, self.acting = network.to(device).eval(), acting or ChunkActing()
        self.config, self.device = network.config, device
        self.network.blind = self.config.network.blind or self.acting.blind
        self.cameras = tuple(camera.name for camera in self.config.cameras)
        self._streams: list[FeatureStream] | None = None
        self._begin(0)

    @classmethod
    def load(
        cls, folder: Path | str, acting: ChunkActing | None = None, device: str = "cpu"
    ) -> ChunkPolicy:
        """Read a checkpoint folder.

        Raises:
            ForesightError: a file is missing or damaged, or of another type or size.
        """
        header = read_header(folder, TYPE)
        with building(header):
            network = ChunkNetwork(ChunkConfig.from_header(header))
        load_weights(network, folder)
        return cls(network, acting, device)

    def save(self, folder: Path | str) -> None:
        """Write ``config.json`` and ``model.safetensors``."""
        save_network(self.network, folder)

    @property
    def execute(self) -> int:
        """Actions between two decisions."""
        if self.acting.ensemble is not None:
            return 1
        chunk = self.config.network.chunk
        return min(chunk, self.acting.execute or max(1, chunk // 2))

    def reset(self, observation: Observation, seed: int) -> None:
        """Begin an episode; the seed decides noise and which goal is shown."""
        for stream in self._streams or ():
            stream.reset()
        self._begin(seed)

    def _begin(self, seed: int) -> None:
        self._generator = torch.Generator().manual_seed(seed)
        self._goal = seed
        self._own_goal: list[Float[Tensor, "1 P D"]] | None = None
        self._felt: list[Float[Tensor, " S"]] = []
        self._chunks: list[Float32[np.ndarray, "K A"]] = []
        self._queue: list[Action] = []

    def set_goal(self, images: dict[str, UInt8[np.ndarray, "H W 3"]]) -> None:
        """Show another goal than the demonstrations' until the next reset: a picture per camera.

        Raises:
            ForesightError: the policy was trained without goals, or a camera is missing.
        """
        if not self.config.network.goal:
            raise ForesightError(
                "This policy was trained without goal pictures: train with --chunk.network.goal."
            )
        frames = pictures_of([Observation(images)], self.cameras)
        streams = [FeatureStream(each.encoder, each.readout) for each in self.eyes()]
        self._own_goal = [
            self._tokens(i, stream.push(frames[name][0]))
            for i, (stream, name) in enumerate(zip(streams, frames, strict=True))
        ]

    def act(self, observation: Observation) -> Action:
        """The next action, within the robot's bounds."""
        if self.acting.ensemble is not None:
            newest = self.predict_action_chunk(observation)
            kept = [chunk[1:] for chunk in self._chunks if len(chunk) > 1]
            self._chunks = [*kept, newest]
            mixed = ensembled([chunk[0] for chunk in self._chunks], self.acting.ensemble)
            return self.network.normaliser.snapped(torch.from_numpy(mixed)).numpy()
        if self._queue:
            self.watch(observation)
        else:
            self._queue = list(self.predict_action_chunk(observation)[: self.execute])
        return self._queue.pop(0)

    @torch.inference_mode()
    def predict_action_chunk(
        self, observation: Observation, frozen: Float32[np.ndarray, "d A"] | None = None
    ) -> Float32[np.ndarray, "K A"]:
        """The next K actions, within the robot's bounds; each call is one step of an episode.

        Args:
            observation: of the present step.
            frozen: first actions that are decided already, because they are executed while this
                is computed; see `ChunkNetwork.predict`.

        Raises:
            ForesightError: a camera is missing, a state of another length, an unknown task.
        """
        batch = self.inputs(observation)
        known = None if frozen is None else torch.from_numpy(np.array(frozen, np.float32))[None]
        known = known if known is None else known.to(self.device)
        decided = run_alone(lambda: self.network.predict(batch, self._generator, known))
        chunk: np.ndarray = decided[0].cpu().numpy()
        spec = self.config.spec
        return chunk if spec is None else np.clip(chunk, spec.low, spec.high)

    def inputs(self, observation: Observation) -> dict[str, Tensor]:
        """What the network reads of one observation, a batch of one; a step of an episode.

        Raises:
            ForesightError: as `predict_action_chunk`.
        """
        config, net = self.config, self.config.network
        pictures = list(pictures_of([observation], self.cameras).values())
        streams = self.eyes()

        def look(camera: int) -> Float[np.ndarray, " F"]:
            return streams[camera].push(pictures[camera][0])

        # One core for each camera: operations of a small network, shared by cores, wait on them.
        several = len(streams) > 1
        features = (
            run_in_lanes(look, range(len(streams))) if several else [run_alone(lambda: look(0))]
        )
        if self.acting.shuffle:
            features = features[1:] + features[:1]
        batch = {f"tokens/{i}": self._tokens(i, each) for i, each in enumerate(features)}
        if config.states:
            self._feel(observation)
            past = self._felt[-net.state_history :]
            past = [past[0]] * (net.state_history - len(past)) + past
            batch["state"] = torch.stack(past)[None].to(self.device)
        if config.tasks:
            task = self._task(observation.task, config.tasks)
            batch["task"] = torch.tensor([task], device=self.device)
        if net.goal:
            goals = self._own_goal or self._stored_goal(observation.task)
            batch |= {f"goal/{i}": goal for i, goal in enumerate(goals)}
        return batch

    def _stored_goal(self, text: str | None) -> list[Float[Tensor, "1 P D"]]:
        """The last pictures of a demonstration of a task, which the episode's seed chooses."""
        known = self.config.tasks or self.config.goal_tasks
        task = self._task(text, known) if known else 0
        found = [self.network.get_buffer(f"goals_{i}")[task] for i in range(len(self.cameras))]
        return [stored[self._goal % len(stored)][None] for stored in found]

    def watch(self, observation: Observation) -> None:
        """A step on which nothing is decided: only what a later decision looks back on is kept."""
        streams = self.eyes()
        if streams[0].reach:
            pictures = pictures_of([observation], self.cameras).values()
            for stream, picture in zip(streams, pictures, strict=True):
                stream.skip(picture[0])
        if self.config.states:
            self._feel(observation)

    def _feel(self, observation: Observation) -> None:
        if len(observation.state) != self.config.states:
            raise ForesightError(
                f"The robot told {len(observation.state)} numbers of state and the policy was "
                f"trained on {self.config.states}: give the state of the dataset."
            )
        self._felt.append(torch.from_numpy(np.array(observation.state, np.float32)))
        del self._felt[: -self.config.network.state_history]

    def _task(self, text: str | None, tasks: tuple[str, ...]) -> int:
        if text not in tasks:
            raise ForesightError(
                f"The task {text!r} was not among those that the policy learned: choose one of "
                f"{', '.join(map(repr, tasks))}."
            )
        return tasks.index(text)

    def eyes(self) -> list[FeatureStream]:
        """One stream for each camera; the encoder is loaded when it is first needed."""
        if self._streams is None:
            config = self.config
            eyes = self.eyes_config(config.encoder, config.readout, self.device, config.fit)
            encoder, readout = eyes.load()
            config.expect_encoder(encoder.fingerprint, readout.fingerprint)
            self._streams = [FeatureStream(encoder, readout) for _ in self.cameras]
        return self._streams

    def _tokens(self, index: int, feature: Float[np.ndarray, " F"]) -> Float[Tensor, "1 P D"]:
        """As the cache keeps them: in half precision."""
        camera = self.config.cameras[index]
        found = torch.from_numpy(feature).half().view(1, camera.patches, camera.dim)
        return found.to(self.device)


def ensembled(actions: list[Action], rate: float) -> Action:
    """ACT's temporal ensemble: the mean of what several chunks say of one step, oldest first.

    Weights are exp(-rate i), i counted from the oldest (Zhao et al. 2023).
    """
    weights = np.exp(-rate * np.arange(len(actions)))
    return np.average(np.stack(actions), axis=0, weights=weights).astype(np.float32)


def save_network(network: ChunkNetwork, folder: Path | str) -> None:
    """Write a checkpoint that `ChunkPolicy.load` reads."""
    config = network.config
    save_checkpoint(folder, TYPE, config.to_json(), network, config.spec, config.fingerprints)


@dataclass(frozen=True)
class ChunkFactory:
    """Makes the policy of a checkpoint in whatever process it is to act; picklable."""

    kind: ClassVar[type[ChunkPolicy]] = ChunkPolicy
    checkpoint: str
    acting: ChunkActing = ChunkActing()
    device: str = "cpu"

    def __call__(self, spec: Spec) -> ChunkPolicy:
        """Load everything and compare the robots.

        Raises:
            ForesightError: the policy was made for another robot or rate, or is damaged.
        """
        policy = self.kind.load(self.checkpoint, self.acting, self.device)
        expect_robot(policy.config, spec, whose := f"The policy {self.checkpoint}")
        if policy.config.spec is not None:
            policy.config.spec.expect(spec, whose, "the environment", ("fps",))
        return policy

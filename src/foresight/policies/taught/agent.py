"""The agent that is shown one demonstration and then does it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from foresight.core.errors import ForesightError
from foresight.core.observation import Observation, pictures_of
from foresight.core.policy import Action, Policy
from foresight.core.spec import Spec
from foresight.perception.encoder import Encoder, load_encoder
from foresight.policies.mpc import expect_robot
from foresight.policies.taught.demonstration import Demonstration, Recorded, Shown, watch
from foresight.policies.taught.heads import TaughtHeads, load_heads
from foresight.policies.taught.planner import FOLLOWING, FollowConfig, Follower, propose
from foresight.policies.taught.progress import Progress
from foresight.worldmodel.model import WorldModel
from foresight.worldmodel.observation import ObservationEncoder

Way = Literal["plan", "inverse"]
STRANGE = 3.0
"""Pictures this many times as far from the data as its edge are of another scene."""


class TaughtAgent(Policy):
    """Sees, finds its place in the demonstration, decides every ``repeat`` steps and holds that.

    Args:
        model: what `foresight learn` learned.
        heads: trained on its states.
        encoder: its eyes.
        config: alignment and search.
        rate: steps of the environment in a second; that of the model's robot if not given.
        way: ``plan`` imagines and chooses, ``inverse`` asks the inverse model alone.

    Raises:
        ForesightError: other eyes than the model's.
    """

    def __init__(
        self,
        model: WorldModel,
        heads: TaughtHeads,
        encoder: Encoder,
        config: FollowConfig,
        way: Way = "inverse",
        rate: float | None = None,
    ) -> None:
        model.config.expect_encoder(encoder.fingerprint)
        self.model, self.heads, self.encoder = model, heads, encoder
        self.gaze = ObservationEncoder(encoder, model.state)
        self.follower = Follower(model, heads, config)
        self.way = way
        self.rate = rate or environment_rate(model)
        self.warnings: list[str] = []
        self.shown: Shown | None = None
        self.held = np.zeros(model.config.actions, np.float32)
        self.step = self.lost = 0

    def show(self, demonstration: Demonstration) -> Shown:
        """Take a demonstration; every later episode follows it until another is shown.

        ``warnings`` then says in a sentence each what makes it hard to follow.

        Raises:
            ForesightError: it is of another task, camera size or frame rate, too short, without
                motion, or shows a scene that is nothing like the training data.
        """
        self.shown = watch(demonstration, self.model, self.encoder, self.rate)
        self.warnings = check_shown(self.shown, self.heads, demonstration.source)
        Progress(self.shown, self.heads, self.follower.config.progress)  # refuses what stands still
        return self.shown

    def reset(self, observation: Observation, seed: int) -> None:
        """Start an episode, and the search's random stream; ``act`` sees the first frame.

        Raises:
            ForesightError: nothing has been shown.
        """
        self.follower.seed(seed)
        if self.shown is None:
            raise ForesightError(
                "The agent has not been shown anything: call show() with a demonstration first."
            )
        self.gaze.reset()
        self.follower.reset(self.shown)
        self.step = self.lost = 0

    @property
    def progress(self) -> Progress:
        """Where in the demonstration this episode is."""
        assert self.follower.progress is not None
        return self.follower.progress

    def act(self, observation: Observation) -> Action:
        """The next action ``[A]`` float32, within the bounds."""
        if self.step % self.model.config.repeat == 0:
            self.held = self.model.scaled(self._decide(observation)).cpu().numpy()
        self.step += 1
        return self.held

    @torch.inference_mode()
    def _decide(self, observation: Observation) -> Float[Tensor, " A"]:
        z = self._see(observation)
        if self.way == "plan":
            action = self.follower.act(z)
        else:
            self.progress.update(z[0])
            action = propose(self.heads, self.progress, z)[0].clamp(-1, 1)
        self.lost += self.progress.lost
        return action

    def _see(self, observation: Observation) -> Float[Tensor, "1 Z"]:
        pictures = pictures_of([observation], self.gaze.cameras)
        return self.model.encode(self.gaze.see(pictures)).float()

    def imagined(self) -> Float[Tensor, "H Z"]:
        """The future of the last decision; of the inverse model alone only its goal."""
        if self.way == "plan":
            return self.follower.imagined()
        return self.progress.shown.z[self.progress.goal][None]

    def notes(self) -> dict[str, float]:
        """How far along the demonstration it got, and in what share of decisions it was lost."""
        decisions = -(-self.step // self.model.config.repeat)
        found = {"progress": self.progress.done, "lost": self.lost / max(1, decisions)}
        fallbacks = self.follower.fallbacks
        return found | ({"planner_fallbacks": float(fallbacks)} if fallbacks else {})


class ShownBySeed(TaughtAgent):
    """A taught agent that is shown the demonstration of each episode's seed."""

    find: Callable[[int], Demonstration]

    def reset(self, observation: Observation, seed: int) -> None:
        """Take up the demonstration of this seed and start an episode."""
        self.show(self.find(seed))
        super().reset(observation, seed)


class ShownSeveral(TaughtAgent):
    """A taught agent that knows several demonstrations.

    In each episode it follows the one whose first state is nearest to the episode's own.
    """

    known: list[Shown]

    def know(self, demonstrations: Sequence[Demonstration]) -> None:
        """Take the demonstrations, at least one.

        Raises:
            ForesightError: as `show`.
        """
        self.known = [self.show(demonstration) for demonstration in demonstrations]

    @torch.inference_mode()
    def reset(self, observation: Observation, seed: int) -> None:
        """Start an episode and choose what to follow from its first frame."""
        self.gaze.reset()
        z = self._see(observation)[0]
        space = self.heads.space
        far = [float(space.distance(z, space(shown.z[:1]))) for shown in self.known]
        self.shown = self.known[far.index(min(far))]
        super().reset(observation, seed)


AnyTaught = TypeVar("AnyTaught", bound=TaughtAgent)


@dataclass(frozen=True)
class TaughtFactory:
    """Makes an agent that is taught by the dataset's episode of its seed; picklable.

    Raises:
        ForesightError: on call, a missing or damaged model, heads or dataset.
    """

    checkpoint: str
    demonstrations: str
    """Folder of a dataset with one episode for each seed."""
    way: Way = "inverse"
    """plan, or inverse."""
    encoder: str = "foresight-small"
    follow: FollowConfig = FOLLOWING

    def __call__(self, spec: Spec) -> TaughtAgent:
        """Load everything and build the agent."""
        agent = self._build(ShownBySeed, spec)
        agent.find = Recorded(self.demonstrations)
        return agent

    def _build(self, kind: type[AnyTaught], spec: Spec) -> AnyTaught:
        model, heads = WorldModel.load(self.checkpoint), load_heads(self.checkpoint)
        expect_robot(model.config, spec, f"The model {self.checkpoint}")
        return kind(model, heads, load_encoder(self.encoder), self.follow, self.way, spec.fps)


@dataclass(frozen=True)
class NearestFactory(TaughtFactory):
    """Makes an agent that knows the whole dataset and follows its nearest episode; picklable."""

    def __call__(self, spec: Spec) -> TaughtAgent:
        """Load everything and build the agent."""
        agent = self._build(ShownSeveral, spec)
        agent.know(list(Recorded(self.demonstrations)))
        return agent


def check_shown(shown: Shown, heads: TaughtHeads, source: str) -> list[str]:
    """What makes a demonstration hard to follow, a sentence each.

    Raises:
        ForesightError: it shows a scene that is nothing like the training data.
    """
    strange = heads.strangeness(shown.features)
    if strange > STRANGE:
        raise ForesightError(
            f"{source} shows a scene unlike anything seen in training ({strange:.1f} times as far "
            f"as its edge, at most {STRANGE:g} is taken): give a video of this task and camera."
        )
    remote = heads.remoteness(shown.z[-1])
    if remote >= heads.config.longest:
        return [
            f"{source} ends {remote:.0f} decisions or more from anything seen in training: the "
            "robot may not know how to get there."
        ]
    return []


def environment_rate(model: WorldModel) -> float:
    """Steps of the environment in a second, as the model's robot has them.

    Raises:
        ForesightError: the model does not know its robot.
    """
    if model.config.spec is None:
        raise ForesightError(
            "The model does not say how many steps a second its robot takes: give the rate."
        )
    return model.config.spec.fps * model.config.repeat

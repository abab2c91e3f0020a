"""Planning towards a demonstration's states; neither reward nor value is asked."""

from __future__ import annotations

from dataclasses import dataclass, field

from jaxtyping import Float
from torch import Tensor

from foresight.planning.config import MPCConfig
from foresight.planning.mpc import MPCPlanner
from foresight.policies.taught.demonstration import Shown
from foresight.policies.taught.heads import TaughtHeads
from foresight.policies.taught.objective import FollowStates
from foresight.policies.taught.progress import Progress, ProgressConfig
from foresight.worldmodel.model import WorldModel


@dataclass(frozen=True)
class FollowConfig(MPCConfig):
    """How the agent follows a demonstration.

    The inverse model is the search's prior: it proposes candidates, and where the search begins.
    Costs are distances in the space of comparison.
    """

    progress: ProgressConfig = field(default_factory=ProgressConfig)
    """Alignment."""
    reach: float = 0.3
    """Weight of the learned distance in time between the last imagined state and its goal."""
    early: float = 0.7
    """How much an imagined step counts beside the one after it."""


FOLLOWING = FollowConfig(
    horizon=4,
    samples=96,
    iterations=3,
    prior_samples=24,
    temperature=0.02,
    spread=0.3,
    prior_weight=3.0,
    start="proposal",
)
"""The search of an agent that follows a demonstration."""


class Follower:
    """Decides for one scene, from latent states to actions in [-1, 1].

    Args:
        model: learned and frozen.
        heads: trained on its states.
        config: alignment and search.
        seed: of the search.
    """

    def __init__(
        self, model: WorldModel, heads: TaughtHeads, config: FollowConfig, seed: int = 0
    ) -> None:
        self.model, self.heads, self.config = model, heads, config
        self.planner = MPCPlanner.of(model, config, seed, terms=[], propose=self._propose)
        self.progress: Progress | None = None

    @property
    def fallbacks(self) -> int:
        """Decisions of this episode for which nothing finite was imagined."""
        return self.planner.fallbacks

    def seed(self, seed: int) -> None:
        """Restart the search's random stream."""
        self.planner.solver.seed(seed)

    def reset(self, shown: Shown) -> None:
        """Begin an episode with this demonstration."""
        self.progress = Progress(shown, self.heads, self.config.progress)
        self.planner.reset()

    def _goals(self) -> Float[Tensor, "H Z"]:
        assert self.progress is not None
        return self.progress.shown.z[self.progress.goals(self.config.horizon)]

    def _propose(self, z: Float[Tensor, "N Z"]) -> Float[Tensor, "N A"]:
        """What the inverse model would do from here to get to the sub-goal."""
        assert self.progress is not None
        return propose(self.heads, self.progress, z)

    def act(self, z: Float[Tensor, "1 Z"]) -> Float[Tensor, " A"]:
        """The next decision."""
        assert self.progress is not None, "reset() comes first"
        self.progress.update(z[0])
        config = self.config
        follow = FollowStates(self.heads, self._goals(), config.reach, config.early)
        return self.planner.plan(z, [follow])[0]

    def imagined(self) -> Float[Tensor, "H Z"]:
        """The future of the last plan, averaged over the members; the present where none is."""
        return self.planner.imagined()[0]


def propose(
    heads: TaughtHeads, progress: Progress, z: Float[Tensor, "*batch Z"]
) -> Float[Tensor, "*batch A"]:
    """The inverse model's way to the sub-goal, in as many decisions as it seems to be away.

    Never in fewer than the look-ahead where that lies ahead in the demonstration, so that a state
    which is held is held gently.
    """
    goal = progress.shown.z[progress.goal]
    steps = heads.decisions(z, goal).clamp(min=progress.config.look_ahead, max=heads.config.longest)
    return heads.action(z, goal, steps)

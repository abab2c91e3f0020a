"""What Spot is paid for where a mark stands: walking on, and the three new tasks."""

from __future__ import annotations

from dataclasses import dataclass, replace

from foresight.core.errors import ForesightError
from foresight.core.spec import Spec
from foresight.envs.registry import EnvConfig
from foresight.envs.spot.mark import AIMS, WALK
from foresight.envs.spot.tasks import MARK_TASK, NAMESPACE
from foresight.experts.spot import MarkExpert
from foresight.training.online_config import OnlineConfig

ID = NAMESPACE + MARK_TASK
PROTOCOL = "walk10"
DECISIONS = 100
"""Of one of its episodes."""
NEW = tuple(name for name in AIMS if name != WALK)


@dataclass(frozen=True)
class Aim:
    """One of `foresight.envs.spot.mark.AIMS` as another reward for recorded episodes."""

    key: str
    """Its name."""

    def environment(self, cameras: tuple[str, ...]) -> EnvConfig:
        """Where it is paid for, as measured."""
        return EnvConfig.of(ID, protocol=PROTOCOL, cameras=cameras, aim=self.key)

    def again(self, decisions: int, repeat: int) -> EnvConfig:
        """Where episodes of walking are simulated again, without pictures.

        Raises:
            ForesightError: they are longer than the protocol's.
        """
        if decisions * repeat > DECISIONS:
            raise ForesightError(
                f"Episodes of {decisions * repeat} decisions are longer than the {DECISIONS} of "
                f"{PROTOCOL}: learn with shorter ones."
            )
        return replace(self.environment(()), action_repeat=repeat)


def aim(key: str) -> Aim:
    """The new task of a name.

    Raises:
        ForesightError: there is none.
    """
    if key not in NEW:
        raise ForesightError(f"There is no new task {key!r} of Spot: choose from {', '.join(NEW)}.")
    return Aim(key)


@dataclass(frozen=True)
class AimConfig(OnlineConfig):
    """How an aim is learned by acting, from pictures and reward alone."""

    aim: str = WALK
    """What is paid for."""

    def environment(self, image_size: int) -> EnvConfig:
        """As `OnlineConfig.environment`, with the aim."""
        return replace(super().environment(image_size), options=(("aim", self.aim),))


@dataclass(frozen=True)
class MarkExpertFactory:
    """Makes the controller that reads where the mark stands."""

    def __call__(self, spec: Spec) -> MarkExpert:
        """It asks the environment for its aim."""
        return MarkExpert(spec)

"""The rival that starts again: the same learner on the new reward, by acting as long as before."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from foresight.core.errors import ForesightError
from foresight.envs.registry import EnvConfig
from foresight.training.online_config import OnlineConfig
from foresight.training.online_sac import trainer_of
from foresight.training.run_data import MODEL
from foresight.training.task_settings import PIXELS, TASKS
from foresight.worldmodel.model import WorldModel
from studies.new_reward.environments import ID
from studies.new_reward.rewards import NewReward

UNLED = ("updates", "length", "learner")
"""Of a task's own settings, those that need no expert."""


@dataclass(frozen=True)
class PaidConfig(OnlineConfig):
    """How a task of dm_control is learned that pays for something else."""

    reward: str = ""
    """Name of what is paid for."""

    def environment(self, image_size: int) -> EnvConfig:
        """As `OnlineConfig.environment`, with the other reward."""
        return replace(super().environment(image_size), id=ID, options=(("reward", self.reward),))


def scratch_config(reward: NewReward, model: WorldModel, steps: int, **changes: Any) -> PaidConfig:
    """How a reward is learned by acting for so many steps, where nobody can show it.

    The robot's state is a lesson, as it was for the frozen model; how far the search trusts its
    prior follows from trials.

    Args:
        reward: what is paid for.
        model: the frozen one, whose eyes, sizes and rate are taken.
        steps: environment steps, those of the frozen model's data.
        changes: what is to be otherwise.
    """
    own = {key: value for key, value in TASKS[reward.source].items() if key in UNLED}
    settings: dict[str, Any] = {**PIXELS, "proprio": True, **own}
    settings |= {"task": reward.source, "reward": reward.key, "steps": steps}
    settings |= {"encoder": model.config.encoder, "repeat": model.config.repeat}
    return PaidConfig(**{**settings, **changes})


def learn_again(config: PaidConfig, folder: Path) -> Path:
    """Learn in ``folder``, going on where a killed run was; returns the checkpoint.

    Raises:
        ForesightError: the folder holds another run.
    """
    if not config.reward:
        raise ForesightError("A run that starts again needs the name of what is paid for.")
    trainer_of(config, folder).run()
    return folder / MODEL

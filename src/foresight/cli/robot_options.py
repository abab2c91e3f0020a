"""What every verb is told that lets a policy act on a robot which does not wait for it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class RobotOptions:
    """How a checkpoint's policy meets delays and a body that is not as it was."""

    device: str = "cpu"
    """Where a checkpoint's networks run."""
    compensate: Literal["none", "auto"] | int = "none"
    """Steps from an action's choice to its execution by the robot, through which an agent with a
    world model imagines where the actions under way will have led; auto finds them out from the
    first decisions, which are noisy."""
    adapt: Literal["none", "rls", "gradient", "gain", "finetune"] = "none"
    """How a world model learns on while it acts, for a robot that is not as it was: none; rls, a
    linear residual on its prediction; gradient, a small network as residual; gain, the strength of
    each actuator; finetune, its own weights, which takes long."""
    keep_adapted: bool = False
    """Whether an episode goes on from what the last one taught, instead of forgetting it."""

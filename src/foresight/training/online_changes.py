"""What somebody wants otherwise than a task's own settings have it."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from foresight.training.online_config import OnlineConfig


OF_LEARNER = ("horizon", "batch", "lr", "traces", "foretold", "pictures")
"""Settings that are the learner's own."""


@dataclass(frozen=True)
class OnlineChanges:
    """What of a task's own settings is to be otherwise; everything else stays."""

    method: Literal["taught", "mpc", "sac"] | None = None
    """taught, which it is if not given: as is best for the task, where there is an expert with its
    help, and with the robot's state as a lesson. From pictures and reward alone learn mpc, whose
    search in its model acts meanwhile, and sac, soft actor-critic, whose model is learned
    afterwards from what it saw."""
    protocol: Literal["seed200", "dmc1000"] | None = None
    """Length of dm_control's episodes: 200 steps, or the field's 1,000."""
    joints: bool = False
    """Feel the robot's own joints, too, where it is known which numbers these are: the dm_control
    tasks that are measured. Never a target, a ball or whatever else is only seen."""
    steps: int | None = None
    """Environment steps to learn from, if not the task's own number."""
    encoder: str | None = None
    """Frozen encoder, if not foresight-small: a name, folder or hub id."""
    device: str | None = None
    """Where encoder, networks and planner compute: cpu, cuda, cuda:1, …, or auto."""
    seed: int | None = None
    """Of training episodes, weights and search."""
    expert: str | None = None
    """Who shows the task: expert, oracle, or none."""
    length: int | None = None
    """Environment steps of a training episode."""
    repeat: int | None = None
    """Environment steps for which a decision is held."""
    cameras: tuple[str, ...] | None = None
    """Cameras to see with, by name."""
    parallel: int | None = None
    """Training episodes side by side."""
    random_episodes: int | None = None
    """Episodes of random decisions to begin with."""
    demonstrations: int | None = None
    """Episodes led by the expert after them."""
    relabel: float | None = None
    """Share of the later rounds in which the expert is asked, too."""
    updates: float | None = None
    """Updates for each decision collected."""
    representation_updates: int | None = None
    """Updates of the first representation phase."""
    keep: tuple[int, ...] | None = None
    """Steps after which a model is kept and measured, too (sac)."""
    shifts: int | None = None
    """Shifted views of each picture that are learned from, too."""
    trials_every: int | None = None
    """Own rounds between two in which some episodes try how far to trust the prior; 0 for never."""
    curiosity: float | None = None
    """What it is worth to a plan, in every other episode that explores, that the members of the
    ensemble differ about it (mpc); 0, which it is if not given, seeks rewards alone."""
    final_trials: int | None = None
    """Episodes in which each trust is tried when all is learned; 0 for none."""
    finetune_updates: int | None = None
    """Updates of the dynamics alone at the end."""
    latent: int | None = None
    """Width of the latent state, a multiple of 8."""
    hidden: int | None = None
    """Width of the networks behind it."""
    members: int | None = None
    """Dynamics in the ensemble."""
    history: int | None = None
    """Observations that a state is read from."""
    discount: float | None = None
    """γ of one decision."""
    horizon: int | None = None
    """Decisions imagined in the losses."""
    batch: int | None = None
    """Windows per member and update."""
    lr: float | None = None
    """Learning rate."""
    traces: float | None = None
    """λ of the value targets: how much the later rewards of a window count."""
    foretold: float | None = None
    """Weight of rewards to come, as a lesson for the state."""
    pictures: float | None = None
    """Weight of what the frozen encoder sees, as a lesson for the state."""

    def applied(self, config: OnlineConfig) -> OnlineConfig:
        """A task's settings with these changes; their method is not among them.

        Raises:
            ForesightError: nobody knows which numbers of the task's state are the robot's joints.
        """
        from foresight.training.task_settings import own_joints

        given = {
            name: value
            for name, value in ((f.name, getattr(self, f.name)) for f in fields(self))
            if value is not None and name != "method"
        }
        inner = {name: given.pop(name) for name in OF_LEARNER if name in given}
        if given.pop("joints", False):
            given["joints"] = own_joints(config.task)
        if given.get("expert") == "none":
            given |= {"expert": None, "demonstrations": 0, "relabel": 0.0}
        return replace(config, learner=replace(config.learner, **inner), **given)

"""How a world model learns from a replay: batches, rates and the weights of its losses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from foresight.core.files import late


@dataclass(frozen=True)
class LearnerConfig:
    """How a world model is updated from its replay."""

    representation_batch: int = 256
    """Observations of a representation update."""
    batch: int = 32
    """Windows per member and update."""
    member_share: float = 0.4
    """Share of the episodes that a member learns from while all networks learn, drawn for each."""
    finetune_share: float = 0.3
    """That share while the dynamics are finetuned: members that have seen the same agree where all
    of them are wrong."""
    horizon: int = 3
    """Decisions imagined in the losses."""
    lr: float = 1e-3
    """Adam's learning rate."""
    weight_decay: float = 1e-2
    """AdamW's, in representation updates."""
    dropout: float = 0.0
    """Share of the features that a representation update leaves out, drawn anew for each."""
    decay: float = 0.7
    """Weight of each later imagined step, relative to the one before (ρ)."""
    prediction: float = 2.0
    """Weight of the latent prediction error, summed over the groups of z."""
    reward: float = 1.0
    """Weight of the reward loss."""
    value: float = 0.5
    """Weight of the value loss."""
    continuation: float = 1.0
    """Weight of the cross-entropy of an episode going on, where the model has that head."""
    proprio: float = 1.0
    """Weight of reading proprioception off the state, where there is any."""
    imitation: float = 1.0
    """Weight of the prior's squared distance to an expert's actions, where there are any."""
    imitation_end: float = 0.2
    """What that weight falls to, linearly over `imitation_updates`."""
    imitation_updates: int = 10_000
    """See above."""
    expert_share: float = 0.25
    """Least share of windows from episodes with an expert's answers, where there are any."""
    entropy: float = 0.01
    """Weight of the prior's entropy, in units of the spread of values."""
    tau: float = 0.01
    """Share by which the target values move in every update."""
    clip: float = 20.0
    """Largest gradient norm."""
    traces: float = late(0.0)
    """λ of the value targets: how much further rewards of a window count beside the value of the
    next state (TD(λ); Sutton 1988). 0 is one decision, 1 as many as the window has."""
    foretold: float = late(0.0)
    """Weight of rewards to come, read off single states in representation updates."""
    pictures: float = late(0.0)
    """Weight of what the frozen encoder sees, now and `ahead` decisions later, read off single
    states in representation updates."""
    ahead: int = late(4)
    """Decisions ahead, under the actions that were taken, in these two."""
    far: int = late(20)
    """Decisions whose discounted reward is foretold without knowing the actions."""


@dataclass(frozen=True)
class AdapterTraining:
    """How a model with a state adapter is learned from a dataset, with the updates of learning by
    acting.
    """

    representation_updates: int = 3000
    """Updates of the first representation phase, in which the adapter learns to see."""
    representation_phases: int = 3
    """Later phases, spread evenly over the updates, each of a third as many."""
    updates: int = 10_000
    """Updates of the networks that imagine, in all."""
    finetune_updates: int = 10_000
    """Updates of the dynamics alone, when nothing else moves any more."""
    discount: float = 0.97
    """γ of one decision."""
    imitate: Literal["auto", "always", "never"] = "auto"
    """Whether the recorded actions are an expert's, which the action prior learns; auto: where
    there are no rewards and no column action.expert."""
    learner: LearnerConfig = LearnerConfig()
    """The updates."""


@dataclass(frozen=True)
class SACConfig:
    """How actor and critics learn."""

    batch: int = 256
    """Decisions of an update."""
    steps: int = 3
    """Decisions whose rewards are summed before the critics' word (n-step returns)."""
    lr: float = 5e-4
    """Adam's learning rate of critics, adapter and actor."""
    temperature_lr: float = 1e-3
    """That of the temperature's logarithm."""
    temperature: float = 0.1
    """Weight of the entropy to begin with."""
    target_entropy: float = -0.5
    """Entropy of an action, for each of its numbers, that the temperature is adjusted to."""
    correlation: float = 0.0
    """Of the noise of two decisions in a row while it acts, in [0, 1)."""
    bonus: bool = False
    """Count the entropy of later actions among what the critics foretell."""
    prediction: float = 2.0
    """Weight of foretelling the state after those decisions, which shapes the adapter, too
    (self-prediction; TD-MPC2); 0 leaves it to the critics alone."""
    reward: float = 1.0
    """Weight of the rewards on the way."""
    tau: float = 0.01
    """Share by which the target critics move in every update."""
    clip: float = 20.0
    """Largest gradient norm, of critics with adapter and of the actor apart."""

"""Acting with a reduced Dreamer: its state is carried along, its actor decides."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from foresight.core.spec import Spec
from foresight.perception.senses import Senses
from foresight.policies.flat import FlatPolicy, senses_of
from foresight.worldmodel.rssm.agent import ReducedDreamer

RANDOM = "random"


class ReducedPolicy(FlatPolicy):
    """Follows the actor's mean; while it learns, draws from the actor, or at random.

    Args:
        model: as it is at each decision.
        senses: the ones that it learns or learned with.
        explore: ``""`` for the mean, ``actor`` to draw from the actor, ``random`` for even chances.

    Attributes:
        sensed: inputs of the present episodes, ``[N, X]`` a decision, while it explores.
    """

    def __init__(self, model: ReducedDreamer, senses: Senses, explore: str = "") -> None:
        super().__init__(model.config, senses)
        self.model, self.explore = model, explore
        self.generator = torch.Generator()
        self.sensed: list[Float[Tensor, "N X"]] = []

    def begin(self, count: int, seed: int) -> None:
        """Forget the last episodes."""
        self.generator.manual_seed(seed)
        self._features = self.model.rssm.start(count)
        self._action: Float[Tensor, "N A"] | None = None
        self.sensed = []

    def decide(self, inputs: Float[Tensor, "N X"]) -> Float[Tensor, "N A"]:
        """The next action of every robot, in [-1, 1]."""
        model, generator = self.model, self.generator
        if self.explore:
            self.sensed.append(inputs)
        if self.explore == RANDOM:
            return 2 * torch.rand(len(inputs), model.config.actions, generator=generator) - 1
        self._features = model.take_in(self._features, self._action, inputs, generator)
        if self.explore:
            action, _ = model.actor.sample(self._features, generator)
        else:
            action = model.actor.mean_action(self._features)
        self._action = action
        return action


@dataclass(frozen=True)
class ReducedFactory:
    """Makes the policy of a reduced Dreamer's checkpoint; picklable."""

    checkpoint: str
    device: str = "cpu"

    def __call__(self, spec: Spec) -> ReducedPolicy:
        """Load everything and build the policy.

        Raises:
            ForesightError: another robot, or a damaged checkpoint.
        """
        model = ReducedDreamer.load(self.checkpoint)
        whose = f"The reduced Dreamer {self.checkpoint}"
        return ReducedPolicy(model, senses_of(model.config, spec, whose, self.device))

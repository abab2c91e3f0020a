"""Mistakes of the training: its own goal pictures, and numbers as they come."""

from __future__ import annotations

from dataclasses import dataclass, fields

from jaxtyping import Int64
from torch import Tensor

from foresight.policies.chunk.config import ChunkConfig
from foresight.policies.chunk.network import ChunkNetwork
from foresight.training.chunk.demonstrations import Batch, Demonstrations, Rows
from foresight.training.chunk.train import ChunkTraining, prepare_network


@dataclass(frozen=True)
class OwnGoals(Demonstrations):
    """Demonstrations that show their own last picture as the goal, which no trial can."""

    @classmethod
    def of(cls, data: Demonstrations) -> OwnGoals:
        """The same demonstrations."""
        return cls(**{each.name: getattr(data, each.name) for each in fields(data)})

    def inputs(
        self, rows: Rows, config: ChunkConfig, copy: Int64[Tensor, " B"], goals: Rows | None
    ) -> Batch:
        """As `Demonstrations.inputs`, whatever goals were drawn."""
        own = None if goals is None else self.offsets[self.episode_of(rows) + 1] - 1
        return super().inputs(rows, config, copy, own)


def without_statistics(
    network: ChunkNetwork, data: Demonstrations, training: ChunkTraining
) -> None:
    """As `prepare_network`, but actions and state stay in the robot's units.

    A number of an action that takes two values is still told as 0 or 1: it is classified. Pictures
    are standardised as ever.
    """
    prepare_network(network, data, training)
    normaliser = network.normaliser
    normaliser.state_mean.zero_()
    normaliser.state_scale.fill_(1)
    normaliser.action_mean.masked_fill_(~normaliser.binary, 0)
    normaliser.action_scale.masked_fill_(~normaliser.binary, 1)

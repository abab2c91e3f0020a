"""The reduced Dreamer: an RSSM, what is read from its states, an actor and a critic."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor, nn

from foresight.core.checkpoint import building, load_weights, read_header, save_checkpoint
from foresight.core.errors import ForesightError
from foresight.perception.senses import FlatRobot
from foresight.worldmodel.heads.continuation import ContinuationHead
from foresight.worldmodel.heads.prior import ActionPrior
from foresight.worldmodel.heads.scalar import ScalarConfig, ScalarHead, symlog
from foresight.worldmodel.rssm.config import LARGEST, RSSMConfig, RSSMSizes
from foresight.worldmodel.rssm.model import RSSM, perceptron

TYPE = "reduced-dreamer"
RANGE = 10.0
"""symlog of the largest reward or return that can be told, about 22,000."""


class ReducedDreamer(nn.Module):
    """DreamerV3 (Hafner et al. 2023, arXiv 2301.04104) with at most a million parameters.

    Attributes:
        readback: input from features (reconstruction), or its embedding (r2).

    Args:
        config: robot and sizes.

    Raises:
        ForesightError: it would be larger than `LARGEST`.
    """

    def __init__(self, config: RSSMConfig) -> None:
        super().__init__()
        self.config, sizes = config, config.sizes
        self.embed = perceptron(config.inputs, sizes.hidden, sizes.hidden)
        self.rssm = RSSM(config)
        decoded = config.inputs if sizes.representation == "reconstruction" else sizes.hidden
        self.readback: nn.Module = (
            perceptron(config.latent, sizes.hidden, decoded)
            if sizes.representation == "reconstruction"
            else nn.Linear(config.latent, decoded, bias=False)
        )
        # Means in symlog space, as in DreamerV3's first edition: a new head says 0 at once, where
        # means of the numbers themselves would need many updates to leave it (`TwoHot`).
        told = ScalarConfig("twohot", sizes.hidden, 1, bins=sizes.bins, low=-RANGE, high=RANGE)
        self.reward = ScalarHead(config.latent, 0, told)
        self.continuation = ContinuationHead(config.latent, 0, sizes.hidden)
        self.actor = ActionPrior(config.latent, config.actions, sizes.hidden).widen()
        self.critic = ScalarHead(config.latent, 0, replace(told, layers=2))
        if self.parameter_count > LARGEST:
            raise ForesightError(
                f"This reduced Dreamer would have {self.parameter_count:,} parameters where "
                f"{LARGEST:,} are allowed: lower hidden, deter, groups or classes, or pool the "
                f"{config.inputs} numbers of its input."
            )

    @property
    def parameter_count(self) -> int:
        """Numbers that are learned."""
        return sum(parameter.numel() for parameter in self.parameters())

    @property
    def model_parameters(self) -> list[nn.Parameter]:
        """Those of the world model: all but actor and critic."""
        apart = {id(p) for part in (self.actor, self.critic) for p in part.parameters()}
        return [parameter for parameter in self.parameters() if id(parameter) not in apart]

    def embedding(self, inputs: Float[Tensor, "*batch X"]) -> Float[Tensor, "*batch E"]:
        """Of inputs of any scale."""
        return cast(Tensor, self.embed(symlog(inputs)))

    def goes_on(self, features: Float[Tensor, "*batch Z"]) -> Float[Tensor, "*batch"]:
        """Logits that the episode was not ended by its task on the way to a state."""
        return cast(Tensor, self.continuation(features, features[..., :0]))

    def take_in(
        self,
        features: Float[Tensor, "N Z"],
        action: Float[Tensor, "N A"] | None,
        inputs: Float[Tensor, "N X"],
        generator: torch.Generator,
    ) -> Float[Tensor, "N Z"]:
        """Features after an action and the input that followed it, while acting.

        Args:
            features: the last ones, `RSSM.start` before an episode.
            action: in [-1, 1]; None at an episode's first input.
            inputs: what is sensed now.
            generator: of the latents.
        """
        deter = features[:, : self.config.sizes.deter]
        if action is not None:
            deter = self.rssm.advance(features, action)
        log_probability = self.rssm.posterior(deter, self.embedding(inputs))
        chance = torch.rand(log_probability.shape[:-1], generator=generator)
        return self.rssm.features(deter, log_probability, chance)

    def save(self, folder: Path | str) -> None:
        """Write ``config.json`` and ``model.safetensors``."""
        config = self.config
        save_checkpoint(folder, TYPE, config.to_json(), self, config.spec, config.fingerprints)

    @classmethod
    def load(cls, folder: Path | str) -> ReducedDreamer:
        """Read a checkpoint folder, in eval mode.

        Raises:
            ForesightError: a file is missing or damaged, or of another type or size.
        """
        header = read_header(folder, TYPE)
        with building(header):
            sizes = RSSMSizes(**header.config["sizes"])
            model = cls(RSSMConfig.from_header(header, sizes=sizes))
        load_weights(model, folder)
        return model.eval()


def config_of(robot: FlatRobot, sizes: RSSMSizes) -> RSSMConfig:
    """The configuration for a robot."""
    return RSSMConfig(**vars(robot), sizes=sizes)

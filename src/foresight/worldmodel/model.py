"""A world model as one thing: latent state, dynamics and heads, with what they were trained on.

Source of the parts: TD-MPC2 (Hansen et al. 2024, arXiv 2310.16828) for the joint objective and the
action prior; PETS (Chua et al. 2018) for the ensemble.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Self

import torch
from jaxtyping import Float
from torch import Tensor, nn

from foresight.core.checkpoint import building, load_weights, read_header, save_checkpoint
from foresight.core.errors import ForesightError
from foresight.worldmodel.actions import normalised, scaled
from foresight.worldmodel.config import WorldModelConfig
from foresight.worldmodel.dynamics.build import build_dynamics
from foresight.worldmodel.heads.continuation import ContinuationHead
from foresight.worldmodel.heads.decoder import PictureDecoder
from foresight.worldmodel.heads.mlp_reward import RewardModel
from foresight.worldmodel.heads.prior import ActionPrior
from foresight.worldmodel.heads.proprio import ProprioReadout
from foresight.worldmodel.heads.scalar import ScalarHead, bins_for
from foresight.worldmodel.state import AdapterState, build_state

TYPE = "world-model"
VALUES = 2
"""Value networks whose mean ends a plan."""


class WorldModel(nn.Module):
    """From features to a latent state, and everything imagined from there.

    Actions are in [-1, 1] throughout; `scaled` gives those of the environment. Heads that the
    configuration leaves out are None.

    Attributes:
        state: features, and the robot's own numbers, to z.
        dynamics: a single network for one member (but for the kind simnorm), else an ensemble,
            whose attribute ``members`` says how many and whose states have a leading axis of them.
        reward: ``r(z, a)``.
        value: ``Q(z, a)``, several networks.
        prior: actions that a policy would take.
        proprio: the robot's own numbers, read off z in training.
        continuation: ``logits(z, a)`` of the episode going on.
        decoder: pictures of a state.

    Args:
        config: kinds and sizes.
    """

    def __init__(self, config: WorldModelConfig) -> None:
        super().__init__()
        self.config = config
        heads, actions = config.heads, config.actions
        self.state = build_state(config.state, config.cameras, config.proprio)
        latent = self.state.dim
        self.dynamics = build_dynamics(config.dynamics, latent, actions)
        self.reward = _reward(config, latent)
        self.value = _value(config, latent)
        self.prior = ActionPrior(latent, actions, heads.hidden) if heads.prior else None
        self.proprio = (
            ProprioReadout(latent, heads.proprio, heads.hidden) if heads.proprio else None
        )
        self.continuation = (
            ContinuationHead(latent, actions, heads.hidden) if heads.continuation else None
        )
        self.decoder = (
            PictureDecoder(latent, len(config.cameras), heads.decoder) if heads.decoder else None
        )

    @property
    def features(self) -> int:
        """F, the numbers that a state is read from: those of every step of the history."""
        return self.state.width

    @property
    def latent(self) -> int:
        """Z."""
        return self.state.dim

    def encode(self, features: Float[Tensor, "*batch F"]) -> Float[Tensor, "*batch Z"]:
        """The latent state of a step beside its past (`StateEncoder.stack`)."""
        if not torch.is_autocast_enabled(features.device.type):
            features = features.float()
        return self.state(features)

    def reward_of(
        self, z: Float[Tensor, "*batch Z"], action: Float[Tensor, "*batch A"]
    ) -> Float[Tensor, "*batch"]:
        """Predicted reward of taking ``action`` in state ``z``.

        Raises:
            ForesightError: the model has no reward head.
        """
        if self.reward is None:
            raise ForesightError(
                "This world model predicts no reward: train it on episodes with rewards, or plan "
                "towards a goal."
            )
        return self.reward(z, action)

    def value_of(self, z: Float[Tensor, "*batch Z"]) -> Float[Tensor, " M *batch"]:
        """Value of states under the prior's mean action, by every value network.

        Raises:
            ForesightError: the model has no values.
        """
        if self.value is None or self.prior is None:
            raise ForesightError(
                "This world model predicts no values: train one that does, for example with "
                "`foresight learn`, or plan without."
            )
        return self.value(z, self.prior.mean_action(z))

    def scaled(self, action: Float[Tensor, "*batch A"]) -> Float[Tensor, "*batch A"]:
        """Actions in [-1, 1] in the environment's units."""
        return scaled(action, self.config)

    def normalised(self, action: Float[Tensor, "*batch A"]) -> Float[Tensor, "*batch A"]:
        """Actions of the environment in [-1, 1]; an axis that cannot move gives 0."""
        return normalised(action, self.config)

    def for_planning(
        self, members: int | None, dtype: torch.dtype, dynamics: torch.dtype | None = None
    ) -> Self:
        """A frozen copy with fewer dynamics, two values, and all but the state in ``dtype``.

        Args:
            members: dynamics to keep, the first ones; all if not given.
            dtype: of the networks that imagine.
            dynamics: of the dynamics alone; ``dtype`` if not given.

        Raises:
            ForesightError: more members than there are.
        """
        config = self.config
        members = members or config.dynamics.members
        if not 1 <= members <= config.dynamics.members:
            raise ForesightError(
                f"Planning with {members} dynamics is not possible: the model has "
                f"{config.dynamics.members}."
            )
        smaller = replace(
            config,
            dynamics=replace(config.dynamics, members=members),
            heads=replace(config.heads, values=min(VALUES, config.heads.values), decoder=0),
        )
        small = type(self)(smaller)
        held = self.state_dict()
        small.load_state_dict(
            {name: _kept(held[name], wanted) for name, wanted in small.state_dict().items()}
        )
        small.dynamics.to(dynamics or dtype)
        for part in (small.reward, small.value, small.prior, small.continuation):
            if part is not None:
                part.to(dtype)
        device = next(self.parameters()).device
        return small.eval().requires_grad_(False).to(device)

    def save(self, folder: Path | str) -> None:
        """Write ``config.json`` and ``model.safetensors``."""
        config = self.config
        save_checkpoint(folder, TYPE, config.to_json(), self, config.spec, config.fingerprints)

    @classmethod
    def load(cls, folder: Path | str) -> Self:
        """Read a checkpoint folder, in eval mode.

        Raises:
            ForesightError: a file is missing or damaged, or of another type or size.
        """
        header = read_header(folder, TYPE)
        with building(header):
            model = cls(WorldModelConfig.from_header(header))
        load_weights(model, folder)
        return model.eval()


def initialise(model: WorldModel) -> None:
    """Small truncated normal weights for the adapter and the prior; heads have their own."""
    adapter = model.state.adapter if isinstance(model.state, AdapterState) else None
    for part in (adapter, model.prior):
        for module in part.modules() if part is not None else ():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=module.in_features**-0.5)
                nn.init.zeros_(module.bias)


def _reward(config: WorldModelConfig, latent: int) -> ScalarHead | RewardModel | None:
    heads = config.heads
    if heads.reward == "none":
        return None
    if heads.reward == "mlp":
        return RewardModel(latent, config.actions, heads.hidden)
    lowest, highest = config.rewards or (0.0, config.repeat)
    shape = replace(bins_for(lowest, highest, heads.hidden), unbiased=heads.unbiased)
    return ScalarHead(latent, config.actions, shape)


def _value(config: WorldModelConfig, latent: int) -> ScalarHead | None:
    heads = config.heads
    if not heads.values:
        return None
    lowest, highest = (r / (1 - config.discount) for r in config.rewards or (0.0, config.repeat))
    shape = bins_for(lowest, highest, heads.hidden)
    shape = replace(shape, members=heads.values, unbiased=heads.unbiased)
    return ScalarHead(latent, config.actions, shape)


def _kept(held: Tensor, wanted: Tensor) -> Tensor:
    """The first members of a tensor; one alone loses their axis where single networks have none."""
    if held.shape == wanted.shape:
        return held
    return held[0] if held.ndim > wanted.ndim else held[: len(wanted)]

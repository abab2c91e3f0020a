"""Dynamics over states whose groups are shares that sum to 1."""

from __future__ import annotations

from dataclasses import replace

from jaxtyping import Float
from torch import Tensor, nn

from foresight.worldmodel.dynamics.config import DynamicsConfig
from foresight.worldmodel.dynamics.ensemble import EnsembleDynamics
from foresight.worldmodel.dynamics.rollout import rollout
from foresight.worldmodel.dynamics.simnorm_rollout import SimNormRollout
from foresight.worldmodel.layers import plan_of
from foresight.worldmodel.mlp import MLP

GROUP = 8
"""Dimensions of z that share one softmax."""
LEAST = 1e-2
"""Parts of a state below this count as this much before a step: their logarithms stay small."""


def simnorm(x: Float[Tensor, "*batch Z"]) -> Float[Tensor, "*batch Z"]:
    """Softmax over groups of 8 dimensions, in fp32; states stay bounded however far one goes.

    Members of a group lie Z / 8 apart: a softmax along neighbours is several times slower.
    """
    return x.float().unflatten(-1, (GROUP, -1)).softmax(-2).flatten(-2)


class SimNormDynamics(nn.Module):
    """An ensemble of MLPs that change the logits of a state: ``z' = simnorm(log z + f(z, a))``.

    Nothing changes where f is 0; added to z itself, the softmax would flatten every state. Always
    an ensemble, of one member too. Sources: TD-MPC2 (Hansen et al. 2024) for SimNorm, PETS (Chua et
    al. 2018) for the ensemble.

    Args:
        config: members and sizes.
        latent: Z.
        actions: A.
        seed: of the first member; None draws it from the global random stream.
    """

    def __init__(
        self, config: DynamicsConfig, latent: int, actions: int, seed: int | None = None
    ) -> None:
        super().__init__()
        self.members = config.members
        self.ensemble = EnsembleDynamics(replace(config, kind="mlp"), latent, actions, seed)

    def step(
        self, z: Float[Tensor, "E *batch Z"], action: Float[Tensor, "*batch A"]
    ) -> Float[Tensor, "E *batch Z"]:
        """One imagined step of every member from its own state, under shared actions."""
        return _moved(z, self.ensemble.step(z, action))

    def forward(
        self,
        z: Float[Tensor, "*batch Z"] | Float[Tensor, "E *batch Z"],
        actions: Float[Tensor, "*batch H A"],
        truncate: int | None = None,
    ) -> Float[Tensor, "E *batch H+1 Z"]:
        """Imagine ``H`` steps open loop under shared actions; entry 0 is ``z`` itself."""
        if z.ndim == actions.ndim - 1:
            z = z.expand(self.members, *z.shape)
        return self.apart(z, actions.expand(self.members, *actions.shape), truncate)

    def apart(
        self,
        z: Float[Tensor, "E *batch Z"],
        actions: Float[Tensor, "E *batch H A"],
        truncate: int | None = None,
    ) -> Float[Tensor, "E *batch H+1 Z"]:
        """Imagine with each member's own states and actions; entry 0 is ``z``."""
        net = self.ensemble.network.net
        found = plan_of(net) if self.training and isinstance(net, MLP) else None
        if found is None or truncate or z.ndim > 3 or actions.requires_grad or not z.numel():
            return rollout(self._own_step, z, actions, truncate)
        plan, weights = found
        return SimNormRollout.apply(plan, GROUP, LEAST, z, actions, *weights)

    def _own_step(self, z: Tensor, action: Tensor) -> Tensor:
        return _moved(z, self.ensemble.network.step(z, action))


def _moved(
    z: Float[Tensor, "*batch Z"], after: Float[Tensor, "*batch Z"]
) -> Float[Tensor, "*batch Z"]:
    """The state whose logits differ from those of ``z`` by what a residual step added to it."""
    return simnorm(z.clamp(min=LEAST).log() + (after - z))

"""From a configuration to a dynamics of any kind."""

from __future__ import annotations

import torch

from foresight.worldmodel.dynamics.config import DynamicsConfig, Single, build_single
from foresight.worldmodel.dynamics.ensemble import EnsembleDynamics, HistoryEnsemble
from foresight.worldmodel.dynamics.simnorm import SimNormDynamics

AnyDynamics = Single | EnsembleDynamics | SimNormDynamics


def build_dynamics(
    config: DynamicsConfig, latent: int, actions: int, seed: int | None = None
) -> AnyDynamics:
    """A single network for one member, else an ensemble; simnorm is always one.

    Args:
        config: what to build.
        latent: Z.
        actions: A.
        seed: of the weights; None takes them from the global random stream.

    Raises:
        ForesightError: sizes that do not divide.
    """
    if config.kind == "simnorm":
        return SimNormDynamics(config, latent, actions, seed)
    if config.members > 1:
        remembers = config.kind in ("transformer", "tokens")
        return (HistoryEnsemble if remembers else EnsembleDynamics)(config, latent, actions, seed)
    if seed is None:
        return build_single(config, latent, actions)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return build_single(config, latent, actions)

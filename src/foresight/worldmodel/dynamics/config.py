"""Which dynamics network to build, and building it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from foresight.core.errors import ForesightError
from foresight.worldmodel.dynamics.history import HistoryDynamics
from foresight.worldmodel.dynamics.residual import ResBlockDynamics, ResidualDynamics

Single = ResidualDynamics | ResBlockDynamics | HistoryDynamics


@dataclass(frozen=True)
class DynamicsConfig:
    """Kind and size of the dynamics."""

    kind: Literal["mlp", "resblock", "transformer", "tokens", "simnorm"] = "mlp"
    """mlp: residual MLP; resblock: deeper, of residual blocks; transformer: causal over a history
    of latent vectors; tokens: the same over the tokens of a spatial grid; simnorm: a residual MLP
    on the logits of states that are shares, for the state adapter."""
    members: int = 1
    """Networks in the ensemble; they differ by their first weights and by what they are shown."""
    hidden: int = 512
    """Width."""
    layers: int = 3
    """Hidden layers, or blocks."""
    dropout: float = 0.0
    """Share of the hidden units dropped in training."""
    heads: int = 4
    """Attention heads of transformer and tokens."""
    context: int = 8
    """Most frames that transformer and tokens see: history and horizon together."""
    tokens: int = 16
    """Tokens in a state, for tokens."""
    factorised: bool = False
    """tokens: attend over space and time in turn, which is cheaper, instead of at once."""

    def __post_init__(self) -> None:
        sizes = (self.members, self.hidden, self.layers, self.heads, self.context, self.tokens)
        if min(sizes) < 1 or not 0 <= self.dropout < 1:
            raise ForesightError(
                f"A dynamics of members, hidden, layers, heads, context, tokens = {sizes} and a "
                f"dropout of {self.dropout} cannot be built: all sizes are at least 1, dropout is "
                "at least 0 and below 1."
            )


def build_single(config: DynamicsConfig, latent: int, actions: int) -> Single:
    """One network, whatever ``config.members`` is; weights from the global random stream.

    Raises:
        ForesightError: an unknown kind, or sizes that do not divide.
    """
    if config.kind == "mlp":
        return ResidualDynamics(latent, actions, config.hidden, config.layers, config.dropout)
    if config.kind == "resblock":
        return ResBlockDynamics(latent, actions, config.hidden, config.layers, config.dropout)
    if config.kind not in ("transformer", "tokens"):
        raise ForesightError(
            f"There is no dynamics of the kind {config.kind!r}: choose mlp, resblock, transformer, "
            "tokens or simnorm."
        )
    return HistoryDynamics(
        latent,
        actions,
        config.hidden,
        config.layers,
        config.heads,
        config.context,
        config.tokens if config.kind == "tokens" else 1,
        config.factorised,
        config.dropout,
    )

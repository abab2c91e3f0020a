"""From context tokens to one number for each action: residual layers, or a transformer."""

from __future__ import annotations

from itertools import pairwise

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from foresight.policies.chunk.config import NetworkConfig


class FlatTrunk(nn.Module):
    """All tokens side by side in one vector, residual layers, all actions at once.

    A token costs one small product here, not one for each layer: on a processor an update takes a
    fortieth of a transformer's. Where a thing is stays known, since every place has weights of its
    own. Layers normalise first, with GELU.

    Args:
        net: sizes.
        tokens: N, of the context.
        actions: A.
    """

    def __init__(self, net: NetworkConfig, tokens: int, actions: int) -> None:
        super().__init__()
        self.shape = (net.chunk, actions)
        self.first = nn.Linear(tokens * net.width, net.hidden)
        self.extra = nn.Linear(net.chunk * net.width, net.hidden) if net.head == "flow" else None
        self.layers = nn.ModuleList(
            nn.Sequential(
                nn.LayerNorm(net.hidden),
                nn.Linear(net.hidden, net.feedforward),
                nn.GELU(),
                nn.Dropout(net.dropout),
                nn.Linear(net.feedforward, net.hidden),
            )
            for _ in range(net.layers)
        )
        self.last = nn.LayerNorm(net.hidden)
        self.out = nn.Linear(net.hidden, net.chunk * actions)

    def read(self, tokens: Float[Tensor, "B N W"]) -> Float[Tensor, "B H"]:
        """What is the same for every step from noise to actions."""
        found: Tensor = self.first(nn.functional.gelu(tokens).flatten(1))
        return found

    def forward(
        self,
        context: Float[Tensor, "B H"],
        extra: Float[Tensor, "B K W"] | None = None,
        valid: Bool[Tensor, "B K"] | None = None,
    ) -> Float[Tensor, "B K A"]:
        """As `ChunkNetwork.decode`."""
        found = context
        if extra is not None and self.extra is not None:
            if valid is not None:
                extra = extra * valid[..., None]
            found = found + self.extra(extra.flatten(1))
        for layer in self.layers:
            found = found + layer(found)
        chunk: Tensor = self.out(self.last(found)).unflatten(1, self.shape)
        return chunk


class AttentionTrunk(nn.Module):
    """Encoder layers over the context, decoder layers from one query for each action.

    Layers normalise first, with GELU. Sources: Vaswani et al. 2017; ACT, Zhao et al. 2023.

    Args:
        net: sizes.
        tokens: N, of the context.
        actions: A.
    """

    def __init__(self, net: NetworkConfig, tokens: int, actions: int) -> None:
        super().__init__()
        d = net.width
        self.queries = nn.Parameter(0.02 * torch.randn(net.chunk, d))
        self.encoder = nn.ModuleList(encoder_layer(net) for _ in range(net.encoder_layers))
        self.decoder = nn.ModuleList(
            nn.TransformerDecoderLayer(
                d, net.heads, net.feedforward, net.dropout, "gelu", batch_first=True,
                norm_first=True,
            )
            for _ in range(net.layers)
        )  # fmt: skip
        self.last = nn.LayerNorm(d)
        self.out = mlp((d, d, actions))

    def read(self, tokens: Float[Tensor, "B N W"]) -> Float[Tensor, "B N W"]:
        """The context after it has attended to itself."""
        for layer in self.encoder:
            tokens = layer(tokens)
        return tokens

    def forward(
        self,
        context: Float[Tensor, "B N W"],
        extra: Float[Tensor, "B K W"] | None = None,
        valid: Bool[Tensor, "B K"] | None = None,
    ) -> Float[Tensor, "B K A"]:
        """As `ChunkNetwork.decode`; ``extra`` is added to the queries."""
        found = self.queries.expand(len(context), -1, -1)
        if extra is not None:
            found = found + extra
        for layer in self.decoder:
            found = layer(found, context, tgt_key_padding_mask=None if valid is None else ~valid)
        chunk: Tensor = self.out(self.last(found))
        return chunk


def mlp(sizes: tuple[int, ...]) -> nn.Sequential:
    """Linear layers with GELU between them."""
    layers: list[nn.Module] = []
    for one, two in pairwise(sizes):
        layers += [nn.Linear(one, two), nn.GELU()]
    return nn.Sequential(*layers[:-1])


def encoder_layer(net: NetworkConfig) -> nn.TransformerEncoderLayer:
    """A layer in which tokens attend to each other."""
    return nn.TransformerEncoderLayer(
        net.width, net.heads, net.feedforward, net.dropout, "gelu", batch_first=True,
        norm_first=True,
    )  # fmt: skip

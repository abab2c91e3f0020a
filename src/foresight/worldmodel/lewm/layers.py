"""Parts of the predictor: AdaLN-zero blocks, and the MLPs that embeddings come from."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from foresight.worldmodel.lewm.config import LeWMSizes

EPS = 1e-6


class ActionEncoder(nn.Module):
    """A block of actions to a condition: a linear mix, then Linear, SiLU, Linear.

    Args:
        block: W, numbers of a block.
        dim: of a condition.
    """

    def __init__(self, block: int, dim: int) -> None:
        super().__init__()
        self.mix = nn.Linear(block, block)
        self.net = nn.Sequential(nn.Linear(block, 4 * dim), nn.SiLU(), nn.Linear(4 * dim, dim))

    def forward(self, actions: Float[Tensor, "*b W"]) -> Float[Tensor, "*b D"]:
        """Conditions."""
        return self.net(self.mix(actions))


class Projection(nn.Module):
    """Linear, BatchNorm, GELU, Linear: what comes last before embeddings are compared.

    A norm over features would hold every embedding on a sphere; over the batch it does not.
    """

    def __init__(self, width: int, hidden: int, dim: int) -> None:
        super().__init__()
        self.up, self.norm = nn.Linear(width, hidden), nn.BatchNorm1d(hidden)
        self.down = nn.Linear(hidden, dim)

    def forward(self, x: Float[Tensor, "*b W"]) -> Float[Tensor, "*b D"]:
        """Embeddings."""
        flat = self.norm(self.up(x.flatten(0, -2)))
        return self.down(functional.gelu(flat)).view(*x.shape[:-1], -1)


class ConditionalBlock(nn.Module):
    """Causal attention and MLP whose norms are shifted, scaled and gated by a condition.

    AdaLN-zero (arXiv 2212.09748): the gates begin at 0, so a fresh block changes nothing.

    Args:
        sizes: of the predictor.
    """

    def __init__(self, sizes: LeWMSizes) -> None:
        super().__init__()
        dim, inner = sizes.dim, sizes.predictor_heads * sizes.head_dim
        self.heads, self.dropout = sizes.predictor_heads, sizes.dropout
        self.norm_attention, self.norm_mlp = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.qkv, self.out = nn.Linear(dim, 3 * inner, bias=False), nn.Linear(inner, dim)
        self.up = nn.Linear(dim, sizes.predictor_mlp)
        self.down = nn.Linear(sizes.predictor_mlp, dim)
        self.modulation = nn.Linear(dim, 6 * dim)
        nn.init.zeros_(self.modulation.weight)
        nn.init.zeros_(self.modulation.bias)

    def forward(
        self, x: Float[Tensor, "B T D"], condition: Float[Tensor, "B T D"]
    ) -> Float[Tensor, "B T D"]:
        """One block."""
        told = self.modulation(functional.silu(condition)).chunk(6, dim=-1)
        x = x + told[2] * self._attended(self.norm_attention(modulated(x, told[0], told[1])))
        return x + told[5] * self._changed(self.norm_mlp(modulated(x, told[3], told[4])))

    def _attended(self, x: Tensor) -> Tensor:
        split = self.qkv(x).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        query, key, value = split.unbind(0)
        drop = self.dropout if self.training else 0.0
        seen = functional.scaled_dot_product_attention(
            query, key, value, dropout_p=drop, is_causal=True
        )
        return self._dropped(self.out(seen.transpose(1, 2).flatten(2)))

    def _changed(self, x: Tensor) -> Tensor:
        return self._dropped(self.down(self._dropped(functional.gelu(self.up(x)))))

    def _dropped(self, x: Tensor) -> Tensor:
        return functional.dropout(x, self.dropout, self.training)


def modulated(x: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    """``norm(x) (1 + scale) + shift`` with a norm that has no weights of its own."""
    normed = functional.layer_norm(x, x.shape[-1:], eps=EPS)
    return torch.addcmul(shift, normed, 1 + scale)


class Predictor(nn.Module):
    """The next embedding from up to ``history`` embeddings and the blocks of actions after each.

    Args:
        sizes: of the predictor.
    """

    def __init__(self, sizes: LeWMSizes) -> None:
        super().__init__()
        self.position = nn.Parameter(torch.randn(1, sizes.history, sizes.dim))
        self.blocks = nn.ModuleList(ConditionalBlock(sizes) for _ in range(sizes.predictor_depth))
        self.norm = nn.LayerNorm(sizes.dim)

    def forward(
        self, z: Float[Tensor, "B T D"], condition: Float[Tensor, "B T D"]
    ) -> Float[Tensor, "B T D"]:
        """For each place what follows it, from itself and what is before it alone."""
        x = z + self.position[:, : z.shape[1]]
        for block in self.blocks:
            x = block(x, condition)
        return self.norm(x)

"""The mask predictor: from the tokens that were seen to those that were not."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from foresight.perception.pretraining.config import PredictorConfig
from foresight.perception.rope import grid_positions, rotary_tables
from foresight.perception.vit import Block, initialise


class Predictor(nn.Module):
    """A narrow transformer over seen tokens and learned mask tokens at the hidden patches.

    Args:
        token_dim: channels of the encoder's tokens (D).
        out_dim: channels of what is predicted (O).
        config: sizes.
    """

    def __init__(self, token_dim: int, out_dim: int, config: PredictorConfig) -> None:
        super().__init__()
        self.head_dim = config.dim // config.heads
        self.embed = nn.Linear(token_dim, config.dim)
        self.mask_token = nn.Parameter(torch.zeros(1, 1, config.dim))
        self.blocks = nn.ModuleList(
            Block(config.dim, config.heads, 4 * config.dim) for _ in range(config.depth)
        )
        self.norm = nn.LayerNorm(config.dim, eps=1e-6)
        self.proj = nn.Linear(config.dim, out_dim)
        self._tables: dict[tuple[int, int, int], tuple[Tensor, Tensor]] = {}
        initialise(self)

    def forward(
        self,
        tokens: Float[Tensor, "b k d"],
        keep: Int[Tensor, "b k"],
        hidden: Int[Tensor, "b m"],
        grid: tuple[int, int, int],
    ) -> tuple[Float[Tensor, "b k o"], Float[Tensor, "b m o"]]:
        """Predictions at the seen and at the hidden patches, ``[B, K, O]`` and ``[B, M, O]``."""
        seen = self.embed(tokens)
        batch, count = hidden.shape
        x = torch.cat([seen, self.mask_token.to(seen.dtype).expand(batch, count, -1)], dim=1)
        cos, sin = self._rotary(grid, x.device)
        indices = torch.cat([keep, hidden], dim=1)
        cos, sin = cos[indices][:, None], sin[indices][:, None]
        for block in self.blocks:
            x = block(x, cos, sin)
        out = self.proj(self.norm(x))
        return out[:, : keep.shape[1]], out[:, keep.shape[1] :]

    def _rotary(self, grid: tuple[int, int, int], device: torch.device) -> tuple[Tensor, Tensor]:
        if grid not in self._tables:
            cos, sin = rotary_tables(grid_positions(*grid), self.head_dim)
            self._tables[grid] = (cos.float(), sin.float())
        cos, sin = self._tables[grid]
        return cos.to(device), sin.to(device)

"""Small networks that read tokens: by attention, place by place, and an MLP for plain vectors.

A probe shall read what is there, not learn to see: each has less than half a million parameters.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn


class AttentiveProbe(nn.Module):
    """A few learned queries attend to the patches of a picture; an MLP reads what they bring.

    The queries are the same for every window, so a score is the product of a key with one learned
    vector. Position embeddings are added to the keys, and the keys are what is brought back, so
    that a query can say where it has looked.

    Args:
        grid: patches over (rows, columns).
        dim: features of a place D.
        outputs: numbers to give.
        queries: learned queries.
        width: features of a key.
        hidden: of the head.
        dropout: in the head.
    """

    def __init__(
        self,
        grid: tuple[int, int],
        dim: int,
        outputs: int,
        queries: int = 16,
        width: int = 96,
        hidden: int = 192,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        # Inputs have spread 1 over all patches. Where little differs from the mean picture, a
        # plain LayerNorm would blow nothing up to the size of everything: hence the large eps.
        # Scale and shift would only repeat the layer behind, and cost a third of the time.
        self.norm = nn.LayerNorm(dim, eps=1.0, elementwise_affine=False)
        self.key = nn.Linear(dim, width)
        self.position = nn.Parameter(_position_start(grid, width))
        self.query = nn.Parameter(torch.randn(width, queries) * width**-0.5)
        self.value = nn.Linear(width, 32)
        self.head = nn.Sequential(
            nn.LayerNorm(queries * 32),
            nn.Linear(queries * 32, hidden),
            nn.GELU(),
            nn.Dropout(dropout),
            nn.Linear(hidden, hidden),
            nn.GELU(),
            nn.Linear(hidden, outputs),
        )

    def forward(self, patches: Float[Tensor, "b n d"]) -> Float[Tensor, "b o"]:
        """Outputs ``[B, O]`` of centred patches ``[B, N, D]``."""
        keys = nn.functional.gelu(self.key(self.norm(patches)) + self.position)
        weights = (keys @ self.query).softmax(dim=1)
        found = weights.transpose(1, 2) @ keys
        return self.head(self.value(found).flatten(1))


class PatchProbe(nn.Module):
    """Every patch is summed up in a few numbers; an MLP reads those of all patches.

    Where attention brings what a few queries ask for, this keeps what stands where: the posture of
    a body with many links.

    Args:
        patches: number of patches P.
        dim: features of a place D.
        outputs: numbers to give.
        summary: numbers kept of each place.
        width: hidden features of a place.
        hidden: of the head.
        dropout: in the head.
    """

    def __init__(
        self,
        patches: int,
        dim: int,
        outputs: int,
        summary: int = 16,
        width: int = 96,
        hidden: int = 256,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        # As in the attentive probe: patches that never change must not be blown up.
        self.norm = nn.LayerNorm(dim, eps=1.0, elementwise_affine=False)
        self.summary = nn.Sequential(nn.Linear(dim, width), nn.GELU(), nn.Linear(width, summary))
        self.head = MlpProbe(patches * summary, outputs, hidden, dropout)

    def forward(self, patches: Float[Tensor, "b n d"]) -> Float[Tensor, "b o"]:
        """Outputs ``[B, O]`` of centred patches ``[B, N, D]``."""
        return self.head(self.summary(self.norm(patches)).flatten(1))


class MlpProbe(nn.Module):
    """Two hidden layers on a plain vector.

    Args:
        dim: features F.
        outputs: numbers to give.
        hidden: width of the layers.
        dropout: after each of them.
    """

    def __init__(self, dim: int, outputs: int, hidden: int = 256, dropout: float = 0.1) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.LayerNorm(dim),
            nn.Linear(dim, hidden),
            nn.GELU(),
            nn.Dropout(dropout),
            nn.Linear(hidden, hidden),
            nn.GELU(),
            nn.Dropout(dropout),
            nn.Linear(hidden, outputs),
        )

    def forward(self, features: Float[Tensor, "b f"]) -> Float[Tensor, "b o"]:
        """Outputs ``[B, O]`` of vectors ``[B, F]``."""
        return self.layers(features)


def _position_start(grid: tuple[int, int], width: int) -> Tensor:
    """Embeddings ``[N, width]`` to start from: smooth waves over rows and columns."""
    axes = torch.meshgrid(*(torch.linspace(-1, 1, n) for n in grid), indexing="ij")
    points = torch.stack([axis.flatten() for axis in axes], dim=1)  # [N, 2]
    waves = torch.randn(2, width) * 2.0
    phase = torch.rand(width) * 2 * torch.pi
    return 0.5 * torch.sin(points @ waves + phase)

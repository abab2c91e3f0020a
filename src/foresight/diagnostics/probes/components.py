"""Principal components of very wide rows, by randomised power iteration."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor

CHUNK = 256


def principal_scores(
    rows: Shaped[Tensor, "n p"],
    train: Int[Tensor, " a"],
    components: int = 256,
    passes: int = 2,
    seed: int = 0,
) -> Float[Tensor, "n k"]:
    """Scores of all rows on the training rows' components, strongest first, mean square 1.

    Source: Halko, Martinsson & Tropp 2011 (arXiv 0909.4061), algorithm 4.4; the rows are read a
    few times in pieces and never copied as a whole.

    Args:
        rows: ``[N, P]`` of any dtype.
        train: rows to fit on.
        components: how many at most.
        passes: of power iteration.
        seed: of the random start.
    """
    count = min(components, len(train) - 1, rows.shape[1])
    width = min(count + 16, len(train), rows.shape[1])
    mean = torch.zeros(rows.shape[1])
    for some in train.split(CHUNK):
        mean += rows[some].float().sum(dim=0)
    mean /= len(train)
    generator = torch.Generator().manual_seed(seed)
    basis = torch.randn(rows.shape[1], width, generator=generator)
    for _ in range(passes + 1):
        image = torch.zeros_like(basis)
        for some in train.split(CHUNK):
            part = rows[some].float() - mean
            image += part.T @ (part @ basis)
        basis = torch.linalg.qr(image).Q
    scores = torch.cat([(part.float() - mean) @ basis for part in rows.split(CHUNK)])
    # Turn the subspace so that its axes are the components.
    turned = torch.linalg.svd(scores[train], full_matrices=False).Vh[:count]
    scores = scores @ turned.T
    return scores / scores[train].square().mean().sqrt().clamp_min(1e-12)

"""What pretraining minimises: V-JEPA 2's masked latent prediction, and terms that may join it."""

from __future__ import annotations

import copy
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from foresight.perception.pretraining.config import PredictorConfig, Weights
from foresight.perception.pretraining.predictor import Predictor
from foresight.perception.vit import VisionTransformer


class MaskedPrediction(nn.Module):
    """The trained half: context encoder and predictor. One forward pass gives the loss.

    Args:
        encoder: the encoder to train.
        predictor: sizes of the mask predictor.
        weights: of the loss terms.
    """

    def __init__(
        self, encoder: VisionTransformer, predictor: PredictorConfig, weights: Weights
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.weights = weights
        self._pixels = bool(weights.pixels or weights.visible)
        self.pixel_dim = 3 * encoder.config.tubelet * encoder.config.patch**2
        self.token_dim = encoder.config.dim
        extra = self.pixel_dim if weights.pixels else 0
        self.predictor = Predictor(self.token_dim, self.token_dim + extra, predictor)
        # Straight from the token: through the narrow predictor little of a patch would pass.
        self.look = nn.Linear(self.token_dim, self.pixel_dim) if weights.visible else None

    def forward(
        self,
        clip: Float[Tensor, "b t 3 h w"],
        target: Float[Tensor, "b n d"] | None,
        masks: list[tuple[Int[Tensor, "b k"], Int[Tensor, "b m"]]],
        grid: tuple[int, int, int],
    ) -> tuple[Float[Tensor, ""], dict[str, Tensor]]:
        """The loss and its terms, averaged over ``masks``.

        Args:
            clip: normalised frames ``[B, T, 3, H, W]``.
            target: layer-normed target tokens ``[B, N, D]``; None where no latent term is on.
            masks: seen and hidden indices, one pair for each kind of mask.
            grid: tubelets, rows, columns.
        """
        patches = self.encoder.patch_embed.patches(clip) if self._pixels else None
        terms: dict[str, Tensor] = {}
        for keep, hidden in masks:
            tokens = self.encoder(clip, keep)
            seen, unseen = self.predictor(tokens, keep, hidden, grid)
            found = self._terms(seen, unseen, target, patches, keep, hidden)
            if self.look is not None and patches is not None:
                shown = _take(patches, keep)
                found["visible"] = functional.mse_loss(self.look(tokens).float(), shown)
            for name, value in found.items():
                share = value / len(masks)
                terms[name] = terms[name] + share if name in terms else share
        loss = torch.stack([getattr(self.weights, k) * v for k, v in terms.items()]).sum()
        return loss, terms

    def _terms(
        self,
        seen: Tensor,
        unseen: Tensor,
        target: Tensor | None,
        patches: Tensor | None,
        keep: Tensor,
        hidden: Tensor,
    ) -> dict[str, Tensor]:
        found: dict[str, Tensor] = {}
        size = self.token_dim
        if target is not None:
            if self.weights.latent:
                wanted = _take(target, hidden)
                found["latent"] = functional.l1_loss(unseen[..., :size].float(), wanted)
            if self.weights.dense:
                shown = _take(target, keep)
                found["dense"] = functional.l1_loss(seen[..., :size].float(), shown)
        if patches is not None and self.weights.pixels:
            wanted = _take(patches, hidden)
            found["pixels"] = functional.mse_loss(unseen[..., size:].float(), wanted)
        return found


class Target:
    """The exponential moving average of the encoder, which sees every token.

    Args:
        encoder: what it follows; copied.
    """

    def __init__(self, encoder: VisionTransformer) -> None:
        self.encoder = copy.deepcopy(encoder).eval().requires_grad_(False)

    @torch.no_grad()
    def __call__(self, clip: Float[Tensor, "b t 3 h w"]) -> Float[Tensor, "b n d"]:
        """Layer-normed tokens (fp32, no affine) of whole clips ``[B, T, 3, H, W]``."""
        tokens = self.encoder(clip).float()
        return functional.layer_norm(tokens, tokens.shape[-1:])

    @torch.no_grad()
    def follow(self, encoder: VisionTransformer, momentum: float) -> None:
        """``target = momentum * target + (1 - momentum) * encoder``."""
        own: list[Any] = list(self.encoder.parameters())
        torch._foreach_lerp_(own, list(encoder.parameters()), 1.0 - momentum)


def _take(tokens: Float[Tensor, "b n d"], index: Int[Tensor, "b m"]) -> Float[Tensor, "b m d"]:
    return tokens.gather(1, index[..., None].expand(-1, -1, tokens.shape[-1]))

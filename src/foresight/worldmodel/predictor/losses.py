"""What a frame-causal predictor learns from: teacher forcing, and a short rollout of its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional

from foresight.core.errors import ForesightError
from foresight.worldmodel.predictor.network import FramePredictor

Error = Literal["l1", "smooth_l1", "mse"]
ERRORS = {
    "l1": functional.l1_loss,
    "smooth_l1": functional.smooth_l1_loss,
    "mse": functional.mse_loss,
}


@dataclass(frozen=True)
class PredictorLossConfig:
    """The parts of the loss; the defaults are V-JEPA 2-AC's."""

    error: Error = "l1"
    """Of normalised tokens."""
    seen: int = 1
    """True frames from which the rollout begins."""
    rollout: int = 2
    """Frames that are imagined one from another; 1: teacher forcing alone."""


class PredictorLoss(nn.Module):
    """Error of every next frame from the true ones, plus that of a rollout (arXiv 2506.09985, 3.1).

    A robot's state is not known of frames that are imagined. So in every window it is hidden from a
    frame on, which the caller draws, and in the rollout from its first imagined frame on.

    Args:
        predictor: gradients flow through it, also through what is fed back.
        config: which parts.
    """

    def __init__(self, predictor: FramePredictor, config: PredictorLossConfig) -> None:
        super().__init__()
        self.predictor = predictor
        self.config = config

    def forward(
        self,
        tokens: Float[Tensor, "b t n d"],
        actions: Float[Tensor, "b t a"],
        states: Float[Tensor, "b t s"] | None = None,
        known: Bool[Tensor, "b t"] | None = None,
    ) -> dict[str, Tensor]:
        """``teacher`` and ``rollout``, means over everything.

        Args:
            tokens: normalised.
            actions: standardised, at each frame; the last one is not used.
            states: standardised, where the predictor is told of them.
            known: the frames whose state is known.

        Raises:
            ForesightError: windows that are too short.
        """
        seen, ahead = self.config.seen, self.config.rollout
        if seen < 1 or ahead < 1 or tokens.shape[1] < max(2, seen + ahead):
            raise ForesightError(
                f"Windows of {tokens.shape[1]} frames are too short for {seen} seen and {ahead} "
                "imagined ones: take longer windows."
            )
        error = ERRORS[self.config.error]

        def told(stop: int) -> tuple[Tensor, Tensor | None]:
            return actions[:, :stop], None if states is None else states[:, :stop]

        last = tokens.shape[1] - 1
        guess = self.predictor(
            tokens[:, :last], *told(last), None if known is None else known[:, :last]
        )
        losses = {"teacher": error(guess, tokens[:, 1:])}
        imagined = [guess[:, seen - 1 : seen]]
        for time in range(seen + 1, seen + ahead):
            frames = torch.cat([tokens[:, :seen], *imagined], dim=1)
            hidden = torch.arange(time, device=tokens.device) < seen
            shown = None if states is None else hidden.expand(len(tokens), -1)
            imagined.append(self.predictor(frames, *told(time), shown)[:, -1:])
        # The first imagined frame counts in both parts, as in V-JEPA 2-AC.
        truth = tokens[:, seen : seen + ahead]
        losses["rollout"] = error(torch.cat(imagined, dim=1), truth)
        return losses

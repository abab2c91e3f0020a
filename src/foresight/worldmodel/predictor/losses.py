"""What a frame-causal predictor learns from: teacher forcing, and rollouts of its own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional

from foresight.core.errors import ForesightError
from foresight.perception.ac_cache import GrowingCache, KeysAndValues
from foresight.worldmodel.predictor.network import FramePredictor

LENGTH = 0.25
"""What a squared error counts beside a cosine, which says nothing of how long a token is."""


def _cosine(guess: Float[Tensor, "*b d"], truth: Float[Tensor, "*b d"]) -> Float[Tensor, ""]:
    """One minus the cosine of every token, all alike, and a share of the squared error."""
    turned = 1 - functional.cosine_similarity(guess, truth, dim=-1)
    return turned.mean() + LENGTH * functional.mse_loss(guess, truth)


Error = Literal["l1", "smooth_l1", "mse", "cosine"]
ERRORS: dict[Error, Callable[[Tensor, Tensor], Tensor]] = {
    "l1": functional.l1_loss,
    "smooth_l1": functional.smooth_l1_loss,
    "mse": functional.mse_loss,
    "cosine": _cosine,
}


@dataclass(frozen=True)
class PredictorLossConfig:
    """The parts of the loss; the defaults are V-JEPA 2-AC's."""

    error: Error = "l1"
    """Of normalised tokens. mse asks for the mean of what may come, l1 for the median. cosine is of
    tokens around the training frames' mean token of their place, and counts those that hardly move
    as much as those that move most; with a share of mse."""
    seen: int = 1
    """True frames from which the rollout begins; fewer where a window has not so many."""
    rollout: int = 2
    """Frames that are imagined one from another; 1: teacher forcing alone, 0: to the window's
    end."""
    teacher: bool = True
    """The error of every next frame of a window from the true ones counts as much as the rollout's.
    Otherwise windows are seen for 1 to `seen` frames, drawn for each batch, and every prediction
    counts alike: those of the seen frames, and the rollout's. Then tokens far ahead are learned
    from, too, and with mse and `PredictorSizes.output` free the model says the mean of what may
    come."""
    growing: float = 0.0
    """Share of the updates in which rollouts grow, from one imagined frame at the end of a window
    to all that follow the frames that are seen; without teacher forcing. Gradients through long
    rollouts are large at times, and what one step does is learned without them."""

    def shown(self, frames: int) -> int:
        """Frames of a window that are seen at most, where a rollout goes to its end."""
        return self.seen if self.rollout else max(1, min(self.seen, frames - 1))


class Told(NamedTuple):
    """A window as a predictor takes it, T frames of it."""

    tokens: Float[Tensor, "b t n d"]
    actions: Float[Tensor, "b t a"]
    states: Float[Tensor, "b t s"] | None
    known: Bool[Tensor, "b t"] | None


class Persistence(nn.Module):
    """A predictor that says nothing will change: what a loss is to be compared with.

    Args:
        centre: ``[N, D]``, the mean token of each place.
        spread: of the tokens around it.
    """

    centre: Tensor
    spread: Tensor

    def __init__(self, centre: Tensor, spread: Tensor) -> None:
        super().__init__()
        self.register_buffer("centre", centre)
        self.register_buffer("spread", spread)

    def forward(
        self, tokens: Float[Tensor, "b t n d"], *told: Tensor | KeysAndValues | None
    ) -> Float[Tensor, "b t n d"]:
        """The frames themselves, whatever is told beside them."""
        return tokens


class PredictorLoss(nn.Module):
    """Error of predicted frames, of next ones and of a rollout (arXiv 2506.09985, 3.1).

    A robot's state is not known of frames that are imagined. So in windows with teacher forcing it
    is hidden from a frame on, which the caller draws, and in a rollout from its first imagined
    frame on.

    Args:
        predictor: gradients flow through it, also through what is fed back.
        config: which parts.
    """

    def __init__(
        self, predictor: FramePredictor | Persistence, config: PredictorLossConfig
    ) -> None:
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

        Without teacher forcing they are shares of the mean over all predictions: their sum is it.
        Tokens are then taken around their mean and in units of their spread, so that gradients have
        one size, and a bound on their norm one meaning, whatever the encoder.

        Args:
            tokens: normalised.
            actions: standardised, at each frame; the last one is not used.
            states: standardised, where the predictor is told of them.
            known: the frames whose state is known. Without teacher forcing as many in each window,
                and they are the frames that are seen, however many the configuration says.

        Raises:
            ForesightError: windows that are too short.
        """
        seen, ahead = self.config.shown(tokens.shape[1]), self.config.rollout
        if self.config.seen < 1 or ahead < 0 or tokens.shape[1] < max(2, seen + max(1, ahead)):
            raise ForesightError(
                f"Windows of {tokens.shape[1]} frames are too short for {seen} seen and {ahead} "
                "imagined ones: take longer windows, or see fewer frames of them."
            )
        window = Told(tokens, actions, states, known)
        return self._forced(window) if self.config.teacher else self._imagined(window)

    def _forced(self, window: Told) -> dict[str, Tensor]:
        tokens = window.tokens
        seen = self.config.shown(tokens.shape[1])
        ahead = self.config.rollout or tokens.shape[1] - seen
        last = tokens.shape[1] - 1
        known = None if window.known is None else window.known[:, :last]
        guess = self.predictor(tokens[:, :last], *_told(window, 0, last), known)
        losses = {"teacher": self._error(guess, tokens[:, 1:])}
        imagined = guess[:, seen - 1 : seen]
        if ahead > 1:
            imagined = self._rollout(window, seen, ahead)[:, seen - 1 :]
        # The first imagined frame counts in both parts, as in V-JEPA 2-AC.
        losses["rollout"] = self._error(imagined, tokens[:, seen : seen + ahead])
        return losses

    def _imagined(self, window: Told) -> dict[str, Tensor]:
        frames = window.tokens.shape[1]
        seen = self.config.shown(frames) if window.known is None else int(window.known[0].sum())
        ahead = min(self.config.rollout or frames, frames - seen)
        guess, truth = self._rollout(window, seen, ahead), window.tokens[:, 1 : seen + ahead]
        cut = seen - 1
        share = cut / guess.shape[1]
        forced = self._error(guess[:, :cut], truth[:, :cut]) if cut else guess.new_zeros(())
        rolled = self._error(guess[:, cut:], truth[:, cut:])
        return {"teacher": share * forced, "rollout": (1 - share) * rolled}

    def _error(
        self, guess: Float[Tensor, "b t n d"], truth: Float[Tensor, "b t n d"]
    ) -> Float[Tensor, ""]:
        """Around the mean token of each place and in units of the spread, but for V-JEPA 2-AC's."""
        if not self.config.teacher or self.config.error == "cosine":
            centre, spread = self.predictor.centre, self.predictor.spread
            guess, truth = (guess - centre) / spread, (truth - centre) / spread
        return ERRORS[self.config.error](guess, truth)

    def _rollout(self, window: Told, seen: int, ahead: int) -> Float[Tensor, "b h n d"]:
        """What follows each seen frame, then ``ahead`` - 1 more frames, each fed back."""
        cache, batch = GrowingCache(), len(window.tokens)
        known = torch.ones(batch, seen, dtype=torch.bool, device=window.tokens.device)
        guess = self.predictor(window.tokens[:, :seen], *_told(window, 0, seen), known, cache)
        found = [guess]
        for time in range(seen, seen + ahead - 1):
            told = _told(window, time, time + 1)
            guess = self.predictor(guess[:, -1:], *told, ~known[:, :1], cache)
            found.append(guess)
        return torch.cat(found, dim=1)


def _told(window: Told, start: int, stop: int) -> tuple[Tensor, Tensor | None]:
    """Actions and states of some frames."""
    states = window.states
    return window.actions[:, start:stop], None if states is None else states[:, start:stop]

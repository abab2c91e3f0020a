"""Transformer blocks over frames and their tokens, told of the action by modulated norms."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional

from foresight.worldmodel.dynamics.residual import dropouts

KeysValues = tuple[Tensor, Tensor]


class Attention(nn.Module):
    """Multi-head self-attention over the last but one axis, with keys and values of the past.

    Written out instead of PyTorch's fused kernel: sequences are short here, and the kernel's
    backward pass is slow on a CPU.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)

    def forward(
        self,
        x: Float[Tensor, "*batch L W"],
        past: KeysValues | None = None,
        allowed: Bool[Tensor, "L M"] | None = None,
    ) -> tuple[Float[Tensor, "*batch L W"], KeysValues]:
        """Attend to the past and to ``x`` itself.

        Args:
            x: the new tokens.
            past: keys and values ``[..., heads, P, W/heads]`` of earlier tokens.
            allowed: which of the M = P + L keys a new token may see; None: all.

        Returns:
            The attended tokens, and the keys and values of past and new tokens.
        """
        split = self.qkv(x).unflatten(-1, (3, self.heads, -1)).movedim(-2, -4)
        queries, keys, values = split.unbind(-2)
        if past is not None:
            keys = torch.cat([past[0], keys], dim=-2)
            values = torch.cat([past[1], values], dim=-2)
        scores = queries @ keys.mT * queries.shape[-1] ** -0.5
        if allowed is not None:
            scores = scores.masked_fill(~allowed, -torch.inf)
        mixed = scores.softmax(-1) @ values
        return self.out(mixed.movedim(-3, -2).flatten(-2)), (keys, values)


class Block(nn.Module):
    """Attention over time (and tokens) and an MLP, both behind norms that the action modulates.

    The modulation (shift, scale and gate of every branch) is linear in the action's code and
    starts at zero, so that a fresh block passes its input on (adaLN-Zero; Peebles & Xie 2023).

    With ``factorised`` a token attends to the tokens of its own frame and then to its own place in
    the frames before; else to all tokens of its own and all earlier frames at once.
    """

    def __init__(self, width: int, heads: int, factorised: bool, dropout: float) -> None:
        super().__init__()
        self.space = Attention(width, heads) if factorised else None
        self.time = Attention(width, heads)
        self.mlp = nn.Sequential(
            nn.Linear(width, 4 * width), nn.GELU(), *dropouts(dropout), nn.Linear(4 * width, width)
        )
        self.modulation = nn.Linear(width, (9 if factorised else 6) * width)
        nn.init.zeros_(self.modulation.weight)
        nn.init.zeros_(self.modulation.bias)

    def forward(
        self,
        x: Float[Tensor, "*batch T N W"],
        code: Float[Tensor, "*batch T 1 W"],
        past: KeysValues | None,
    ) -> tuple[Float[Tensor, "*batch T N W"], KeysValues]:
        """Pass T new frames through; ``past`` are keys and values of the frames before."""
        parts = self.modulation(functional.silu(code)).chunk(9 if self.space else 6, dim=-1)
        if self.space is not None:
            x = x + parts[8] * self.space(modulate(x, parts[6], parts[7]))[0]
        attended, kept = self._over_time(modulate(x, parts[0], parts[1]), past)
        x = x + parts[2] * attended
        return x + parts[5] * self.mlp(modulate(x, parts[3], parts[4])), kept

    def _over_time(self, x: Tensor, past: KeysValues | None) -> tuple[Tensor, KeysValues]:
        frames, tokens = x.shape[-3:-1]
        if self.space is not None:
            allowed = causal(frames, 1, past, x.device)
            out, kept = self.time(x.transpose(-2, -3), past, allowed)
            return out.transpose(-2, -3), kept
        out, kept = self.time(x.flatten(-3, -2), past, causal(frames, tokens, past, x.device))
        return out.unflatten(-2, (frames, tokens)), kept


def modulate(x: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    """``LayerNorm(x) (1 + scale) + shift``; the norm has no weights of its own."""
    return torch.addcmul(shift, functional.layer_norm(x, x.shape[-1:]), 1 + scale)


def causal(
    frames: int, tokens: int, past: KeysValues | None, device: torch.device
) -> Bool[Tensor, "L M"] | None:
    """Which keys new tokens may see: those of their own and of earlier frames.

    Args:
        frames: new frames.
        tokens: tokens per frame.
        past: keys and values that come before.
        device: where the mask is to be.

    Returns:
        ``[frames * tokens, past + frames * tokens]``, or None where everything may be seen.
    """
    if frames == 1:
        return None
    before = past[0].shape[-2] if past is not None else 0
    frame = torch.arange(frames, device=device).repeat_interleave(tokens)
    seen = torch.ones(len(frame), before, dtype=torch.bool, device=device)
    return torch.cat([seen, frame[:, None] >= frame[None]], dim=1)

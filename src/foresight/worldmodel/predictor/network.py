"""A frame-causal transformer over the tokens of a frozen encoder, conditioned on actions.

The architecture is that of V-JEPA 2-AC's predictor (arXiv 2506.09985, section 3), from which
attention, rotary positions and the cache are taken: attention is full inside a frame and causal
over frames, the output at frame t predicts frame t + 1 and is normalised (LayerNorm without scale
and shift) as its targets are. What differs is said in `PredictorSizes`: by default rotary positions
are true rotations and attention sees a sliding window of frames, so that a rollout may go on for
longer than what was trained on; and the output is the change of the present frame, or free.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional

from foresight.core.errors import ForesightError
from foresight.perception.ac_cache import FrameCache, KeysAndValues
from foresight.perception.ac_layers import MLP, Attention, frame_tables
from foresight.perception.ac_predictor import normalise
from foresight.worldmodel.predictor.config import PredictorSizes

INIT = 0.02
"""Spread of first weights, as in V-JEPA 2."""
KEPT = 0.95
"""Share of a frame's distance from the mean that a free output keeps at first."""


class PredictorBlock(nn.Module):
    """One pre-norm block on an fp32 residual stream; with adaLN the condition modulates it.

    adaLN-Zero: scale, shift and gate of both parts are linear in the condition and begin at zero
    (Peebles & Xie 2023, section 3.2).
    """

    def __init__(self, sizes: PredictorSizes) -> None:
        super().__init__()
        modulated = sizes.conditioning == "adaln"
        self.norm1 = nn.LayerNorm(sizes.width, eps=1e-6)
        self.attn = Attention(sizes.width, sizes.heads, sizes.context)
        self.norm2 = nn.LayerNorm(sizes.width, eps=1e-6)
        self.mlp = MLP(sizes.width, 4 * sizes.width)
        self.modulation = nn.Linear(sizes.width, 6 * sizes.width) if modulated else None

    def forward(
        self,
        x: Float[Tensor, "b t m c"],
        cos: Float[Tensor, "t m 1 k"],
        sin: Float[Tensor, "t m 1 k"],
        condition: Float[Tensor, "b t c"] | None,
        cache: KeysAndValues | None,
        layer: int,
    ) -> Float[Tensor, "b t m c"]:
        """Tokens after this block; ``condition`` is for adaLN."""
        if self.modulation is None:
            x = x + self.attn(self.norm1(x), cos, sin, cache, layer)
            return x + self.mlp(self.norm2(x))
        assert condition is not None
        parts = self.modulation(functional.silu(condition))[:, :, None].chunk(6, dim=-1)
        scale, shift, gate, scale2, shift2, gate2 = parts
        first = self.norm1(x) * (1 + scale) + shift
        x = x + gate * self.attn(first, cos, sin, cache, layer)
        return x + gate2 * self.mlp(self.norm2(x) * (1 + scale2) + shift2)


class FramePredictor(nn.Module):
    """Predicts the next frame's tokens from the frames so far, actions and the robot's state.

    Attributes:
        sizes: of the network.
        centre: ``[N, D]``, the training frames' mean token of each place.
        spread: their standard deviation around it, one number; both scale what is read.
    """

    centre: Tensor
    spread: Tensor

    def __init__(self, sizes: PredictorSizes) -> None:
        """Build it with fresh weights.

        Raises:
            ForesightError: sizes that do not go together.
        """
        super().__init__()
        sizes.check()
        self.sizes = sizes
        self.embed = nn.Linear(sizes.dim, sizes.width)
        self.action_encoder = nn.Linear(sizes.actions, sizes.width)
        self.state_encoder = nn.Linear(sizes.states, sizes.width) if sizes.states else None
        self.unknown = nn.Parameter(torch.zeros(sizes.width)) if sizes.states else None
        self.blocks = nn.ModuleList(PredictorBlock(sizes) for _ in range(sizes.depth))
        self.norm = nn.LayerNorm(sizes.width, eps=1e-6)
        self.head = nn.Linear(sizes.width, sizes.dim)
        kept = torch.full((sizes.dim,), KEPT)
        self.keep = nn.Parameter(kept) if sizes.output == "free" else None
        learned = sizes.positions == "learned"
        self.frame_places = (
            nn.Parameter(torch.zeros(sizes.context, sizes.width)) if learned else None
        )
        places = sizes.patches + sizes.conditions
        self.token_places = nn.Parameter(torch.zeros(places, sizes.width)) if learned else None
        self.register_buffer("centre", torch.zeros(sizes.patches, sizes.dim))
        self.register_buffer("spread", torch.ones(()))
        self._tables: tuple[Tensor, Tensor] | None = None
        self._initialise()

    def _initialise(self) -> None:
        for name, module in self.named_modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=INIT)
                nn.init.zeros_(module.bias)
                if name.endswith(("proj", "fc2")):
                    # As GPT-2 does: the residual stream's variance does not grow with the depth.
                    with torch.no_grad():
                        module.weight.div_(math.sqrt(2 * self.sizes.depth))
                if name.endswith("modulation") or (name == "head" and self.sizes.residual):
                    nn.init.zeros_(module.weight)
        for places in (self.frame_places, self.token_places):
            if places is not None:
                nn.init.trunc_normal_(places, std=INIT)

    @torch.no_grad()
    def fit_scale(self, tokens: Float[Tensor, "n p d"]) -> None:
        """Take centre and spread from frames of the training episodes."""
        self.centre.copy_(tokens.mean(0))
        self.spread.copy_((tokens - self.centre).square().mean().sqrt().clamp(min=1e-6))

    def forward(
        self,
        tokens: Float[Tensor, "b t p d"],
        actions: Float[Tensor, "b t a"],
        states: Float[Tensor, "b t s"] | None = None,
        known: Bool[Tensor, "b t"] | None = None,
        cache: KeysAndValues | None = None,
    ) -> Float[Tensor, "b t p d"]:
        """Predict, from every frame and those before it, the frame that follows (teacher forcing).

        Args:
            tokens: ``[B, T, N, D]``, normalised as `normalise` does.
            actions: ``[B, T, A]``, standardised, taken at each frame.
            states: ``[B, T, S]``, standardised; left out where the sizes have none.
            known: ``[B, T]``, the frames whose state is known; None: all.
            cache: frames that came before; the new ones are added to it.

        Returns:
            ``[B, T, N, D]`` in fp32, normalised unless the output is free; frame t predicts frame
            t + 1.

        Raises:
            ForesightError: shapes that do not fit, or more frames than there are places for.
        """
        self._check(tokens, actions, states, cache)
        time = actions.shape[1]
        first = cache.frames if cache is not None else 0
        x = self.embed((tokens - self.centre) / self.spread)
        told = self._told(actions, states, known)
        condition = None
        if self.sizes.conditioning == "tokens":
            x = torch.cat([torch.stack(told, dim=2).to(x.dtype), x], dim=2)
        else:
            condition = torch.stack(told).sum(0)
        x = x.float()
        if self.frame_places is not None and self.token_places is not None:
            x = x + self.frame_places[first : first + time, None] + self.token_places
        cos, sin = self._rotary(first, time, x)
        for layer, block in enumerate(self.blocks):
            x = block(x, cos, sin, condition, cache, layer)
        if cache is not None:
            cache.advance(time)
        out = self.head(self.norm(x[:, :, self.sizes.conditions :])).float()
        if self.keep is not None:
            return self.centre + self.keep * (tokens - self.centre) + self.spread * out
        moved = tokens + self.spread * out if self.sizes.residual else out
        return normalise(moved)

    def new_cache(self, batch: int, frames: int) -> FrameCache:
        """An empty cache for ``batch`` rollouts of up to ``frames`` frames.

        It holds ``depth * 2 * batch * frames * (N + conditions) * width`` numbers.
        """
        sizes = self.sizes
        half = torch.is_autocast_enabled(self.head.weight.device.type)
        return FrameCache(
            sizes.depth,
            batch,
            sizes.heads,
            sizes.width // sizes.heads,
            sizes.patches + sizes.conditions,
            frames,
            self.head.weight.device,
            torch.bfloat16 if half else torch.float32,
        )

    @torch.no_grad()
    def rollout(
        self,
        tokens: Float[Tensor, "b p n d"],
        actions: Float[Tensor, "b l a"],
        states: Float[Tensor, "b p s"] | None = None,
        cached: bool = True,
        cache: FrameCache | None = None,
    ) -> Float[Tensor, "b h n d"]:
        """Imagine H frames, each fed back as if it had been seen; states are then unknown.

        Args:
            tokens: ``[B, P, N, D]`` of the P ≥ 1 frames that were seen.
            actions: ``[B, P - 1 + H, A]``: those at the seen frames, the present one included, then
                one for each further imagined frame.
            states: ``[B, P, S]`` at the seen frames.
            cached: keep keys and values; without, everything is computed again at each step.
            cache: with ``cached``, frames that came even before, for example a fork.

        Returns:
            ``[B, H, N, D]``, normalised.

        Raises:
            ForesightError: as `forward`, or fewer actions than seen frames.
        """
        seen, total = tokens.shape[1], actions.shape[1]
        if total < seen or not seen:
            raise ForesightError(
                f"A rollout from {seen} seen frames got {total} actions: give one for each of them "
                "and one for each further imagined frame."
            )
        shown, known = self._shown_states(states, seen, total)
        if cached and cache is None:
            cache = self.new_cache(len(tokens), total)
        frames, new = tokens, tokens
        predictions = []
        for time in range(seen, total + 1):
            at = slice(time - new.shape[1] if cached else 0, time)
            guess = self(
                new if cached else frames,
                actions[:, at],
                None if shown is None else shown[:, at],
                None if known is None else known[:, at],
                cache if cached else None,
            )
            new = guess[:, -1:]
            predictions.append(new)
            if not cached:
                frames = torch.cat([frames, new], dim=1)
        return torch.cat(predictions, dim=1)

    @staticmethod
    def _shown_states(
        states: Tensor | None, seen: int, total: int
    ) -> tuple[Tensor | None, Tensor | None]:
        """States of all frames, zero where nothing is known, and where something is."""
        if states is None:
            return None, None
        shown = functional.pad(states, (0, 0, 0, total - seen))
        known = torch.arange(total, device=states.device) < seen
        return shown, known.expand(len(states), -1)

    def _told(
        self, actions: Tensor, states: Tensor | None, known: Tensor | None
    ) -> list[Float[Tensor, "b t c"]]:
        """Embeddings of what is told of each frame."""
        told = [self.action_encoder(actions)]
        if self.state_encoder is not None and self.unknown is not None and states is not None:
            state = self.state_encoder(states)
            if known is not None:
                state = torch.where(known[..., None], state, self.unknown.to(state.dtype))
            told.append(state)
        return told

    def _rotary(self, first: int, time: int, like: Tensor) -> tuple[Tensor, Tensor]:
        """Cosines and signed sines of the frames ``first`` to ``first + time``."""
        sizes = self.sizes
        kept = self._tables
        if kept is None or len(kept[0]) < first + time or kept[0].device != like.device:
            frames = max(first + time, 2 * sizes.context)
            head_dim = sizes.width // sizes.heads
            cos, sin = frame_tables(frames, sizes.grid, head_dim, sizes.conditions, pairs=True)
            if sizes.positions == "learned":
                cos, sin = torch.ones_like(cos), torch.zeros_like(sin)
            kept = self._tables = (
                cos.to(like.device, torch.float32),
                sin.to(like.device, torch.float32),
            )
        kind = like.device.type
        half = torch.is_autocast_enabled(kind)
        dtype = torch.get_autocast_dtype(kind) if half else torch.float32
        return kept[0][first : first + time].to(dtype), kept[1][first : first + time].to(dtype)

    def _check(
        self, tokens: Tensor, actions: Tensor, states: Tensor | None, cache: KeysAndValues | None
    ) -> None:
        sizes = self.sizes
        if tokens.ndim != 4 or tuple(tokens.shape[2:]) != (sizes.patches, sizes.dim):
            raise ForesightError(
                f"Tokens of shape {list(tokens.shape)} do not fit this predictor: expected [batch, "
                f"frames, {sizes.patches}, {sizes.dim}], from the encoder it was trained on."
            )
        batch, time = tokens.shape[:2]
        given = {"actions": (actions, sizes.actions)}
        if states is not None or sizes.states:
            found = tokens.new_zeros(0) if states is None else states
            given["states"] = (found, sizes.states)
        for name, (value, width) in given.items():
            if tuple(value.shape) != (batch, time, width):
                raise ForesightError(
                    f"The {name} have shape {list(value.shape)}, expected [{batch}, {time}, "
                    f"{width}] for {time} frames: give {width} numbers for every frame."
                )
        held = 0 if cache is None else cache.frames
        room = sizes.limit if cache is None else min(cache.limit, sizes.limit or cache.limit)
        if room is not None and held + time > room:
            raise ForesightError(
                f"{held + time} frames are too many for a predictor with room for {room}: give "
                "fewer frames or a shorter horizon."
            )

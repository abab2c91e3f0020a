"""Many futures at once: what candidates share is computed once, nothing is recomputed needlessly.

The predictor sees a sliding window of embeddings with absolute positions, so what was computed for
an embedding at one place cannot stand for it at another. What can be saved, exactly:

- What lies before the present is the same for all candidates: its tokens are computed for scenes,
  not for candidates, in every window that still sees them.
- Shift, scale and gate of a token follow from its block of actions alone: they are computed once
  for each block and not again in every window.
- Of the last block's output only the newest token is read.
- The projection's BatchNorm is folded into the linear map before it.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from foresight.worldmodel.lewm.layers import ConditionalBlock, Projection, modulated
from foresight.worldmodel.lewm.model import LeWorldModel

Told = Sequence[Tensor]
"""Shift, scale and gate of attention, then of the MLP: ``[N, T, D]`` each."""


class FastPredictor:
    """The predictor of a trained model, frozen, for rollouts.

    Args:
        model: in eval mode; its weights are copied if they are rounded.
        dtype: of the products.
    """

    def __init__(self, model: LeWorldModel, dtype: torch.dtype = torch.float32) -> None:
        self.history, self.dtype = model.config.sizes.history, dtype
        self.encoder = model.action_encoder
        self.blocks = [_Block(block, dtype) for block in model.predictor.blocks]  # type: ignore[arg-type]
        self.position = model.predictor.position.detach()
        self.norm = model.predictor.norm
        self.projection = _folded(model.predicted)

    @torch.inference_mode()
    def imagine(
        self,
        seen: Float[Tensor, "B P D"],
        done: Float[Tensor, "B Q W"],
        actions: Float[Tensor, "B S H W"],
    ) -> Float[Tensor, "B S H1 D"]:
        """Roll candidates out from what was seen.

        Args:
            seen: P embeddings, the present one last; those beyond the history are not looked at.
            done: the P - 1 blocks of actions between them.
            actions: H blocks of S candidates.

        Returns:
            The present and H imagined embeddings.
        """
        scenes, samples, horizon, _ = actions.shape
        kept = min(seen.shape[1], self.history)
        seen, done = seen[:, -kept:], done[:, done.shape[1] - kept + 1 :]
        shared = _told(self.blocks, self.encoder(done)) if done.shape[1] else None
        own = _told(self.blocks, self.encoder(actions.flatten(0, 1)))
        past = seen[:, :-1]
        ahead = [seen[:, -1].repeat_interleave(samples, 0)]
        for step in range(horizon):
            count = min(step + 1, self.history)
            before = min(past.shape[1], self.history - count)
            window = torch.stack(ahead[-count:], 1)
            ahead.append(
                self._next(
                    past[:, past.shape[1] - before :],
                    None if shared is None else _cut(shared, done.shape[1] - before, None),
                    window,
                    _cut(own, step + 1 - count, step + 1),
                )
            )
        return torch.stack(ahead, 1).view(scenes, samples, horizon + 1, -1)

    def _next(
        self,
        past: Float[Tensor, "B p D"],
        shared: list[list[Tensor]] | None,
        window: Float[Tensor, "N q D"],
        own: list[list[Tensor]],
    ) -> Float[Tensor, "N D"]:
        """The embedding after a window: p shared tokens, then q of each candidate."""
        before = past.shape[1]
        x = window + self.position[:, before : before + window.shape[1]]
        y = past + self.position[:, :before]
        last = len(self.blocks) - 1
        for index, block in enumerate(self.blocks):
            known = None
            if before and shared is not None:
                y, known = block.shared(y, shared[index], needed=index < last)
            x = block(x, own[index], known, newest=index == last)
        return self.projection(self.norm(x[:, -1]))


class _Block:
    """One block, as few large operations."""

    def __init__(self, block: ConditionalBlock, dtype: torch.dtype) -> None:
        self.heads, self.dtype = block.heads, dtype
        self.norms = (block.norm_attention, block.norm_mlp)
        self.modulation = (block.modulation.weight.to(dtype), block.modulation.bias.to(dtype))
        self.qkv = block.qkv.weight.to(dtype)
        self.out = (block.out.weight.to(dtype), block.out.bias.to(dtype))
        self.up = (block.up.weight.to(dtype), block.up.bias.to(dtype))
        self.down = (block.down.weight.to(dtype), block.down.bias.to(dtype))
        self.inner = len(self.qkv) // 3

    def told(self, condition: Float[Tensor, "N T D"]) -> list[Tensor]:
        """Shift, scale and gate of both halves."""
        found = functional.linear(functional.silu(condition).to(self.dtype), *self.modulation)
        return list(found.float().chunk(6, dim=-1))

    def shared(
        self, y: Float[Tensor, "B p D"], told: Told, needed: bool
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Tokens before the present, and their keys and values; the last block needs no tokens."""
        query, key, value = self._split(y, told).chunk(3, -1)
        if needed:
            q, k, v = (self._headed(part) for part in (query, key, value))
            mixed = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
            y = self._rest(y, mixed.transpose(1, 2).flatten(2), told)
        return y, (key, value)

    def __call__(
        self,
        x: Float[Tensor, "N q D"],
        told: Told,
        known: tuple[Tensor, Tensor] | None,
        newest: bool,
    ) -> Float[Tensor, "N t D"]:
        """The candidates' tokens, or of each the newest alone."""
        if newest:
            mixed_in = _normed(x, told, self.norms[0]).to(self.dtype)
            key, value = functional.linear(mixed_in, self.qkv[self.inner :]).chunk(2, -1)
            query = functional.linear(mixed_in[:, -1:], self.qkv[: self.inner])
            x, told = x[:, -1:], [part[:, -1:] for part in told]
        else:
            query, key, value = self._split(x, told).chunk(3, -1)
        return self._rest(x, self._mixed(query, key, value, known), told)

    def _headed(self, part: Float[Tensor, "B p I"]) -> Float[Tensor, "B h p d"]:
        return part.unflatten(-1, (self.heads, -1)).transpose(1, 2)

    def _split(self, x: Tensor, told: Told) -> Tensor:
        return functional.linear(_normed(x, told, self.norms[0]).to(self.dtype), self.qkv)

    def _mixed(
        self, query: Tensor, key: Tensor, value: Tensor, known: tuple[Tensor, Tensor] | None
    ) -> Float[Tensor, "N t I"]:
        """Attention over at most ``history`` keys, one pair of tokens after the other.

        Windows are of three tokens or so: sums over pairs are faster than any batched product.
        """
        count, queries, keys = len(query), query.shape[1], key.shape[1]
        split = (self.heads, self.inner // self.heads)
        q = query.unflatten(-1, split) * split[1] ** -0.5
        found = []
        for i in range(queries):
            reach = keys - queries + i + 1
            pairs = [(key[:, j], value[:, j]) for j in range(reach)]
            if known is not None:
                scenes = len(known[0])
                spread = count // scenes
                shared = [
                    tuple(part[:, j].repeat_interleave(spread, 0) for part in known)
                    for j in range(known[0].shape[1])
                ]
                pairs = [*shared, *pairs]  # type: ignore[list-item]
            if len(pairs) == 1:
                found.append(pairs[0][1])
                continue
            scores = torch.stack(
                [(q[:, i] * k.unflatten(-1, split)).sum(-1, dtype=torch.float32) for k, _ in pairs]
            )
            shares = scores.softmax(0).to(self.dtype)[..., None]
            mixed = shares[0] * pairs[0][1].unflatten(-1, split)
            for share, (_, v) in zip(shares[1:], pairs[1:], strict=True):
                mixed = torch.addcmul(mixed, share, v.unflatten(-1, split))
            found.append(mixed.flatten(-2))
        return torch.stack(found, 1)

    def _rest(self, x: Tensor, mixed: Tensor, told: Told) -> Tensor:
        x = torch.addcmul(x, told[2], functional.linear(mixed, *self.out).float())
        hidden = functional.linear(_normed(x, told[3:], self.norms[1]).to(self.dtype), *self.up)
        changed = functional.linear(functional.gelu(hidden), *self.down)
        return torch.addcmul(x, told[5], changed.float())


def _normed(x: Tensor, told: Told, norm: torch.nn.LayerNorm) -> Tensor:
    return norm(modulated(x, told[0], told[1]))


def _told(blocks: Sequence[_Block], condition: Tensor) -> list[list[Tensor]]:
    return [block.told(condition) for block in blocks]


def _cut(told: list[list[Tensor]], first: int, end: int | None) -> list[list[Tensor]]:
    return [[part[:, first:end] for part in parts] for parts in told]


def _folded(projection: Projection) -> torch.nn.Sequential:
    """A projection in eval mode without its BatchNorm, in float32: it says how near a goal is."""
    norm, up, down = projection.norm, projection.up, projection.down
    assert norm.running_mean is not None and norm.running_var is not None
    gain = norm.weight * (norm.running_var + norm.eps).rsqrt()
    first = torch.nn.Linear(up.in_features, up.out_features)
    first.weight.data = (up.weight * gain[:, None]).detach()
    first.bias.data = ((up.bias - norm.running_mean) * gain + norm.bias).detach()
    second = torch.nn.Linear(down.in_features, down.out_features)
    second.load_state_dict(down.state_dict())
    return torch.nn.Sequential(first, torch.nn.GELU(), second).to(up.weight.device)

"""Dynamics that remember: a causal transformer over past latents, of one or of many tokens."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from foresight.core.errors import ForesightError
from foresight.worldmodel.dynamics.attention import Block, KeysValues, modulate
from foresight.worldmodel.dynamics.rollout import cut
from foresight.worldmodel.dynamics.stacked import Positions

History = tuple[Float[Tensor, "*batch P Z"], Float[Tensor, "*batch P A"]]
"""The P states before the present, oldest first, and the action that was taken in each."""


@dataclass(frozen=True)
class Cache:
    """Keys and values of the frames seen so far, one pair for each block.

    A frame's keys never change once it is there, because attention is causal over frames: stepping
    with a cache gives what a run over all frames would. It is never written into, so one cache may
    be continued in several ways.
    """

    frames: int
    layers: tuple[KeysValues, ...]

    def detach(self) -> Self:
        """The same without gradient."""
        layers = tuple((keys.detach(), values.detach()) for keys, values in self.layers)
        return type(self)(self.frames, layers)

    def spread(self, copies: int, axis: int) -> Self:
        """Let each scene go on in ``copies`` ways: a new batch axis at ``axis``, of no memory."""

        def spread(tensor: Tensor) -> Tensor:
            shape = (*tensor.shape[:axis], copies, *tensor.shape[axis:])
            return tensor.unsqueeze(axis).expand(shape)

        layers = tuple((spread(keys), spread(values)) for keys, values in self.layers)
        return type(self)(self.frames, layers)


class HistoryDynamics(nn.Module):
    """``z_{t+1} = z_t + f(z_{≤t}, a_{≤t})`` with ``f`` a causal transformer over frames.

    A state is one frame of ``tokens`` tokens of Z / tokens numbers each: 1 makes it a transformer
    over latent vectors, N a predictor over the spatial grid ``[..., N, D]``, whose states are
    passed flattened. The action of a frame modulates the norms of every block (adaLN-Zero). The
    output layer starts at zero, so a fresh network predicts that nothing changes.

    **History.** The network sees at most ``context`` frames: P past ones, the present and the
    imagined ones that lead on, so P + H ≤ context. `step` and `forward` without a history see the
    present alone (P = 0). Frames are counted from the oldest that is given.

    Args:
        latent: Z.
        actions: A.
        width: of the transformer; a multiple of ``heads``.
        layers: blocks.
        heads: attention heads.
        context: the most frames seen at once.
        tokens: N, tokens per frame; divides Z.
        factorised: attend over space and time in turn instead of at once; for N > 1.
        dropout: share dropped inside the MLPs.

    Raises:
        ForesightError: sizes that do not divide.
    """

    def __init__(
        self,
        latent: int,
        actions: int,
        width: int = 256,
        layers: int = 4,
        heads: int = 4,
        context: int = 8,
        tokens: int = 1,
        factorised: bool = False,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        if latent % tokens or width % heads:
            raise ForesightError(
                f"A latent of {latent} in {tokens} tokens and a width of {width} in {heads} heads "
                "do not divide: choose tokens that divide the latent and heads that divide the "
                "width."
            )
        self.context, self.tokens = context, tokens
        dim = latent // tokens
        self.embed = nn.Linear(dim, width)
        self.code = nn.Linear(actions, width)
        self.when = Positions(context, 1, width)
        self.where = Positions(1, tokens, width)
        self.blocks = nn.ModuleList(
            Block(width, heads, factorised and tokens > 1, dropout) for _ in range(layers)
        )
        self.modulation = nn.Linear(width, 2 * width)
        self.out = nn.Linear(width, dim)
        for layer in (self.modulation, self.out):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

    def predict(
        self,
        z: Float[Tensor, "*batch T Z"],
        actions: Float[Tensor, "*batch T A"],
        cache: Cache | None = None,
    ) -> tuple[Float[Tensor, "*batch T Z"], Cache]:
        """The state after each of T known frames, each from the frames up to it.

        Args:
            z: T states in a row.
            actions: what is done in each.
            cache: the frames before; continued, not changed.

        Returns:
            The T next states and the cache of all frames.

        Raises:
            ForesightError: more frames than the context holds.
        """
        before = cache.frames if cache is not None else 0
        self.expect_room(before, z.shape[-2])
        dtype = self.embed.weight.dtype
        frames = z.unflatten(-1, (self.tokens, -1)).to(dtype)
        x = self.where(self.when(self.embed(frames), before))
        code = functional.silu(self.code(actions.to(dtype)))[..., None, :]
        kept = []
        for index, block in enumerate(self.blocks):
            x, keys_values = block(x, code, cache.layers[index] if cache is not None else None)
            kept.append(keys_values)
        shift, scale = self.modulation(code).chunk(2, dim=-1)
        change = self.out(modulate(x, shift, scale)).flatten(-2)
        return z + change.to(z.dtype), Cache(before + z.shape[-2], tuple(kept))

    def step(
        self, z: Float[Tensor, "*batch Z"], action: Float[Tensor, "*batch A"]
    ) -> Float[Tensor, "*batch Z"]:
        """One step from the present alone."""
        return self.predict(z[..., None, :], action[..., None, :])[0][..., 0, :]

    def forward(
        self,
        z: Float[Tensor, "*batch Z"],
        actions: Float[Tensor, "*batch H A"],
        truncate: int | None = None,
        history: History | None = None,
    ) -> Float[Tensor, "*batch H+1 Z"]:
        """Imagine ``H`` steps open loop; entry 0 is ``z`` itself.

        Args:
            z: the present.
            actions: what is done from now on.
            truncate: stop the gradient every so many steps; None lets it flow through all.
            history: what came before the present.

        Raises:
            ForesightError: history and horizon together are longer than the context.
        """
        return self.go_on(z, actions, self.remember(history, actions.shape[-2]), truncate)

    def remember(self, history: History | None, horizon: int) -> Cache | None:
        """The cache of a history, for imagining ``horizon`` steps from the state after it.

        Raises:
            ForesightError: history and horizon together are longer than the context.
        """
        past = history[0].shape[-2] if history is not None else 0
        self.expect_room(past, horizon)
        return self.predict(*history)[1] if history is not None and past else None

    def go_on(
        self,
        z: Float[Tensor, "*batch Z"],
        actions: Float[Tensor, "*batch H A"],
        cache: Cache | None,
        truncate: int | None = None,
    ) -> Float[Tensor, "*batch H+1 Z"]:
        """Imagine from ``z``, the state that follows what the cache holds."""
        states = [z]
        for index, action in enumerate(actions.unbind(-2)):
            state = cut(states[-1], index, truncate)
            if cache is not None and state is not states[-1]:
                cache = cache.detach()
            following, cache = self.predict(state[..., None, :], action[..., None, :], cache)
            states.append(following[..., 0, :])
        return torch.stack(states, dim=-2)

    def imagine(
        self, z0: Float[Tensor, "B Z"], actions: Float[Tensor, "B S H A"]
    ) -> Float[Tensor, "1 B S H+1 Z"]:
        """Imagine whole futures of S candidates for B scenes, each frame computed once.

        Raises:
            ForesightError: the horizon is longer than the context.
        """
        return Remembering(self, no_history(z0, actions)).imagine(z0, actions)

    def expect_room(self, past: int, more: int) -> None:
        """Refuse more frames than the context holds.

        Raises:
            ForesightError: it does.
        """
        if past + more > self.context:
            raise ForesightError(
                f"A history of {past} steps and a horizon of {more} do not fit the context of "
                f"{self.context} steps that this dynamics was trained with: shorten the horizon to "
                f"{max(0, self.context - past)}, give less history, or train with a longer context."
            )


def no_history(z0: Float[Tensor, "B Z"], actions: Float[Tensor, "B S H A"]) -> History:
    """A past of no steps."""
    return z0.new_empty(len(z0), 0, z0.shape[-1]), actions[:, 0, :0]


class Remembering:
    """A history dynamics that goes on from a known past: what a planner searches with.

    The past is computed once and shared by all candidates.

    Args:
        dynamics: a `HistoryDynamics`, or an ensemble of them.
        history: ``[B, P, Z]`` states before the present and ``[B, P, A]`` the actions taken there.
    """

    def __init__(self, dynamics: nn.Module, history: History) -> None:
        self.dynamics = dynamics
        self.history = history

    def step(
        self, z: Float[Tensor, "*batch Z"], action: Float[Tensor, "*batch A"]
    ) -> Float[Tensor, "*batch Z"]:
        """One step from the present alone; `imagine` knows the past."""
        return self.dynamics.step(z, action)  # type: ignore[operator]

    def imagine(
        self, z0: Float[Tensor, "B Z"], actions: Float[Tensor, "B S H A"]
    ) -> Float[Tensor, "E B S H+1 Z"]:
        """Imagine S candidates for each of B scenes; E is 1 for a single network.

        Raises:
            ForesightError: history and horizon together are longer than the context.
        """
        members = getattr(self.dynamics, "members", None)
        network = self.dynamics if members is None else self.dynamics.network
        assert isinstance(network, HistoryDynamics)
        lead = () if members is None else (members,)
        past = tuple(part.expand(*lead, *part.shape) for part in self.history)
        cache = network.remember((past[0], past[1]), actions.shape[-2])
        if cache is not None:
            cache = cache.spread(actions.shape[1], axis=len(lead) + 1)
        candidates = actions.shape[:2]
        start = z0[:, None].expand(*lead, *candidates, z0.shape[-1])
        imagined = network.go_on(start, actions.expand(*lead, *actions.shape), cache)
        return imagined if members is not None else imagined[None]

"""Imagining with residual MLPs at the speed of the machine's matrix products, on a CPU.

The same function as `ResidualDynamics`, one or an ensemble of them, for inference only:

- On a processor with AMX a member's rollout is one function in C++ (`native_dynamics`). What
  follows about weights, inputs, norms and ReLU is what replaces it elsewhere.
- Weights are laid out once as oneDNN's kernels want them, instead of at every call.
- A part of the work is one member and a few hundred candidates, rolled out over the whole horizon:
  the member's weights and the part's activations stay in a core's own cache. Parts run side by
  side, one core each.
- The first layer's input is padded with zeros to the width that the kernels are fastest at.
- A LayerNorm's affine part is folded into the next layer where that is exact (see `fold_norm`).
- ReLU of bfloat16 numbers is the maximum with 0 of the same bits read as integers, which is exact
  and several times faster than PyTorch's own.
- The state is kept and summed in the dtype it came in, as in `ResidualDynamics`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from foresight.core.errors import ForesightError
from foresight.core.thread_pool import run_in_lanes
from foresight.perception.encoder import default_dtype
from foresight.perception.trunk import Linear
from foresight.planning.native_dynamics import NATIVE_ROWS, NativeDynamics, can_roll, sizes_of
from foresight.worldmodel.dynamics.residual import ResidualDynamics

ROWS = 512
"""Candidates in a part: enough for full speed, few enough for a core's cache."""
ALIGNMENT = 32
"""The first layer's input is padded to a multiple of this."""


class FastDynamics:
    """A frozen ensemble of residual MLPs that imagines fast.

    Args:
        networks: the members, all of one size; they are not changed.
        dtype: of the products; the fastest of this machine if left out.
        native: run in C++ where that can be.

    Attributes:
        members: how many there are. ``step`` takes and gives states with a leading E.

    Raises:
        ForesightError: no members, members of different sizes, weights that are not on the CPU,
            or non-finite weights.
    """

    def __init__(
        self,
        networks: Sequence[ResidualDynamics],
        dtype: torch.dtype | None = None,
        native: bool = True,
    ) -> None:
        self.dtype = dtype or default_dtype(torch.device("cpu"))
        _refuse_unlike(networks)
        self.latent, self.actions = sizes_of(networks[0])
        self.members = len(networks)
        self.native: NativeDynamics | None = None
        if native and can_roll(networks[0], self.dtype):
            self.native = NativeDynamics(networks)
        stacked = () if self.native else networks
        self._stacks = [_Stack(network.net, self.dtype) for network in stacked]

    @torch.no_grad()
    def imagine(
        self, z0: Float[Tensor, "B Z"], actions: Float[Tensor, "B S H A"]
    ) -> Float[Tensor, "E B S H1 Z"]:
        """Roll every candidate out.

        Raises:
            ForesightError: states or actions of another size than the networks'.
        """
        scenes, samples, horizon, _ = actions.shape
        self._expect(z0, actions)
        start = self._kept(z0).repeat_interleave(samples, 0)
        # Time before rows: each step is written to one piece of memory.
        out = start.new_empty(self.members, horizon + 1, len(start), self.latent)
        taken = actions.flatten(0, 1).transpose(0, 1).to(self.dtype).contiguous()
        limit = NATIVE_ROWS if self.native else ROWS
        parts = parts_of(self.members, len(start), torch.get_num_threads(), limit)
        run_in_lanes(lambda part: self._roll(part, start, taken, out), parts)
        _mark_non_finite(taken, out)
        return out.transpose(1, 2).unflatten(1, (scenes, samples)).to(z0.dtype)

    @torch.no_grad()
    def step(
        self, z: Float[Tensor, "E *batch Z"], action: Float[Tensor, "*batch A"]
    ) -> Float[Tensor, "E *batch Z"]:
        """One imagined step of every member.

        Raises:
            ForesightError: states or actions of another size than the networks'.
        """
        if len(z) != self.members:
            raise ForesightError(
                f"States of {len(z)} members were given to an ensemble of {self.members}: give "
                "one for each."
            )
        self._expect(z, action)
        rows = self._kept(z.flatten(1, -2) if z.ndim > 2 else z[:, None])
        taken = action.reshape(1, -1, self.actions).to(self.dtype).contiguous()
        out = rows.new_empty(self.members, 2, rows.shape[1], self.latent)
        for part in parts_of(self.members, rows.shape[1], 1):
            self._roll(part, rows[part.member], taken, out)
        _mark_non_finite(taken, out)
        return out[:, 1].reshape(z.shape).to(z.dtype)

    def _kept(self, z: Tensor) -> Tensor:
        """States in the dtype that they are summed in."""
        return z if self.native is None else z.float()

    @torch.inference_mode()  # modes belong to a thread, and this runs in one of its own
    def _roll(self, part: Part, start: Tensor, actions: Tensor, out: Tensor) -> None:
        """Fill the part of ``out [E, H+1, N, Z]``; start ``[N, Z]``, actions ``[H, N, A]``."""
        rows = slice(part.start, part.stop)
        if self.native is not None:
            self.native.roll(part.member, start[rows], actions[:, rows], out[part.member, :, rows])
            return
        stack = self._stacks[part.member]
        # Views are made once and sums written where they belong: beside products of this size
        # every operation costs tens of microseconds, whatever it does.
        states, taken = out[part.member, :, rows].unbind(0), actions[:, rows].unbind(0)
        states[0].copy_(start[rows])
        joined = torch.zeros(part.stop - part.start, stack.width, dtype=self.dtype)
        state = joined[:, : self.latent]
        action = joined[:, self.latent : self.latent + self.actions]
        for chosen, here, there in zip(taken, states[:-1], states[1:], strict=True):
            state.copy_(here)
            action.copy_(chosen)
            torch.add(here, stack(joined), out=there)

    def _expect(self, z: Tensor, actions: Tensor) -> None:
        if (z.shape[-1], actions.shape[-1]) != (self.latent, self.actions):
            raise ForesightError(
                f"States of {z.shape[-1]} and actions of {actions.shape[-1]} numbers do not fit a "
                f"world model of {self.latent} and {self.actions}: use the ones it was trained on."
            )


def fast(dynamics: Any, dtype: torch.dtype | None = None) -> FastDynamics:
    """The fast form of a `ResidualDynamics`, or of an ensemble whose ``member(i)`` gives them.

    Raises:
        ForesightError: another kind of dynamics, or as `FastDynamics`.
    """
    networks = [dynamics]
    if hasattr(dynamics, "members") and hasattr(dynamics, "member"):
        networks = [dynamics.member(index) for index in range(dynamics.members)]
    return FastDynamics(networks, dtype)


@dataclass(frozen=True)
class Part:
    """Rows ``start`` to ``stop`` of one member."""

    member: int
    start: int
    stop: int


def parts_of(members: int, rows: int, lanes: int, limit: int | None = None) -> list[Part]:
    """Parts of at most ``limit`` rows, `ROWS` if left out, that fill the lanes evenly.

    All members' rows stand in one line, which is cut into as many equal shares as there are lanes;
    a share is cut where a member ends, and what remains into equal parts.
    """
    total = members * rows
    borders = {member * rows for member in range(members + 1)}
    borders |= {round(lane * total / lanes) for lane in range(1, lanes)}
    cuts = sorted(borders)
    parts = []
    for begin, end in pairwise(cuts):
        count = -(-(end - begin) // (limit or ROWS))
        edges = [begin + (end - begin) * i // count for i in range(count + 1)]
        member = begin // rows
        parts += [
            Part(member, start - member * rows, stop - member * rows)
            for start, stop in pairwise(edges)
        ]
    return parts


class _Stack:
    """One member: packed linear layers with LayerNorm and ReLU between them."""

    def __init__(self, net: nn.Sequential, dtype: torch.dtype) -> None:
        modules = list(net)
        linears = [
            (m.weight.detach(), m.bias.detach()) for m in modules if isinstance(m, nn.Linear)
        ]
        norms = [m for m in modules if isinstance(m, nn.LayerNorm)]
        # What `torch.layer_norm` takes; its statistics are in fp32 whatever it is given.
        self.norms: list[tuple[Any, ...]] = []
        for index, norm in enumerate(norms):
            plain, linears[index + 1] = fold_norm(norm, *linears[index + 1])
            scale = None if plain else norm.weight.detach().float()
            shift = None if plain else norm.bias.detach().float()
            self.norms.append((norm.normalized_shape, scale, shift, norm.eps))
        weight, bias = linears[0]
        self.width = -(-weight.shape[1] // ALIGNMENT) * ALIGNMENT
        linears[0] = (functional.pad(weight, (0, self.width - weight.shape[1])), bias)
        layers = [Linear(weight, bias, dtype) for weight, bias in linears]
        for layer in layers:
            layer.pack(ROWS)
        self.products = [layer.plain() for layer in layers]

    def __call__(self, x: Float[Tensor, "n i"]) -> Float[Tensor, "n Z"]:
        # No modules: the lanes wait for each other wherever one of them is in the interpreter.
        for product, norm in zip(self.products, self.norms, strict=False):
            x = relu_(torch.layer_norm(product(x), *norm))
        return self.products[-1](x)


def fold_norm(
    norm: nn.LayerNorm, weight: Float[Tensor, "o i"], bias: Float[Tensor, " o"]
) -> tuple[bool, tuple[Tensor, Tensor]]:
    """Move a LayerNorm's scale γ through the ReLU into the next layer ``weight, bias``.

    ``W relu(γ n + β) = (W γ) relu(n)`` holds only for γ > 0 and β = 0; elsewhere nothing is moved.

    Returns:
        Whether the norm's affine part is gone, and the next layer.
    """
    scale, shift = norm.weight.detach(), norm.bias.detach()
    if bool((scale > 0).all()) and bool((shift == 0).all()):
        return True, (weight * scale, bias)
    return False, (weight, bias)


def relu_(x: Tensor) -> Tensor:
    """ReLU in place. A negative bfloat16 number is a negative 16-bit integer, so is a NaN."""
    if x.dtype == torch.bfloat16:
        x.view(torch.int16).clamp_min_(0)
        return x
    return x.relu_()


def _mark_non_finite(actions: Float[Tensor, "H N A"], out: Float[Tensor, "E H1 N Z"]) -> None:
    """The integer ReLU turns a NaN into 0; one in an action has to be seen in what follows."""
    bad = ~actions.isfinite().all(-1)
    if bad.any():
        out[:, 1:][:, bad.cummax(0).values] = torch.nan


def _refuse_unlike(networks: Sequence[ResidualDynamics]) -> None:
    if not networks:
        raise ForesightError("A fast dynamics got 0 members: give at least 1.")
    for network in networks:
        if not isinstance(network, ResidualDynamics):
            raise ForesightError(
                f"A {type(network).__name__} has no fast form: give residual MLPs, or plan with "
                "it as it is."
            )
    shapes = [[tuple(p.shape) for p in network.parameters()] for network in networks]
    if any(shape != shapes[0] for shape in shapes):
        raise ForesightError(
            f"The {len(networks)} members have networks of different sizes: an ensemble's are all "
            "of one size."
        )
    weights = [p for network in networks for p in network.parameters()]
    if any(weight.device.type != "cpu" for weight in weights):
        raise ForesightError(
            f"A fast dynamics got weights on {weights[0].device} and runs on the CPU: plan with "
            "the ensemble itself on other devices."
        )
    if not all(bool(weight.isfinite().all()) for weight in weights):
        raise ForesightError(
            "The world model's dynamics holds non-finite weights: it is damaged, train it again."
        )

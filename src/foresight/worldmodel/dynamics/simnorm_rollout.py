"""The rollout of `SimNormDynamics` as few operations, for updates on one core of a CPU."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from foresight.native.norms import Norms, norms
from foresight.worldmodel.layers import Layers, Plan, Trace

LANES = 16


class SimNormRollout(torch.autograd.Function):
    """H steps open loop, and back-propagation through all of them.

    A weight's gradient is one product over the rows of all steps, and its sum is not rounded in
    between. Arguments: the network's plan, shares of a group, the least share, z ``[E, B, Z]``,
    actions ``[E, B, H, A]`` (without gradient) and parameters; gives ``[E, B, H+1, Z]``.
    """

    @staticmethod
    def forward(
        ctx: Any, plan: Plan, group: int, least: float, z: Tensor, actions: Tensor, *weights: Tensor
    ) -> Tensor:
        """Imagine, and keep what the way back needs."""
        layers, steps = Layers(plan, weights), actions.shape[2]
        states, changes, traces = [z.contiguous()], list[Tensor](), list[Trace]()
        for action in actions.unbind(2):
            x = torch.cat([states[-1].to(plan.dtype), action.to(plan.dtype)], dim=-1)
            change, trace = layers.forward(x)
            states.append(_moved(states[-1], change, layers.bias, least, group))
            changes.append(change)
            traces.append(trace)
        ctx.layers, ctx.group, ctx.least, ctx.steps = layers, group, least, steps
        ctx.states, ctx.traces = states, traces
        return torch.stack(states, dim=2)

    @staticmethod
    def backward(ctx: Any, *above: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients of z and of the parameters."""
        layers: Layers = ctx.layers
        states: list[Tensor] = ctx.states
        grads = above[0].unbind(2)
        carried, latent = grads[-1].contiguous(), grads[0].shape[-1]
        belows, sums = list[list[Tensor]](), list[list[Tensor]]()
        into = layers.weights[0][..., :latent]
        for step in range(ctx.steps - 1, -1, -1):
            through, change = _moved_back(
                states[step], states[step + 1], carried, ctx.least, ctx.group, layers.plan.dtype
            )
            below, found = layers.backward(ctx.traces[step], change, True)
            belows.insert(0, below)
            sums.append(found)
            if step or ctx.needs_input_grad[3]:
                carried = through.add_(grads[step]).add_(torch.bmm(below[0], into))
        inputs = [
            torch.cat(every, 1) for every in zip(*(t.inputs for t in ctx.traces), strict=True)
        ]
        ups = [torch.cat(every, 1) for every in zip(*belows, strict=True)]
        total = [torch.stack(every).sum(0) for every in zip(*sums, strict=True)]
        back = carried if ctx.needs_input_grad[3] else None
        return (None, None, None, back, None, *layers.gradients(inputs, ups, total))


def _compiled(latent: int, group: int) -> Norms | None:
    """The compiled functions, where they take states of this size."""
    return norms() if latent % (group * LANES) == 0 else None


def _moved(
    z: Float[Tensor, "E n Z"],
    change: Float[Tensor, "E n Z"],
    bias: Float[Tensor, "E Z"],
    least: float,
    group: int,
) -> Float[Tensor, "E n Z"]:
    """`foresight.native.norms.Norms.moved`."""
    if (found := _compiled(z.shape[-1], group)) is not None:
        return found.moved(z, change, bias, least, group)
    logits = z.clamp(min=least).log() + change + bias[:, None]
    return logits.unflatten(-1, (group, -1)).softmax(-2).flatten(-2)


def _moved_back(
    z: Float[Tensor, "E n Z"],
    out: Float[Tensor, "E n Z"],
    above: Float[Tensor, "E n Z"],
    least: float,
    group: int,
    dtype: torch.dtype,
) -> tuple[Float[Tensor, "E n Z"], Float[Tensor, "E n Z"]]:
    """`foresight.native.norms.Norms.moved_back`."""
    if (found := _compiled(z.shape[-1], group)) is not None:
        return found.moved_back(z, out, above, least, group, dtype)
    apart = [part.unflatten(-1, (group, -1)) for part in (above, out)]
    along = (apart[0] * apart[1]).sum(-2, keepdim=True)
    change = (apart[1] * (apart[0] - along)).flatten(-2)
    return torch.where(z >= least, change / z, 0.0), change.to(dtype)

"""The MLP of which dynamics and heads are made."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from foresight.worldmodel.layers import Layers, Plan, Trace, plan_of


class MLP(nn.Sequential):
    """Layers one after the other; in training on one core of a CPU, as few operations.

    Takes its input in parts, which are put side by side, so that parts without gradient cost none.
    Parameters have the names that they have in ``nn.Sequential``.
    """

    def forward(self, *parts: Float[Tensor, "*batch _"]) -> Float[Tensor, "*batch out"]:
        """What the last layer gives; under autocast in its dtype.

        Args:
            parts: one or more, with the same leading axes; members in front where it is stacked.
        """
        found = plan_of(self) if self.training and parts[0].numel() else None
        if found is not None and all(part.dtype == torch.float32 for part in parts):
            return _Run.apply(found[0], len(parts), *parts, *found[1])  # type: ignore[no-any-return]
        joined: Tensor = super().forward(parts[0] if len(parts) == 1 else torch.cat(parts, dim=-1))
        return joined


class _Run(torch.autograd.Function):
    """A forward and a backward pass of `Layers`."""

    @staticmethod
    def forward(ctx: Any, plan: Plan, count: int, *tensors: Tensor) -> Tensor:
        parts, layers = tensors[:count], Layers(plan, tensors[count:])
        members = len(layers.bias)
        widths = [part.shape[-1] for part in parts]
        joined = parts[0].new_empty(*parts[0].shape[:-1], sum(widths), dtype=plan.dtype)
        for part, place in zip(parts, joined.split(widths, dim=-1), strict=True):
            place.copy_(part)
        out, trace = layers.forward(joined.view(members, -1, joined.shape[-1]))
        out += layers.bias[:, None]
        ctx.layers, ctx.widths, ctx.lead = layers, widths, joined.shape[:-1]
        flat = [part for pair in trace.moments for part in pair]
        ctx.save_for_backward(*trace.inputs, *trace.rows, *flat)
        return out.view(*ctx.lead, -1)

    @staticmethod
    def backward(ctx: Any, *above: Tensor) -> tuple[Tensor | None, ...]:
        layers: Layers = ctx.layers
        depth, count, saved = len(layers.affine), len(ctx.widths), ctx.saved_tensors
        moments = saved[2 * depth + 1 :]
        trace = Trace(
            list(saved[: depth + 1]),
            list(saved[depth + 1 : 2 * depth + 1]),
            list(zip(moments[::2], moments[1::2], strict=True)),
        )
        up = above[0].to(layers.plan.dtype).reshape(len(layers.bias), -1, above[0].shape[-1])
        needs, wanted = ctx.needs_input_grad[2:], any(ctx.needs_input_grad[2 + count :])
        below, sums = layers.backward(trace, up, wanted)
        found: list[Tensor | None] = []
        for weight, needed in zip(layers.weights[0].split(ctx.widths, -1), needs, strict=False):
            part = torch.bmm(below[0], weight).float().view(*ctx.lead, -1) if needed else None
            found.append(part)
        if wanted:
            found += layers.gradients(trace.inputs, below, sums)
        else:
            found += [None] * (len(needs) - count)
        return (None, None, *found)

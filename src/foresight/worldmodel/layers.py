"""Forward and backward passes of small MLPs as few operations, for updates on one core of a CPU.

Between two products of matrices stands one pass over their numbers (`foresight.native.norms`, or
torch's operations where that cannot be had), nothing is recorded that the backward pass does not
need, and every weight is rounded once. The functions are those of the plain layers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from foresight.native.norms import STEP, WIDEST, Activation, Norms, norms
from foresight.worldmodel.dynamics.stacked import StackedLayerNorm, StackedLinear

KINDS: dict[type[nn.Module], Activation] = {nn.ReLU: "relu", nn.SiLU: "silu"}


@dataclass(frozen=True)
class Plan:
    """What a network is, beside its parameters."""

    stacked: bool
    """Whether parameters have a leading axis of members."""
    activations: tuple[Activation, ...]
    """Of each hidden layer."""
    eps: tuple[float, ...]
    """Of each norm."""
    dtype: torch.dtype
    """Of the products."""


@dataclass(frozen=True)
class Trace:
    """What the backward pass needs of a forward one; G members, n rows each."""

    inputs: list[Tensor]
    """Of every linear map, ``[G, n, in]``."""
    rows: list[Tensor]
    """What the hidden ones gave, without bias."""
    moments: list[tuple[Tensor, Tensor]]
    """Mean and 1 / deviation of each row, with bias."""


def plan_of(net: nn.Sequential) -> tuple[Plan, list[Tensor]] | None:
    """A network's plan here and now, and its parameters in order; None for plain torch.

    There is one for Linear, LayerNorm and ReLU or SiLU in turns and a Linear at the end, alone or
    stacked, in fp32 on a CPU with one thread, with products in fp32 or, under autocast, bfloat16.
    """
    layers = list(net)
    blocks = [layers[i : i + 3] for i in range(0, len(layers) - 1, 3)]
    linears = [block[0] for block in blocks] + layers[-1:]
    kinds = [KINDS.get(type(block[-1])) for block in blocks]
    norm_layers = [block[1] for block in blocks if len(block) == 3]
    if (
        torch.get_num_threads() > 1
        or not all(isinstance(layer, nn.Linear | StackedLinear) for layer in linears)
        or not all(isinstance(layer, nn.LayerNorm | StackedLayerNorm) for layer in norm_layers)
        or len(norm_layers) < len(blocks)
        or None in kinds
    ):
        return None
    parameters: list[Tensor | None] = []
    for block in [*blocks, layers[-1:]]:
        parameters += [part for layer in block[:2] for part in (layer.weight, layer.bias)]  # type: ignore[misc]
    found = [part for part in parameters if part is not None]
    dtype = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else torch.float32
    if (
        len(found) < len(parameters)
        or any(part.dtype != torch.float32 or part.device.type != "cpu" for part in found)
        or dtype not in (torch.float32, torch.bfloat16)
    ):
        return None
    eps = tuple(float(layer.eps) for layer in norm_layers)  # type: ignore[arg-type]
    stacked = isinstance(layers[-1], StackedLinear)
    return Plan(stacked, tuple(kind for kind in kinds if kind), eps, dtype), found


class Layers:
    """A network's parameters as the products want them.

    Args:
        plan: what the network is.
        parameters: weight, bias, gain and offset of every block, then weight and bias.

    Attributes:
        weights: in the plan's dtype, ``[G, out, in]``.
        bias: of the last map, ``[G, out]``.
    """

    def __init__(self, plan: Plan, parameters: Sequence[Tensor]) -> None:
        self.plan = plan
        own = parameters if plan.stacked else [part[None] for part in parameters]
        self.weights = [weight.to(plan.dtype) for weight in own[::4]]
        self.bias = own[-1]
        self.affine = [(own[i + 1], own[i + 2], own[i + 3]) for i in range(0, len(own) - 2, 4)]

    def forward(self, x: Float[Tensor, "G n in"]) -> tuple[Float[Tensor, "G n out"], Trace]:
        """The last map's product, without its bias, and what the backward pass needs."""
        trace = Trace([x], [], [])
        for index, affine in enumerate(self.affine):
            rows = torch.bmm(x, self.weights[index].mT)
            x, *moments = _norm(rows, affine, self.plan.activations[index], self.plan.eps[index])
            trace.rows.append(rows)
            trace.moments.append((moments[0], moments[1]))
            trace.inputs.append(x)
        return torch.bmm(x, self.weights[-1].mT), trace

    def backward(
        self, trace: Trace, above: Float[Tensor, "G n out"], wanted: bool
    ) -> tuple[list[Tensor], list[Tensor]]:
        """Gradients of what every linear map gave, and, if wanted, of each block's affine part.

        Returns:
            ``[G, n, out]`` of every map, and ``[G, 3, W]`` (bias, gain, offset) of every block.
        """
        below, sums = [above], list[Tensor]()
        for index in range(len(self.affine) - 1, -1, -1):
            above = torch.bmm(above, self.weights[index + 1])
            kind, moments = self.plan.activations[index], trace.moments[index]
            above, found = _norm_back(
                trace.rows[index], self.affine[index], kind, moments, above, wanted
            )
            below.insert(0, above)
            if found is not None:
                sums.insert(0, found)
        return below, sums

    def gradients(
        self,
        inputs: Sequence[Float[Tensor, "G n in"]],
        below: Sequence[Float[Tensor, "G n out"]],
        sums: Sequence[Float[Tensor, "G 3 W"]],
    ) -> list[Tensor]:
        """Those of all parameters, in fp32 and in their order."""
        found: list[Tensor] = []
        for index, (x, up) in enumerate(zip(inputs, below, strict=True)):
            found.append(torch.bmm(up.mT, x).float())
            if index < len(sums):
                found += sums[index].unbind(1)
        found.append(below[-1].sum(1, dtype=torch.float32))
        return found if self.plan.stacked else [part[0] for part in found]


def _compiled(width: int) -> Norms | None:
    """The compiled functions, where they take rows this wide."""
    return norms() if width % STEP == 0 and width <= WIDEST else None


def _norm(
    rows: Float[Tensor, "G n W"],
    affine: tuple[Tensor, Tensor, Tensor],
    kind: Activation,
    eps: float,
) -> tuple[Tensor, Tensor, Tensor]:
    """`foresight.native.norms.Norms.norm`."""
    width = rows.shape[-1]
    if (found := _compiled(width)) is not None:
        return found.norm(rows, affine, kind, eps)
    bias, gain, offset = (part[:, None] for part in affine)
    normed, mean, scale = torch.native_layer_norm(rows + bias, (width,), None, None, eps)
    x = torch.addcmul(offset, normed, gain)
    out = functional.relu(x) if kind == "relu" else functional.silu(x)
    return out.to(rows.dtype), mean[..., 0], scale[..., 0]


def _norm_back(
    rows: Float[Tensor, "G n W"],
    affine: tuple[Tensor, Tensor, Tensor],
    kind: Activation,
    moments: tuple[Tensor, Tensor],
    above: Float[Tensor, "G n W"],
    wanted: bool,
) -> tuple[Tensor, Tensor | None]:
    """`foresight.native.norms.Norms.norm_back`."""
    if (found := _compiled(rows.shape[-1])) is not None:
        return found.norm_back(rows, affine, kind, moments, above, wanted)
    bias, gain, offset = (part[:, None] for part in affine)
    mean, scale = (part[..., None] for part in moments)
    normed = (rows + bias - mean) * scale
    x = torch.addcmul(offset, normed, gain)
    back = torch.ops.aten.silu_backward
    up = above * (x > 0) if kind == "relu" else back(above.float(), x)
    weighted = up * gain
    shift, along = weighted.mean(-1, True), (weighted * normed).mean(-1, True)
    below = (weighted - shift - normed * along) * scale
    if not wanted:
        return below.to(rows.dtype), None
    sums = torch.stack([below.sum(1), (up * normed).sum(1), up.sum(1)], 1)
    return below.to(rows.dtype), sums

"""Several networks of one shape as one network whose weights have a leading axis of members.

Every layer then works on ``[E, ..., width]`` in one batched product. The parameters keep the names
they have in a single network, so member i is found by taking index i of each.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import TypeVar

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

Network = TypeVar("Network", bound=nn.Module)


class StackedLinear(nn.Module):
    """``y[e] = x[e] W[e]ᵀ + b[e]`` for all members at once."""

    weight: Float[Tensor, "E out in"]
    bias: Float[Tensor, "E out"] | None

    def __init__(self, layers: Sequence[nn.Linear]) -> None:
        super().__init__()
        self.weight = _stacked([layer.weight for layer in layers])
        has_bias = layers[0].bias is not None
        self.bias = _stacked([layer.bias for layer in layers]) if has_bias else None

    def forward(self, x: Float[Tensor, "E *batch in"]) -> Float[Tensor, "E *batch out"]:
        """One batched product."""
        flat = x.reshape(len(self.weight), -1, x.shape[-1])
        transposed = self.weight.mT
        if self.bias is None:
            out = torch.bmm(flat, transposed)
        else:
            out = torch.baddbmm(self.bias[:, None], flat, transposed)
        return out.view(*x.shape[:-1], -1)


class StackedLayerNorm(nn.Module):
    """Layer norm with gain and offset of each member's own."""

    weight: Float[Tensor, "E W"]
    bias: Float[Tensor, "E W"]

    def __init__(self, layers: Sequence[nn.LayerNorm]) -> None:
        super().__init__()
        self.weight = _stacked([layer.weight for layer in layers])
        self.bias = _stacked([layer.bias for layer in layers])
        self.eps = layers[0].eps

    def forward(self, x: Float[Tensor, "E *batch W"]) -> Float[Tensor, "E *batch W"]:
        """Normalise the last axis."""
        shape = (len(self.weight), *[1] * (x.ndim - 2), x.shape[-1])
        normed = functional.layer_norm(x, x.shape[-1:], eps=self.eps)
        return torch.addcmul(self.bias.view(shape), normed, self.weight.view(shape))


class Positions(nn.Module):
    """Learned codes of place, ``[rows, columns, W]``, added to ``x [..., rows, columns, W]``."""

    def __init__(self, rows: int, columns: int, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(0.02 * torch.randn(rows, columns, width))

    def forward(
        self, x: Float[Tensor, "*batch T N W"], first: int = 0
    ) -> Float[Tensor, "*batch T N W"]:
        """Add the codes from row ``first`` on; a single row of codes serves all rows."""
        return x + self.weight.narrow(-3, first, min(x.shape[-3], self.weight.shape[-3]))


class StackedPositions(Positions):
    """Codes of each member's own."""

    def __init__(self, layers: Sequence[Positions]) -> None:
        nn.Module.__init__(self)
        self.weight = _stacked([layer.weight for layer in layers])

    def forward(
        self, x: Float[Tensor, "E *batch T N W"], first: int = 0
    ) -> Float[Tensor, "E *batch T N W"]:
        """Add the codes."""
        codes = self.weight.narrow(-3, first, min(x.shape[-3], self.weight.shape[-3]))
        return x + codes.view(len(codes), *[1] * (x.ndim - 4), *codes.shape[1:])


def stack(networks: Sequence[Network]) -> Network:
    """One network that runs all of ``networks`` side by side.

    Works for modules built of Linear, LayerNorm, Positions, containers and layers without
    parameters, whose code treats all axes but the last ones as a batch.

    Args:
        networks: at least one, all of one shape; they are copied.

    Raises:
        TypeError: a layer with parameters that has no stacked form.
    """
    first = networks[0]
    if isinstance(first, nn.Linear):
        return StackedLinear(networks)  # type: ignore[arg-type, return-value]
    if isinstance(first, nn.LayerNorm) and first.elementwise_affine:
        return StackedLayerNorm(networks)  # type: ignore[arg-type, return-value]
    if isinstance(first, Positions):
        return StackedPositions(networks)  # type: ignore[arg-type, return-value]
    if any(True for _ in first.parameters(recurse=False)):
        raise TypeError(f"{type(first).__name__} has parameters and no stacked form")
    together = copy.deepcopy(first)
    for name, _ in first.named_children():
        together.add_module(name, stack([network.get_submodule(name) for network in networks]))
    return together


def unstack(together: nn.Module, index: int, into: Network) -> Network:
    """Fill ``into``, a single network of the same shape, with the weights of one member."""
    into.load_state_dict({name: value[index] for name, value in together.state_dict().items()})
    return into


def _stacked(tensors: Sequence[Tensor]) -> nn.Parameter:
    return nn.Parameter(torch.stack([tensor.detach() for tensor in tensors]))

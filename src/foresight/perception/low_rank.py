"""Low-rank adapters: a frozen linear layer and a small change of it that is learned.

LoRA (Hu et al., arXiv 2106.09685, section 4.1): ``y = x W^T + b + (alpha / r) x A^T B^T``. ``B``
is zero at first, so that nothing has changed yet; afterwards ``W + (alpha / r) B A`` takes the
place of ``W`` at no cost.
"""

from __future__ import annotations

import re

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from foresight.core.errors import ForesightError


class Factors(nn.Module):
    """What is learned of one layer: ``down`` is A ``[r, in]``, ``up`` is B ``[out, r]``."""

    def __init__(self, inputs: int, outputs: int, rank: int) -> None:
        super().__init__()
        self.down = nn.Parameter(torch.randn(rank, inputs) / inputs**0.5)
        self.up = nn.Parameter(torch.zeros(outputs, rank))


class LowRank(nn.Module):
    """A linear layer that stays as it is, with factors that learn.

    Args:
        base: the layer; frozen.
        rank: r.
        alpha: the change is scaled by ``alpha / rank``.

    Raises:
        ForesightError: a rank that is not between 1 and the smaller side of the layer.
    """

    def __init__(self, base: nn.Linear, rank: int, alpha: float) -> None:
        super().__init__()
        if not 1 <= rank <= min(base.weight.shape):
            raise ForesightError(
                f"A rank of {rank} does not fit a layer of {base.in_features} to "
                f"{base.out_features} numbers: choose 1 to {min(base.weight.shape)}."
            )
        self.base = base.requires_grad_(False)
        self.factors = Factors(base.in_features, base.out_features, rank).to(base.weight.device)
        self.scale = alpha / rank

    @property
    def weight(self) -> Tensor:
        """Of the frozen layer; tells where and in which dtype it computes."""
        return self.base.weight

    def forward(self, x: Float[Tensor, "*batch i"]) -> Float[Tensor, "*batch o"]:
        """The layer and its change."""
        narrow = functional.linear(x, self.factors.down)
        change: Tensor = self.scale * functional.linear(narrow, self.factors.up)
        return self.base(x) + change

    @torch.no_grad()
    def merged(self) -> nn.Linear:
        """One plain layer ``W + (alpha / r) B A`` that computes the same."""
        self.base.weight += self.scale * self.factors.up @ self.factors.down
        return self.base


def add_low_rank(module: nn.Module, pattern: str, rank: int, alpha: float) -> nn.ModuleDict:
    """Freeze a module and give the linear layers of matching names factors that learn.

    Args:
        module: changed in place.
        pattern: regular expression for whole names of linear layers.
        rank: of the change.
        alpha: its scale, times ``rank``.

    Returns:
        The factors by the layers' names, ``:`` for ``.``; they share memory with the module.

    Raises:
        ForesightError: no layer has such a name, or the rank does not fit.
    """
    module.requires_grad_(False)
    found = {
        name: layer
        for name, layer in module.named_modules()
        if isinstance(layer, nn.Linear) and re.fullmatch(pattern, name)
    }
    if not found:
        raise ForesightError(f"No linear layer is called {pattern}: name those that are to learn.")
    learned = nn.ModuleDict()
    for name, layer in found.items():
        adapted = LowRank(layer, rank, alpha)
        module.set_submodule(name, adapted)
        learned[name.replace(".", ":")] = adapted.factors
    return learned


def merge_low_rank(module: nn.Module) -> None:
    """Put plain layers in the place of adapted ones; the function stays the same, to rounding."""
    adapted = [(name, part) for name, part in module.named_modules() if isinstance(part, LowRank)]
    for name, part in adapted:
        module.set_submodule(name, part.merged())

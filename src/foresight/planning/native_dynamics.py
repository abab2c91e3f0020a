"""Residual MLPs rolled out in C++ (`foresight.native`)."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence

import torch
from jaxtyping import BFloat16, Float
from torch import Tensor, nn
from torch.nn import functional

from foresight.errors import ForesightError
from foresight.native import SIDE, addresses, library, packed
from foresight.worldmodel.networks import ResidualDynamics

NATIVE_ROWS = 256
"""Candidates rolled out together: their activations and a member's weights stay in a core's cache
of 2 MiB at the sources' width."""


class Net(ctypes.Structure):
    """A network's sizes as the functions want them."""

    _fields_ = (
        *((name, ctypes.c_int32) for name in ("latent", "actions", "hidden", "layers")),
        ("eps", ctypes.c_float),
    )


def can_roll(network: ResidualDynamics, dtype: torch.dtype) -> bool:
    """Whether `NativeDynamics` can be made here of such networks; compiles at the first call."""
    linears = _linears(network)
    fits = len(linears) > 1 and linears[0].out_features % SIDE == 0
    return fits and dtype == torch.bfloat16 and library() is not None


class NativeDynamics:
    """An ensemble's members, products in bfloat16 on fp32 states.

    A candidate's future is the same in every company.

    Args:
        networks: the members, all of one size; they are not changed.
    """

    def __init__(self, networks: Sequence[ResidualDynamics]) -> None:
        found = library()
        assert found is not None, "ask can_roll() first"
        self._functions = found
        layers = [_linears(network) for network in networks]
        first, last = layers[0][0], layers[0][-1]
        latent, norm = last.out_features, _norms(networks[0])[0]
        self._net = Net(
            latent, first.in_features - latent, first.out_features, len(layers[0]) - 1, norm.eps
        )
        self._weights = [_weights(network) for network in networks]
        self._places = [addresses(weights) for weights in self._weights]

    def roll(
        self,
        member: int,
        start: Float[Tensor, "r Z"],
        actions: BFloat16[Tensor, "H r A"],
        out: Float[Tensor, "H1 r Z"],
    ) -> None:
        """Fill ``out`` with a member's states, the first of which are ``start``.

        Raises:
            ForesightError: not enough memory.
        """
        start = start.contiguous()
        assert start.dtype == out.dtype == torch.float32, (start.dtype, out.dtype)
        assert actions[0].is_contiguous() and out[0].is_contiguous(), (actions.stride(), out.shape)
        failed = self._functions.foresight_roll(
            ctypes.byref(self._net),
            self._places[member],
            *(tensor.data_ptr() for tensor in (start, actions, out)),
            *(len(start), len(actions), actions.stride(0), out.stride(0)),
        )
        if failed:
            raise ForesightError(
                f"There is not enough memory to imagine {len(start)} futures: imagine fewer at "
                "once."
            )


def _weights(network: ResidualDynamics) -> list[Tensor]:
    """A member's weights in the order of rollout.hpp, sizes filled up to whole blocks."""
    found: list[Tensor] = []
    linears = _linears(network)
    for layer, norm in zip(linears[:-1], _norms(network), strict=True):
        found += [packed(_filled(layer.weight)), layer.bias, norm.weight, norm.bias]
    last = linears[-1]
    bias = functional.pad(last.bias, (0, -last.out_features % SIDE))
    found += [packed(_filled(last.weight)), bias]
    # Copies: the network may learn on.
    return [
        tensor if tensor.dtype == torch.bfloat16 else tensor.detach().float().clone()
        for tensor in found
    ]


def _filled(weight: Tensor) -> Tensor:
    outputs, inputs = weight.shape
    return functional.pad(weight.detach(), (0, -inputs % SIDE, 0, -outputs % SIDE))


def _linears(network: ResidualDynamics) -> list[nn.Linear]:
    return [module for module in network.net if isinstance(module, nn.Linear)]


def _norms(network: ResidualDynamics) -> list[nn.LayerNorm]:
    return [module for module in network.net if isinstance(module, nn.LayerNorm)]

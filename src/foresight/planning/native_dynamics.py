"""Residual MLPs rolled out in C++ (`foresight.native`)."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence

import torch
from jaxtyping import BFloat16, Float
from torch import Tensor, nn
from torch.nn import functional

from foresight.core.errors import ForesightError
from foresight.native import SIDE, addresses, library, packed
from foresight.worldmodel.dynamics.residual import ResidualDynamics

NATIVE_ROWS = 256
"""Candidates rolled out together: at a width of 512 their activations and a member's weights
are about the 2 MiB of a core's own cache; from 128 to 512 the time hardly changes."""


class Net(ctypes.Structure):
    """A network's sizes as the functions want them."""

    _fields_ = (
        *((name, ctypes.c_int32) for name in ("latent", "actions", "hidden", "layers")),
        ("eps", ctypes.c_float),
    )


def can_roll(network: ResidualDynamics, dtype: torch.dtype) -> bool:
    """Whether `NativeDynamics` can be made here of such networks; compiles at the first call."""
    layers = linears(network)
    fits = len(layers) > 1 and layers[0].out_features % SIDE == 0
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
        layers, norm = linears(networks[0]), _norms(networks[0])[0]
        self._net = Net(*sizes_of(networks[0]), layers[0].out_features, len(layers) - 1, norm.eps)
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
    *hidden, last = linears(network)
    for layer, norm in zip(hidden, _norms(network), strict=True):
        found += [packed(_filled(layer.weight)), layer.bias, norm.weight, norm.bias]
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


def sizes_of(network: ResidualDynamics) -> tuple[int, int]:
    """Numbers of a state and of an action."""
    layers = linears(network)
    latent = layers[-1].out_features
    return latent, layers[0].in_features - latent


def linears(network: ResidualDynamics) -> list[nn.Linear]:
    """Its linear layers."""
    return [module for module in network.net if isinstance(module, nn.Linear)]


def _norms(network: ResidualDynamics) -> list[nn.LayerNorm]:
    return [module for module in network.net if isinstance(module, nn.LayerNorm)]

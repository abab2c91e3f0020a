"""Noise that is correlated in time."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor


def coloured_noise(
    shape: tuple[int, ...], axis: int, beta: float, generator: torch.Generator
) -> Float[Tensor, "*shape"]:
    """Gaussian noise of unit variance whose power falls as ``1 / f ** beta`` along ``axis``.

    Timmer & König 1995: a random phase and amplitude for each frequency, transformed back. The
    mean over time has the power of the lowest frequency, so that ``beta`` 0 is exactly white.

    Args:
        shape: of the noise.
        axis: the one that is time.
        beta: exponent; 0 white, 1 pink, 2 red.
        generator: its device is where the noise is made.
    """
    device = generator.device
    length = shape[axis]
    if length == 1 or beta == 0:
        return torch.randn(shape, generator=generator, device=device)
    frequencies = torch.fft.rfftfreq(length, device=device)
    frequencies[0] = frequencies[1]
    scale = frequencies ** (-beta / 2)
    # A real signal has no phase at frequency 0 and at the highest one of an even length, where
    # all the power is in the real part.
    alone = torch.zeros_like(scale, dtype=torch.bool)
    alone[0] = True
    alone[-1] = length % 2 == 0
    moved = (*(n for i, n in enumerate(shape) if i != axis % len(shape)), len(scale))
    real, imaginary = torch.randn((2, *moved), generator=generator, device=device)
    real = torch.where(alone, real * 2**0.5, real)
    imaginary = torch.where(alone, 0.0, imaginary)
    power = torch.where(alone, 2.0, 4.0) * scale.square()
    signal = torch.fft.irfft(torch.complex(real, imaginary) * scale, n=length)
    return (signal * (length / power.sum().sqrt())).movedim(-1, axis)

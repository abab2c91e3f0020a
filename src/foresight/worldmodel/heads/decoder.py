"""Pictures decoded from a latent state, to look at what is imagined."""

from __future__ import annotations

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

FIRST = 4
"""Side of the map that a state becomes before it is enlarged."""
WIDEST = 128
"""Channels there; they are halved whenever the side is doubled, down to `NARROWEST`."""
NARROWEST = 16


class PictureDecoder(nn.Module):
    """``z`` to a small picture of each camera, as its difference from the mean picture.

    It is learned after everything else and its gradient goes nowhere: what it shows is what the
    state holds already. Acting never needs it.

    Args:
        latent: Z.
        cameras: C.
        side: S of the square pictures, 4 doubled any number of times.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, latent: int, cameras: int, side: int) -> None:
        super().__init__()
        self.cameras, self.side = cameras, side
        self.begin = nn.Linear(latent, WIDEST * FIRST**2)
        layers: list[nn.Module] = []
        channels = WIDEST
        for _ in range((side // FIRST).bit_length() - 1):
            less = max(NARROWEST, channels // 2)
            convolution = nn.Conv2d(channels, less, 3, padding=1)
            layers += [nn.Upsample(scale_factor=2), convolution, nn.GroupNorm(4, less), nn.SiLU()]
            channels = less
        self.body = nn.Sequential(*layers, nn.Conv2d(channels, 3 * cameras, 3, padding=1))
        self.register_buffer("mean", torch.zeros(cameras, 3, side, side))
        self.register_buffer("deviation", torch.ones(()))

    @torch.no_grad()
    def fit(self, pictures: UInt8[Tensor, "n C S S 3"]) -> None:
        """Take mean and scale from these pictures."""
        seen = as_fractions(pictures)
        self.mean.copy_(seen.mean(0))
        self.deviation.copy_((seen - self.mean).square().mean().sqrt().clamp(min=1e-3))

    def forward(self, z: Float[Tensor, "*batch Z"]) -> Float[Tensor, "*batch C 3 S S"]:
        """Pictures, about 0 … 1."""
        flat = z.reshape(-1, z.shape[-1]).float()
        shape = self.cameras, 3, self.side, self.side
        found = self.body(self.begin(flat).unflatten(1, (WIDEST, FIRST, FIRST)))
        pictures = found.view(-1, *shape) * self.deviation + self.mean
        return pictures.view(*z.shape[:-1], *shape)

    def errors(
        self, z: Float[Tensor, "*batch Z"], pictures: UInt8[Tensor, "*batch C S S 3"]
    ) -> Float[Tensor, "*batch"]:
        """Mean square error of each picture, in units of the pictures' variance."""
        off = (self(z) - as_fractions(pictures)) / self.deviation
        return off.square().mean((-4, -3, -2, -1))

    @torch.no_grad()
    def show(self, z: Float[Tensor, "*batch Z"]) -> UInt8[Tensor, "*batch C S S 3"]:
        """Pictures as they are seen."""
        return (self(z).clamp(0, 1) * 255).round().byte().movedim(-3, -1)


def as_fractions(
    pictures: UInt8[Tensor, "*batch C S S 3"],
) -> Float[Tensor, "*batch C 3 S S"]:
    """Bytes as 0 … 1, colours in front."""
    return pictures.movedim(-1, -3).float() / 255

"""A small decoder from latent states to pictures, only to look at what was imagined."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int64, UInt8
from torch import Tensor, nn
from torch.nn import functional

from foresight.core.errors import ForesightError
from foresight.worldmodel.heads.training import (
    HeadTraining,
    Latents,
    Record,
    episode_rows,
    train_head,
)

SIZE = 64
START = 4

Frames = UInt8[np.ndarray, "N H W 3"] | Callable[[Int64[Tensor, " n"]], UInt8[Tensor, "n H W 3"]]
"""All frames, or a function that reads some rows of them."""


class PixelDecoder(nn.Module):
    """``z`` → 64 x 64 RGB: a linear layer to 4 x 4 cells and four doublings.

    Nothing learns through it; latent states stay as they are.

    Args:
        latent: Z.
        width: channels before the last doubling; each one earlier has twice as many.
    """

    def __init__(self, latent: int, width: int = 24) -> None:
        super().__init__()
        channels = [8 * width, 4 * width, 2 * width, width]
        self.entry = nn.Linear(latent, channels[0] * START**2)
        blocks: list[nn.Module] = []
        for before, after in zip(channels, [*channels[1:], 3], strict=True):
            blocks += [nn.GroupNorm(1, before), nn.SiLU()]
            blocks += [nn.ConvTranspose2d(before, after, 4, stride=2, padding=1)]
        self.net = nn.Sequential(*blocks)

    def forward(self, z: Float[Tensor, "*batch Z"]) -> Float[Tensor, "*batch 3 64 64"]:
        """Colours between 0 and 1."""
        flat = self.entry(z.reshape(-1, z.shape[-1]).to(self.entry.weight.dtype))
        pictures = self.net(flat.unflatten(-1, (-1, START, START))).sigmoid()
        return pictures.view(*z.shape[:-1], *pictures.shape[1:])

    @torch.inference_mode()
    def look(self, z: Float[Tensor, "*batch Z"]) -> UInt8[Tensor, "*batch 64 64 3"]:
        """Pictures for the eye."""
        return (255 * self(z).movedim(-3, -1)).round().to(torch.uint8)


@dataclass(frozen=True)
class DecoderReport:
    """What the decoder is worth on held-out episodes."""

    psnr: float
    """Peak signal-to-noise ratio in decibels."""
    mean_frame_psnr: float
    """The same for always showing the mean training frame."""
    history: list[Record]


def train_decoder(
    decoder: PixelDecoder, latents: Latents, frames: Frames, training: HeadTraining
) -> DecoderReport:
    """Learn to draw the frames that the latent states were made from (squared error).

    Args:
        decoder: trained in place.
        latents: frozen states, split by episode.
        frames: uint8 RGB, one for each state; of any size that is a multiple of 64.
        training: length and speed.

    Raises:
        ForesightError: another number, size or type of frames.
    """
    read = _reader(frames, len(latents.z))
    learn = episode_rows(latents.offsets, latents.train)
    rows = episode_rows(latents.offsets, latents.validation)
    rows = rows[:: max(1, len(rows) // 512)]
    truth = read(rows)

    def loss(generator: torch.Generator) -> Tensor:
        chosen = learn[torch.randint(len(learn), (training.batch,), generator=generator)]
        return functional.mse_loss(decoder(latents.z[chosen]), read(chosen))

    def validate() -> float:
        return float(functional.mse_loss(decoder(latents.z[rows]), truth))

    history = train_head(decoder, loss, validate, training)
    mean = read(learn[:: max(1, len(learn) // 512)]).mean(0)
    with torch.no_grad():
        constant = float((truth - mean).square().mean())
        return DecoderReport(_decibels(validate()), _decibels(constant), history)


def small_frames(frames: UInt8[Tensor, "n H W 3"]) -> Float[Tensor, "n 3 64 64"]:
    """Colours between 0 and 1, averaged down to 64 x 64.

    Raises:
        ForesightError: another type, or sides that are no multiple of 64.
    """
    if frames.dtype != torch.uint8 or frames.ndim != 4 or frames.shape[-1] != 3:
        raise ForesightError(
            f"Frames of shape {list(frames.shape)} and type {frames.dtype} cannot be decoded to: "
            "give uint8 RGB [N, H, W, 3]."
        )
    height, width = frames.shape[1:3]
    if height != width or height % SIZE:
        raise ForesightError(
            f"Frames of {height} x {width} pixels cannot be averaged to {SIZE} x {SIZE}: give "
            f"squares whose side is a multiple of {SIZE}."
        )
    return functional.avg_pool2d(frames.permute(0, 3, 1, 2).float() / 255, height // SIZE)


def _reader(frames: Frames, count: int) -> Callable[[Tensor], Tensor]:
    if not isinstance(frames, np.ndarray):
        return lambda rows: small_frames(frames(rows))
    if len(frames) != count:
        raise ForesightError(
            f"{len(frames)} frames do not fit {count} latent states: give one for each."
        )
    return lambda rows: small_frames(torch.from_numpy(frames[rows.numpy()]))


def _decibels(error: float) -> float:
    return -10 * math.log10(max(error, 1e-12))

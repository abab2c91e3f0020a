"""A picture decoder for a world model that stands: only to look at what it imagines."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from foresight.core.errors import ForesightError
from foresight.training.loop import Batch, FitConfig, Record, fit
from foresight.worldmodel.model import WorldModel

CHECKS = 10
"""Times at which the decoder is judged on held-out pictures."""
BLOCK = 256
"""Pictures that are judged at once."""


@dataclass(frozen=True)
class DecoderConfig:
    """How a decoder is learned."""

    side: int = 64
    """Of its pictures, in pixels: 8, 16, 32, …"""
    updates: int = 2000
    """Of the decoder."""
    batch: int = 64
    """Pictures per update."""
    lr: float = 1e-3
    """Peak learning rate; it falls to zero along a cosine."""
    seed: int = 0
    """Seeds initial weights and the order of pictures."""

    def fit(self, device: str) -> FitConfig:
        """The loop's settings."""
        checks = max(1, min(CHECKS, self.updates))
        return FitConfig(checks, self.updates, self.batch, self.lr, seed=self.seed, device=device)


@dataclass(frozen=True)
class Seen:
    """Latent states and the pictures that they were read from."""

    states: Float[Tensor, "n Z"]
    pictures: UInt8[Tensor, "n C S S 3"]

    def __len__(self) -> int:
        return len(self.states)


def learn_decoder(
    model: WorldModel,
    seen: Seen,
    held_out: Seen,
    config: DecoderConfig,
    folder: Path,
    of: str,
    device: str = "cpu",
) -> WorldModel:
    """The same model with a decoder; resumable, see `foresight.training.loop.fit`.

    Args:
        model: trained; it stays as it is.
        seen: to learn from.
        held_out: of other episodes; the decoder that does best on them is kept.
        config: size and length.
        folder: where the state of the training and ``metrics.jsonl`` go.
        of: fingerprint of model and data.
        device: where it is learned.

    Raises:
        ForesightError: nothing was seen, or the folder holds another training's state.
    """
    if not len(seen) or not len(held_out):
        raise ForesightError(
            f"{len(seen)} pictures to learn from and {len(held_out)} held out are too few for a "
            "decoder: give a dataset of at least two episodes."
        )
    loop = config.fit(device)
    torch.manual_seed(config.seed)
    heads = replace(model.config.heads, decoder=config.side)
    shown = WorldModel(replace(model.config, heads=heads))
    decoder = shown.decoder
    assert decoder is not None
    # A decoder that the model has already, perhaps of another size, is not gone on with.
    held = {k: v for k, v in model.state_dict().items() if not k.startswith("decoder.")}
    shown.load_state_dict({**shown.state_dict(), **held})
    decoder.fit(seen.pictures)
    steps = loop.steps_per_epoch(max(1, len(seen) // loop.batch))

    def batches(epoch: int) -> Iterator[Batch]:
        draw = np.random.default_rng([config.seed, epoch])
        for _ in range(steps):
            rows = torch.from_numpy(draw.integers(0, len(seen), config.batch))
            yield {"z": seen.states[rows], "picture": seen.pictures[rows]}

    def loss(batch: Batch) -> tuple[Tensor, Record]:
        error = decoder.errors(batch["z"], batch["picture"]).mean()
        return error, {"loss": float(error.detach())}

    def validate() -> Record:
        pieces = zip(held_out.states.split(BLOCK), held_out.pictures.split(BLOCK), strict=True)
        errors = [decoder.errors(z.to(device), picture.to(device)).cpu() for z, picture in pieces]
        return {"validation/loss": float(torch.cat(errors).mean())}

    fit(decoder, batches, steps, loss, validate, loop, folder, of, select="validation/loss")
    return shown.eval()

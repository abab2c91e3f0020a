"""Whether an embedding says where things are: a linear readout, fitted and judged apart."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float, UInt8

from foresight.data.dataset import Dataset
from foresight.worldmodel.lewm.model import LeWorldModel

FRAMES, MOST = 20, 150
"""Of an episode, and the most episodes: numbers are few, and so is what has to be fitted."""


def place_r2(
    model: LeWorldModel,
    dataset: Dataset,
    pixels: UInt8[np.ndarray, "N H W 3"],
    split: tuple[Sequence[int], Sequence[int]],
    moving: Sequence[int],
) -> list[float]:
    """Share of the variance of each true number that a linear readout explains.

    Args:
        model: in eval mode.
        dataset: recorded with the simulator's states.
        pixels: of all its steps, at the model's size.
        split: episodes to fit on, and those that are judged.
        moving: which numbers of the state to read.

    Returns:
        R2 of each number on the judged episodes; below 0 is worse than the mean.
    """
    (z, places), (shown, wanted) = (_pairs(model, dataset, pixels, part, moving) for part in split)
    mean = places.mean(0)
    weights = np.linalg.lstsq(_with_one(z), places - mean, rcond=None)[0]
    left = wanted - mean - _with_one(shown) @ weights
    return [float(x) for x in 1 - left.var(0) / wanted.var(0)]


def _pairs(
    model: LeWorldModel,
    dataset: Dataset,
    pixels: UInt8[np.ndarray, "N H W 3"],
    episodes: Sequence[int],
    moving: Sequence[int],
) -> tuple[Float[np.ndarray, "n D"], Float[np.ndarray, "n k"]]:
    """Embeddings and true numbers of frames that lie evenly in episodes."""
    states, offsets = dataset.column("sim.state"), dataset.offsets
    seen, true = [], []
    for index in episodes[:MOST]:
        steps = np.unique(np.linspace(0, dataset.lengths[index] - 1, FRAMES).astype(int))
        rows = offsets[index] + steps
        with torch.inference_mode():
            seen.append(model.encode(torch.from_numpy(pixels[rows])).double().numpy())
        true.append(states[rows][:, list(moving)])
    return np.concatenate(seen), np.concatenate(true)


def _with_one(z: Float[np.ndarray, "n D"]) -> Float[np.ndarray, "n D1"]:
    return np.concatenate([z, np.ones((len(z), 1))], axis=1)

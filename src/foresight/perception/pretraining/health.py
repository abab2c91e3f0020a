"""What is watched while an encoder learns: collapse, and what its tokens can tell."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from foresight.core.observation import STATE_KEY
from foresight.data.dataset import Dataset
from foresight.data.windows import split_episodes
from foresight.perception.preprocess import normalise
from foresight.perception.pretraining.frames import HELD_OUT, SPLIT_SEED, FrameBank
from foresight.perception.vit import VisionTransformer

PROBE_TASKS = 8
PROBE_TRAIN, PROBE_TEST = 600, 200
PROBE_FRAMES, PROBE_STRIDE = 4, 2
FEWEST = 10
"""Episodes without which a dataset is not asked."""
PENALTIES = (1e-3, 1e-2, 1e-1, 1.0)
"""Ridge penalties, as parts of the mean diagonal of the Gram matrix."""


def effective_rank(features: Float[Tensor, "n d"]) -> float:
    """Exponential of the entropy of the centred features' singular values (Roy & Vetterli 2007).

    From 1 (all vectors on a line: collapse) to D (all directions alike).
    """
    centred = (features - features.mean(0)).double()
    values = torch.linalg.svdvals(centred)
    share = values / values.sum().clamp_min(1e-12)
    return float(torch.exp(-(share * share.clamp_min(1e-12).log()).sum()))


class RunningProbe:
    """How well ridge regression on all tokens reads the recorded proprioception, held out.

    A fixed set of clips is drawn once from a bank's datasets: of each task the first dataset with
    at least ten episodes and a state, in the order in which they were given. Kernel ridge, as there
    are far more token values than clips. The penalty is the best one in hindsight: this number
    steers a training, it is no result.

    Args:
        bank: the frames; episodes that are held out from training are tested on.
        most: at most so many tasks, the first ones.
    """

    def __init__(self, bank: FrameBank, most: int = PROBE_TASKS) -> None:
        self._bank = bank
        self._sets: dict[str, tuple[np.ndarray, np.ndarray, int]] = {}
        random = np.random.default_rng(0)
        for index, dataset in enumerate(bank.datasets):
            task = dataset.task(0) or dataset.path.name
            if len(self._sets) == most or task in self._sets or not _can_be_asked(dataset):
                continue
            train, test = split_episodes(len(dataset), HELD_OUT, SPLIT_SEED)
            steps = [
                _steps(dataset.lengths, part, count, random)
                for part, count in ((train, PROBE_TRAIN), (test, PROBE_TEST))
            ]
            flat = np.concatenate([[dataset.offsets[e] + t for e, t in part] for part in steps])
            labels = dataset.column(STATE_KEY)[flat].reshape(len(flat), -1).astype(np.float32)
            rows = np.concatenate(
                [[_window(bank, int(bank.first[index]) + e, t) for e, t in part] for part in steps]
            )
            self._sets[task] = (rows, labels, len(steps[0]))

    @torch.no_grad()
    def __call__(self, encoder: VisionTransformer, device: torch.device) -> dict[str, float]:
        """R² for each task, the mean over its proprioception values that vary; NaN if none does."""
        found = {}
        for task, (rows, labels, split) in self._sets.items():
            tokens = []
            for start in range(0, len(rows), 64):
                frames = torch.from_numpy(self._bank.frames[rows[start : start + 64]])
                tokens.append(encoder(normalise(frames.to(device))).float().flatten(1).cpu())
            found[task] = kernel_ridge_r2(torch.cat(tokens), torch.from_numpy(labels), split)
        return found


def kernel_ridge_r2(
    features: Float[Tensor, "n f"], labels: Float[Tensor, "n l"], split: int
) -> float:
    """Held-out R² of ridge regression; rows before ``split`` train, the others test.

    Every token value is centred and all are scaled alike. R² is the mean over the labels that
    vary, each against its own test variance; NaN where none varies.
    """
    x = features - features[:split].mean(0)
    gram = x @ x[:split].T
    scale = gram[:split].diagonal().mean().clamp_min(1e-12)  # all features equal: collapse
    y = labels.double()
    mean = y[:split].mean(0)
    spread = y[split:].var(0, correction=0)
    varies = spread > 1e-8
    if not varies.any():
        return float("nan")
    best = -np.inf
    train = gram[:split].double()
    for penalty in PENALTIES:
        ridge = train + penalty * scale.double() * torch.eye(split, dtype=torch.float64)
        weights = torch.linalg.solve(ridge, y[:split] - mean)
        error = ((gram[split:].double() @ weights + mean - y[split:]) ** 2).mean(0)
        best = max(best, float((1 - error[varies] / spread[varies]).mean()))
    return best


def _can_be_asked(dataset: Dataset) -> bool:
    """Whether there are numbers to read and episodes to test on."""
    return len(dataset) >= FEWEST and dataset.has(STATE_KEY)


def _steps(
    lengths: list[int], episodes: list[int], count: int, random: np.random.Generator
) -> list[tuple[int, int]]:
    back = (PROBE_FRAMES - 1) * PROBE_STRIDE
    all_steps = [(e, t) for e in episodes for t in range(min(back, lengths[e] - 1), lengths[e])]
    chosen = random.choice(len(all_steps), min(count, len(all_steps)), replace=False)
    return [all_steps[i] for i in chosen]


def _window(bank: FrameBank, episode: int, step: int) -> np.ndarray:
    """Rows of the frames of a window that ends at ``step``."""
    back = np.arange(1 - PROBE_FRAMES, 1) * PROBE_STRIDE
    return bank.starts[episode] + np.maximum(step + back, 0)

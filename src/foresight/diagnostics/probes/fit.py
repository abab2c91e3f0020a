"""Training of the small network probes, chosen on validation windows."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from foresight.core.progress import track
from foresight.diagnostics.probes.data import ProbeData, Split, standardised

EVALUATION_BATCH = 512


@dataclass(frozen=True)
class FitSettings:
    """How a network probe is trained."""

    updates: int = 1600
    """At most, in whole passes over the training windows."""
    patience: int = 15
    """Passes without a better validation loss after which it ends."""
    batch: int = 128
    """Windows of one update."""
    rate: float = 2e-3
    """Highest learning rate of AdamW; a tenth of the way up, then down a cosine."""
    decay: float = 0.05
    """Weight decay."""
    seed: int = 0
    """Of the initial weights and the order of the windows."""


class Goals:
    """Numbers and classes as one network's outputs: numbers first, then each class's scores.

    Args:
        data: the labels.
        split: numbers are standardised by their training windows.
    """

    def __init__(self, data: ProbeData, split: Split) -> None:
        counts = [target.classes for target in data.targets]
        self.numbers = [i for i, count in enumerate(counts) if not count]
        self.classes = [(i, count) for i, count in enumerate(counts) if count]
        scaled, self._mean, self._spread = standardised(data.labels, split.train)
        self.wanted = torch.from_numpy(scaled[:, self.numbers]).float()
        self.labels = torch.from_numpy(data.labels)
        self.outputs = len(self.numbers) + sum(count for _, count in self.classes)

    def loss(self, outputs: Float[Tensor, "b o"], windows: Int[Tensor, " b"]) -> Tensor:
        """Mean squared error of the numbers plus cross-entropy of each class."""
        numbers = len(self.numbers)
        total = outputs.new_zeros(())
        if numbers:
            total = total + functional.mse_loss(outputs[:, :numbers], self.wanted[windows])
        for (column, _), scores in zip(self.classes, self._scores(outputs), strict=True):
            wanted = self.labels[windows, column].long()
            # Against ln(classes): a class weighs as much as a number whose variance is 1.
            total = total + functional.cross_entropy(scores, wanted) / np.log(scores.shape[1])
        return total

    def read(self, outputs: Float[Tensor, "n o"]) -> Float[np.ndarray, "n q"]:
        """Predictions in the labels' own units and order."""
        found = np.empty((len(outputs), len(self._mean)))
        numbers = outputs[:, : len(self.numbers)].double().numpy()
        found[:, self.numbers] = numbers * self._spread[self.numbers] + self._mean[self.numbers]
        for (column, _), scores in zip(self.classes, self._scores(outputs), strict=True):
            found[:, column] = scores.argmax(dim=1).numpy()
        return found

    def _scores(self, outputs: Tensor) -> Sequence[Tensor]:
        counts = [count for _, count in self.classes]
        return outputs[:, len(self.numbers) :].split(counts, dim=1) if counts else ()


def fit_network(
    make: Callable[[int], nn.Module],
    features: Float[Tensor, " n *f"],
    goals: Goals,
    split: Split,
    settings: FitSettings,
    label: str = "probe",
) -> Float[np.ndarray, "n q"]:
    """Train a network on the training windows and predict all of them.

    The weights of the pass with the smallest validation loss are kept.

    Args:
        make: builds the network for so many outputs.
        features: inputs ``[N, ...]`` of any float dtype, on the CPU.
        goals: what to learn.
        split: windows to fit on and to choose by.
        settings: how.
        label: shown beside the progress bar.

    Returns:
        Predictions ``[N, Q]`` in the labels' units.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        network = make(goals.outputs)
        _train(network, features, goals, split, settings, label)
    return goals.read(_outputs(network, features, torch.arange(len(features))))


def _train(
    network: nn.Module,
    features: Tensor,
    goals: Goals,
    split: Split,
    settings: FitSettings,
    label: str,
) -> None:
    train = torch.from_numpy(split.train)
    validation = torch.from_numpy(split.validation)
    batch = min(settings.batch, len(train))
    epochs = max(1, settings.updates // (len(train) // batch))
    updates = epochs * (len(train) // batch)
    optimiser = torch.optim.AdamW(
        network.parameters(), lr=settings.rate, weight_decay=settings.decay
    )
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda n: _rate(n, updates))
    best, kept, waited = float("inf"), copy.deepcopy(network.state_dict()), 0
    for _ in track(range(epochs), label):
        network.train()
        order = train[torch.randperm(len(train))]
        for chosen in order.split(batch)[: len(train) // batch]:
            optimiser.zero_grad(set_to_none=True)
            loss = goals.loss(network(features[chosen].float()), chosen)
            loss.backward()
            nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimiser.step()
            schedule.step()
        with torch.no_grad():
            error = goals.loss(_outputs(network, features, validation), validation).item()
        waited += 1
        if error < best:
            best, kept, waited = error, copy.deepcopy(network.state_dict()), 0
        if waited >= settings.patience:
            break
    network.load_state_dict(kept)


@torch.no_grad()
def _outputs(network: nn.Module, features: Tensor, windows: Tensor) -> Tensor:
    network.eval()
    parts = windows.split(EVALUATION_BATCH)
    return torch.cat([network(features[part].float()).float() for part in parts])


def _rate(update: int, updates: int) -> float:
    """Share of the highest rate: a short rise, then half a cosine."""
    rise = max(1, updates // 10)
    if update < rise:
        return (update + 1) / rise
    return 0.5 * (1 + np.cos(np.pi * (update - rise) / max(1, updates - rise)))

"""Signs of collapse and of sight, against slow and known answers."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tiny_pretraining import make_dataset

from foresight.perception.pretraining.frames import FrameBank
from foresight.perception.pretraining.health import (
    PENALTIES,
    RunningProbe,
    effective_rank,
    kernel_ridge_r2,
)


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_effective_rank_of_known_matrices():
    line = normal(200, 1) @ normal(1, 16, seed=1)
    assert effective_rank(line + 5.0) == pytest.approx(1.0, abs=1e-3)
    assert effective_rank(torch.ones(50, 8)) == pytest.approx(1.0)
    assert effective_rank(normal(20000, 16)) == pytest.approx(16, abs=0.05)
    # Two singular values s and s, then 3 s and s: exp of the entropy of (3/4, 1/4).
    frame = torch.tensor([[1.0, 0, 0], [-1, 0, 0], [0, 1, 0], [0, -1, 0]])
    assert effective_rank(frame) == pytest.approx(2.0)
    entropy = -(0.75 * np.log(0.75) + 0.25 * np.log(0.25))
    scaled = frame * torch.tensor([3.0, 1, 1])
    assert effective_rank(scaled) == pytest.approx(float(np.exp(entropy)))


def test_kernel_ridge_equals_ridge_in_feature_space():
    features = normal(60, 12) * 3 + 1
    labels = features[:, :3] @ normal(3, 2, seed=1) + normal(60, 2, seed=2)
    labels = torch.cat([labels, torch.full((60, 1), 4.0)], dim=1)  # one that does not vary
    train, test = features[:40].double().numpy(), features[40:].double().numpy()
    y, truth = labels[:40].double().numpy(), labels[40:].double().numpy()
    x = train - train.mean(0)
    scores = []
    for penalty in PENALTIES:
        ridge = penalty * (x**2).sum(1).mean() * np.eye(12)
        w = np.linalg.solve(x.T @ x + ridge, x.T @ (y - y.mean(0)))
        guess = (test - train.mean(0)) @ w + y.mean(0)
        error = ((guess - truth) ** 2).sum(0)[:2]
        scores.append((1 - error / ((truth - truth.mean(0)) ** 2).sum(0)[:2]).mean())
    assert kernel_ridge_r2(features, labels, 40) == pytest.approx(max(scores), abs=1e-4)
    assert max(scores) > 0.3


def test_collapsed_features_and_constant_labels_do_not_stop_a_training():
    assert kernel_ridge_r2(torch.ones(30, 5), normal(30, 2), 20) <= 0
    assert np.isnan(kernel_ridge_r2(normal(30, 5), torch.ones(30, 2), 20))


def bright(i, steps):
    """Frames whose brightness is the first value; the second is nowhere to be seen."""
    hidden = np.random.default_rng(i).uniform(-1, 1, (steps, 2))
    frames = np.empty((steps, 16, 16, 3), np.uint8)
    frames[:] = np.round(128 + 100 * hidden[:, 0])[:, None, None, None]
    return frames, hidden[:, :1]


def mixed(i, steps):
    frames, _ = bright(i, steps)
    return frames, np.random.default_rng(1000 + i).uniform(-1, 1, (steps, 2))


def nothing(i, steps):
    return bright(i, steps)[0], np.zeros((steps, 0))


def brightness(frame):
    """An encoder of one number: how bright a frame of the clip is."""
    return lambda clip: clip[:, frame].flatten(1).mean(1)[:, None, None]


def test_the_probe_reads_the_present_frame_and_nothing_that_is_not_there(tmp_path):
    stores = [
        make_dataset(tmp_path / "a", bright, [12] * 20),
        make_dataset(tmp_path / "again", mixed, [12] * 20),
        make_dataset(tmp_path / "b", mixed, [12] * 20, task="cheetah-run"),
        make_dataset(tmp_path / "blank", nothing, [12] * 20, task="cup-catch"),
        make_dataset(tmp_path / "few", bright, [12] * 9, task="walker-walk"),
    ]
    bank = FrameBank(stores, tmp_path / "frames")
    probe, cpu = RunningProbe(bank), torch.device("cpu")
    found = probe(brightness(-1), cpu)
    assert list(found) == [
        "reacher-easy",
        "cheetah-run",
    ]  # not twice, not of few or blank
    assert found["reacher-easy"] > 0.99
    assert found["cheetah-run"] < 0.2
    assert probe(brightness(0), cpu)["reacher-easy"] < 0.2
    assert probe(brightness(-1), cpu) == found
    assert list(RunningProbe(bank, most=1)(brightness(-1), cpu)) == ["reacher-easy"]

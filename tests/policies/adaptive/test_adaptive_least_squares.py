"""Recursive least squares: those of ridge regression on all that was seen."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from foresight.core.errors import ForesightError
from foresight.policies.adaptive.least_squares import RecursiveLeastSquares


def batch_ridge(x, y, forgetting, ridge, start):
    """Weighted ridge regression as one least-squares problem with rows for the prior."""
    age = np.arange(len(x))[::-1]
    root = np.sqrt(forgetting**age)
    rows = np.concatenate([root[:, None] * x, np.sqrt(ridge) * np.eye(x.shape[1])])
    prior = np.full((x.shape[1], y.shape[1]), np.sqrt(ridge) * start)
    return np.linalg.lstsq(rows, np.concatenate([root[:, None] * y, prior]), rcond=None)[0]


@pytest.mark.parametrize(
    ("forgetting", "ridge", "start"), [(1.0, 2.0, 0.0), (0.9, 0.5, 0.0), (0.97, 3.0, 1.0)]
)
def test_weights_are_those_of_ridge_regression_on_all_that_was_seen(forgetting, ridge, start):
    random = np.random.default_rng(0)
    x, y = random.normal(size=(2, 30, 5)), random.normal(size=(2, 30, 3))
    fit = RecursiveLeastSquares(5, 3, forgetting, ridge, start)
    fit.reset(2)
    for step in range(30):
        fit.update(torch.tensor(x[:, None, step]), torch.tensor(y[:, None, step]))
        if step in (0, 3, 29):
            for robot in range(2):
                seen = slice(0, step + 1)
                expected = batch_ridge(x[robot, seen], y[robot, seen], forgetting, ridge, start)
                np.testing.assert_allclose(fit.weights[robot], expected, atol=1e-5)


def test_several_things_told_at_once_weigh_the_same():
    random = np.random.default_rng(1)
    x, y = random.normal(size=(1, 4, 2)), random.normal(size=(1, 4, 1))
    fit = RecursiveLeastSquares(2, 1, 0.5, 1.0)
    fit.update(torch.tensor(x), torch.tensor(y))
    np.testing.assert_allclose(fit.weights[0], batch_ridge(x[0], y[0], 1.0, 1.0, 0.0), atol=1e-6)


def test_what_is_not_usable_neither_counts_nor_makes_forget():
    fit = RecursiveLeastSquares(2, 1, 0.5, 1.0)
    fit.reset(2)
    x, y = torch.tensor([[[1.0, 2.0]], [[2.0, 1.0]]]), torch.tensor([[[3.0]], [[4.0]]])
    fit.update(x, y)
    before = fit.weights.clone()
    fit.update(torch.full_like(x, torch.nan), y, torch.tensor([0.0, 0.0]))
    torch.testing.assert_close(fit.weights, before)
    fit.update(x, y, torch.tensor([1.0, 0.0]))
    assert not torch.allclose(fit.weights[0], before[0])
    torch.testing.assert_close(fit.weights[1], before[1])


def test_the_ridge_is_not_forgotten_where_nothing_excites():
    """After a thousand decisions of the same x, weights along others are still held at 0."""
    fit = RecursiveLeastSquares(2, 1, 0.9, 1.0)
    for _ in range(1000):
        fit.update(torch.tensor([[[1.0, 0.0]]]), torch.tensor([[[1.0]]]))
    fit.update(torch.tensor([[[0.0, 1e-3]]]), torch.tensor([[[1.0]]]))
    assert abs(float(fit.weights[0, 1])) < 0.01


@pytest.mark.parametrize(("forgetting", "ridge"), [(0.0, 1.0), (1.1, 1.0), (0.9, 0.0)])
def test_settings_outside_their_range_are_refused(forgetting, ridge):
    with pytest.raises(ForesightError, match="above 0"):
        RecursiveLeastSquares(2, 1, forgetting, ridge)

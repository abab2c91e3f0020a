from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from foresight.core.errors import ForesightError
from foresight.perception import axes
from foresight.perception.axes import chosen_steps, mean_and_deviation, principal_axes


def features(n=400, width=30, rank=6, seed=0):
    rng = np.random.default_rng(seed)
    strengths = 2.0 ** -np.arange(rank)
    signal = (rng.normal(size=(n, rank)) * strengths) @ rng.normal(size=(rank, width))
    return torch.from_numpy(signal + 0.001 * rng.normal(size=(n, width)) + 7).float()


def chunks(x, size=64):
    return lambda: x.split(size)


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 40), st.integers(1, 5), st.integers(1, 50))
def test_moments_do_not_depend_on_the_chunks(count, width, size):
    x = torch.randn(count, width, generator=torch.Generator().manual_seed(count)) * 3 + 1000
    mean, deviation, found = mean_and_deviation(chunks(x, size))
    assert found == count
    torch.testing.assert_close(mean, x.double().mean(0).float())
    if count > 1:
        torch.testing.assert_close(deviation, x.double().std(0).float(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("exact", [1024, 0])
@pytest.mark.parametrize("dim", [1, 4, 30])
def test_axes_are_those_of_a_full_decomposition(monkeypatch, exact, dim):
    monkeypatch.setattr(axes, "EXACT_WIDTH", exact)
    x = features()
    found = principal_axes(chunks(x), x.mean(0), dim)
    centred = (x - x.mean(0)).double().numpy()
    singular, right = np.linalg.svd(centred, full_matrices=False)[1:]
    variances = singular**2 / (len(x) - 1)
    np.testing.assert_allclose(found.variances, variances[:dim], rtol=1e-2, atol=1e-5)
    np.testing.assert_allclose(found.total, variances.sum(), rtol=1e-4)
    assert found.kept == pytest.approx(variances[:dim].sum() / variances.sum(), abs=1e-4)
    d = found.directions.double().numpy()
    np.testing.assert_allclose(d.T @ d, np.eye(dim), atol=1e-4)
    leading = min(dim, 4)  # the others are noise of one size: any basis is right
    overlap = np.abs(np.sum(d[:, :leading] * right[:leading].T, axis=0))
    np.testing.assert_allclose(overlap, 1, atol=1e-3)


def test_the_same_seed_gives_the_same_axes(monkeypatch):
    monkeypatch.setattr(axes, "EXACT_WIDTH", 0)
    x = features()
    found = [principal_axes(chunks(x), x.mean(0), 3, seed=5).directions for _ in range(2)]
    assert torch.equal(*found)


def test_steps_are_spread_over_the_episodes():
    offsets = np.array([0, 50, 90, 100])
    chosen = dict(chosen_steps(offsets, [0, 2], seed=1, limit=40))
    assert list(chosen) == [0, 2]
    assert len(chosen[0]) == 20 and len(set(chosen[0])) == 20 and chosen[0].max() < 50
    assert chosen[2].tolist() == list(range(10))


def test_refusals():
    x = features(n=5)
    with pytest.raises(ForesightError, match="6 principal axes need as many steps and got 5"):
        principal_axes(chunks(x), x.mean(0), 6)
    with pytest.raises(ForesightError, match="choose a dim from 1 to 30"):
        principal_axes(chunks(x), x.mean(0), 31)
    with pytest.raises(ForesightError, match="no steps"):
        mean_and_deviation(list)

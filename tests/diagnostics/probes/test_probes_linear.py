"""Ridge against the naive normal equations, logistic regression against separable classes."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from foresight.diagnostics.probes.linear import logistic, ridge

TRAIN, VALIDATION = torch.arange(40), torch.arange(40, 60)


def naive(x, y, train, share):
    """The normal equations with an intercept that is not penalised, by numpy."""
    x, y = x.double().numpy(), y.double().numpy()
    rows = train.numpy()
    centred = x[rows] - x[rows].mean(axis=0)
    level = share * np.square(centred).sum() / x.shape[1]
    left = centred.T @ centred + level * np.eye(x.shape[1])
    weights = np.linalg.solve(left, centred.T @ (y[rows] - y[rows].mean(axis=0)))
    return (x - x[rows].mean(axis=0)) @ weights + y[rows].mean(axis=0)


@pytest.mark.parametrize("features", [5, 200], ids=["primal", "dual"])
@pytest.mark.parametrize("share", [0.01, 1.0])
def test_ridge_solves_the_normal_equations(features, share):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(80, features, generator=generator) + 3
    y = torch.randn(80, 2, generator=generator) + 7
    found = ridge(x, y, TRAIN, VALIDATION, penalties=(share,))
    np.testing.assert_allclose(found.numpy(), naive(x, y, TRAIN, share), rtol=1e-4, atol=1e-4)


def test_each_target_takes_its_best_penalty():
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(80, 30, generator=generator)
    clean = x[:, :1] * 2
    noise = torch.randn(80, 1, generator=generator)
    penalties = (1e-6, 1.0, 100.0)
    y = torch.cat([clean, noise], dim=1)
    found = ridge(x, y, TRAIN, VALIDATION, penalties)
    for q in range(2):
        single = [naive(x, y[:, [q]], TRAIN, share)[:, 0] for share in penalties]
        errors = [np.square(s[40:60] - y[40:60, q].numpy()).mean() for s in single]
        np.testing.assert_allclose(
            found[:, q], single[int(np.argmin(errors))], rtol=1e-3, atol=1e-4
        )


def test_logistic_finds_separable_classes():
    generator = torch.Generator().manual_seed(2)
    classes = torch.randint(0, 4, (120,), generator=generator)
    centres = 4 * torch.randn(4, 6, generator=generator)
    x = centres[classes] + 0.3 * torch.randn(120, 6, generator=generator)
    found = logistic(x, classes, 4, torch.arange(60), torch.arange(60, 80))
    assert (found[80:] == classes[80:]).float().mean() > 0.97


def test_directions_that_rounding_made_negative_do_no_harm():
    from foresight.diagnostics.probes.linear import _factor

    vectors = torch.linalg.qr(torch.randn(20, 20, dtype=torch.float64)).Q
    values = torch.linspace(1.0, -1e-3, 20, dtype=torch.float64)
    factor = _factor(vectors @ torch.diag(values) @ vectors.T, torch.tensor(1e-6).double())
    assert torch.isfinite(factor).all()

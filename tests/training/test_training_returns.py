"""Returns of imagined steps beside a reference that knows no recursion."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from foresight.training.returns import Spread, lambda_returns


def naive_return(rewards, goes_on, values, discount, mixture, start):
    """The mean of all n-step returns, with λ's weights, one number after the other."""
    left = len(rewards) - start
    total = 0.0
    for n in range(1, left + 1):
        found, reached = 0.0, 1.0
        for k in range(n):
            found += reached * rewards[start + k]
            reached *= discount * goes_on[start + k]
        found += reached * values[start + n]
        total += found * (mixture ** (n - 1) * (1 - mixture) if n < left else mixture ** (n - 1))
    return total


@pytest.mark.parametrize("mixture", [0.0, 0.6, 0.95, 1.0])
def test_lambda_returns_are_the_mean_of_all_n_step_returns(mixture):
    random = np.random.default_rng(0)
    rewards, goes_on = random.normal(size=(6, 4)), random.random((6, 4))
    goes_on[2, 1] = 0.0
    values = random.normal(size=(7, 4))
    found = lambda_returns(*map(torch.tensor, (rewards, goes_on, values)), 0.9, mixture)
    for step in range(6):
        for i in range(4):
            columns = rewards[:, i], goes_on[:, i], values[:, i]
            wanted = naive_return(*columns, 0.9, mixture, step)
            assert float(found[step, i]) == pytest.approx(wanted, abs=1e-12)


def test_nothing_counts_after_an_end():
    rewards, values = torch.ones(4, 1), torch.full((5, 1), 100.0)
    goes_on = torch.tensor([1.0, 0.0, 1.0, 1.0])[:, None]
    found = lambda_returns(rewards, goes_on, values, 0.5, 1.0)[:, 0]
    assert found.tolist() == [1.5, 1.0, 1 + 0.5 * (1 + 0.5 * 100), 1 + 0.5 * 100]


def test_the_spread_of_returns_is_that_of_percentiles_and_remembers():
    random = np.random.default_rng(1)
    spread, wanted = Spread(memory=0.9, least=0.1), None
    for scale in (1.0, 5.0, 3.0):
        drawn = scale * random.standard_normal(2000)
        low, high = np.percentile(drawn, [5, 95])
        wanted = high - low if wanted is None else 0.9 * wanted + 0.1 * (high - low)
        assert float(spread(torch.tensor(drawn))) == pytest.approx(wanted)
    assert float(Spread(0.9, 2.0)(torch.zeros(10))) == 2.0  # what is alike is not magnified
    outlier = torch.cat([torch.zeros(99), torch.tensor([1e6])])
    assert float(Spread(0.9, 1.0)(outlier)) == 1.0

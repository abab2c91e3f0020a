"""Losses of an RSSM beside loops and formulas of their own."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch.nn import functional

from foresight.worldmodel.rssm.losses import balanced, barlow


def naive_divergence(q, p):
    return sum(
        q[g][c] * (math.log(q[g][c]) - math.log(p[g][c])) for g in range(len(q)) for c in range(3)
    )


def test_divergence_is_balanced_by_who_learns_from_it():
    torch.manual_seed(0)
    raw_q, raw_p = (torch.randn(5, 2, 3, requires_grad=True) for _ in range(2))
    raws, options = (raw_q, raw_p), {"allow_unused": True, "retain_graph": True}
    q, p = raw_q.log_softmax(-1), raw_p.log_softmax(-1)
    dynamics, posterior = balanced(q, p, free=0.0)
    expected = [
        naive_divergence(a, b) for a, b in zip(q.exp().tolist(), p.exp().tolist(), strict=True)
    ]
    assert dynamics.tolist() == pytest.approx(expected, abs=1e-5)
    assert posterior.tolist() == dynamics.tolist()
    found = torch.autograd.grad(dynamics.sum(), raws, **options)
    assert found[0] is None
    torch.testing.assert_close(found[1], (p.exp() - q.exp()).detach())  # as of a cross-entropy
    found = torch.autograd.grad(posterior.sum(), raws, **options)
    assert found[1] is None and found[0].abs().sum() > 0


def test_free_nats_teach_nothing():
    raw = torch.randn(4, 2, 3, requires_grad=True)
    even = torch.zeros(4, 2, 3).log_softmax(-1)
    near, _ = balanced(even, (0.01 * raw).log_softmax(-1), free=1.0)
    assert near.tolist() == [1.0] * 4
    assert not torch.autograd.grad(near.sum(), raw)[0].any()


def test_barlow_is_the_formula():
    random = np.random.default_rng(0)
    ours, theirs = random.normal(size=(2, 40, 4))
    theirs = theirs + ours
    loss = 0.0
    for i in range(4):
        for j in range(4):
            c = np.corrcoef(ours[:, i], theirs[:, j])[0, 1]
            loss += (1 - c) ** 2 if i == j else 0.01 * c**2
    found = barlow(torch.tensor(ours), torch.tensor(theirs), 0.01)
    assert float(found) == pytest.approx(loss, abs=1e-4)
    scaled = barlow(torch.tensor(3 * ours + 7), torch.tensor(theirs), 0.01)
    assert float(scaled) == pytest.approx(loss, abs=1e-4)
    alike = functional.one_hot(torch.arange(40) % 4).double()
    assert float(barlow(alike, alike, 0.0)) == pytest.approx(0, abs=1e-8)

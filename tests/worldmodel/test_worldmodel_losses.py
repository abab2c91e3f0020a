"""Vectorised losses against naive loops, and what they say of known batches."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from foresight.core.errors import ForesightError
from foresight.worldmodel.losses import (
    inverse_dynamics_loss,
    prediction_loss,
    temporal_ranking_loss,
)

seeds = st.integers(0, 1000)


@settings(max_examples=25, deadline=None)
@given(
    seeds,
    st.integers(1, 4),
    st.integers(1, 5),
    st.sampled_from(["mse", "smooth_l1"]),
    st.sampled_from([1.0, 0.9, 0.5]),
)
def test_prediction_loss_equals_a_naive_loop(seed, b, h, kind, rho):
    torch.manual_seed(seed)
    imagined, truth = 2 * torch.randn(2, b, h, 3).double(), torch.randn(b, h, 3).double()
    mask = torch.rand(b, h) < 0.7
    ours = prediction_loss(imagined, truth, kind, rho, mask)
    for member in range(2):
        total = norm = 0.0
        for i in range(b):
            for t in range(h):
                if not mask[i, t]:
                    continue
                each = []
                for d in range(3):
                    e = abs(float(imagined[member, i, t, d] - truth[i, t, d]))
                    each.append(e * e if kind == "mse" else (e * e / 2 if e < 1 else e - 0.5))
                total += rho**t * sum(each) / 3
                norm += rho**t
        assert float(ours[member]) == pytest.approx(total / norm if norm else 0.0)


def test_what_lies_behind_an_end_may_be_nan():
    imagined = torch.zeros(1, 2, 3, requires_grad=True)
    truth = torch.tensor([[[1.0] * 3, [math.nan] * 3]])
    loss = prediction_loss(imagined, truth, "mse", mask=torch.tensor([[True, False]]))
    loss.sum().backward()
    assert float(loss) == 1 and imagined.grad.isfinite().all()


def test_plain_loss_is_torchs_own():
    a, b = torch.randn(4, 3, 5), torch.randn(4, 3, 5)
    torch.testing.assert_close(prediction_loss(a, b), torch.nn.functional.smooth_l1_loss(a, b))
    with pytest.raises(ForesightError, match="no loss 'l7'"):
        prediction_loss(a, b, "l7")


def test_inverse_dynamics_loss():
    mean, action, log = torch.randn(5, 2), torch.randn(5, 2), torch.randn(5, 2)
    normal = torch.distributions.Normal(mean, log.exp())
    expected = -normal.log_prob(action).sum(-1)
    torch.testing.assert_close(inverse_dynamics_loss(mean, action, log), expected.mean())
    mask = torch.tensor([True, False, True, False, False])
    torch.testing.assert_close(
        inverse_dynamics_loss(mean, action, log, mask), expected[mask].mean()
    )
    squares = torch.nn.functional.mse_loss(mean, action)
    torch.testing.assert_close(inverse_dynamics_loss(mean, action), squares)


@settings(max_examples=20, deadline=None)
@given(seeds, st.integers(2, 6), st.sampled_from([0.0, 0.3]))
def test_temporal_ranking_equals_a_naive_loop(seed, length, margin):
    torch.manual_seed(seed)
    distance = torch.rand(3, length).double()
    gaps = torch.randint(1, 9, (3, length))
    total = 0.0
    for d, g in zip(distance.tolist(), gaps.tolist(), strict=True):
        pairs = [
            max(0.0, d[j] - d[k] + margin)
            for j in range(length)
            for k in range(length)
            if g[j] < g[k]
        ]
        total += sum(pairs) / max(1, len(pairs)) / 3
    assert float(temporal_ranking_loss(distance, margin, gaps)) == pytest.approx(total)


def test_growing_distances_cost_nothing():
    assert float(temporal_ranking_loss(torch.arange(5.0))) == 0
    assert float(temporal_ranking_loss(-torch.arange(5.0))) > 0

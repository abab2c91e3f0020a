"""Vectorised losses against naive loops, and what they say of known batches."""

import math
import os

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from foresight.core.errors import ForesightError
from foresight.worldmodel.losses import (
    episode_mask,
    inverse_dynamics_loss,
    prediction_loss,
    sigreg,
    temporal_ranking_loss,
    vicreg,
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


@given(st.lists(st.booleans(), min_size=2, max_size=8))
def test_episode_mask_equals_a_naive_loop(ends):
    mask = episode_mask(torch.tensor(ends))
    assert mask.tolist() == [not any(ends[:t]) for t in range(1, len(ends))]


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
@given(seeds, st.integers(2, 6), st.integers(1, 4))
def test_vicreg_equals_a_naive_loop(seed, n, d):
    torch.manual_seed(seed)
    z = torch.randn(n, d).double()
    terms = vicreg(z)
    mean = z.mean(0)
    cov = [
        [
            sum(float((z[i, a] - mean[a]) * (z[i, b] - mean[b])) for i in range(n)) / (n - 1)
            for b in range(d)
        ]
        for a in range(d)
    ]
    variance = sum(max(0.0, 1 - math.sqrt(cov[a][a] + 1e-4)) for a in range(d)) / d
    covariance = sum(cov[a][b] ** 2 for a in range(d) for b in range(d) if a != b) / d
    assert float(terms.variance) == pytest.approx(variance, abs=1e-12)
    assert float(terms.covariance) == pytest.approx(covariance, abs=1e-12)


def test_vicreg_of_one_state_is_one_sentence():
    with pytest.raises(ForesightError, match="got 1 states"):
        vicreg(torch.zeros(1, 3))


def test_sigreg_equals_a_naive_loop():
    torch.manual_seed(0)
    z = torch.randn(9, 4).double()
    ours = sigreg(z, directions=3, generator=torch.Generator().manual_seed(5))
    sketch = torch.randn(4, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(5))
    total = 0.0
    for j in range(3):
        x = (z @ (sketch[:, j] / sketch[:, j].norm())).tolist()
        for k in range(17):
            t = 3 * k / 16
            w = 2 * 3 / 16 * (0.5 if k in (0, 16) else 1) * math.exp(-t * t / 2)
            cos = sum(math.cos(t * v) for v in x) / 9 - math.exp(-t * t / 2)
            sin = sum(math.sin(t * v) for v in x) / 9
            total += 9 * w * (cos * cos + sin * sin) / 3
    assert float(ours) == pytest.approx(total)


def test_sigreg_of_known_batches():
    torch.manual_seed(0)
    normal = [float(sigreg(torch.randn(128, 192))) for _ in range(8)]
    assert sum(normal) / 8 == pytest.approx(1.07, abs=0.15)
    assert float(sigreg(2 * torch.randn(128, 192))) == pytest.approx(32.2, rel=0.1)
    assert float(sigreg(torch.zeros(128, 192))) == pytest.approx(51.46, abs=0.01)
    assert float(sigreg(torch.ones(128, 192))) == pytest.approx(134.6, rel=0.05)
    clusters = torch.randn(4, 192)[torch.randint(4, (128,))]
    assert float(sigreg(clusters)) > 10
    assert float(sigreg(torch.randn(2048, 192))) < 2  # does not grow with N


def test_sigreg_pulls_a_collapsed_batch_apart():
    torch.manual_seed(0)
    z = (0.05 * torch.randn(128, 8)).requires_grad_()
    optimizer = torch.optim.Adam([z], lr=0.05)
    for _ in range(150):
        optimizer.zero_grad()
        sigreg(z, 64).backward()
        optimizer.step()
    assert float(z.detach().std(0).min()) > 0.7


def _half(rank, store, results):
    import torch.distributed as dist

    dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=2)
    torch.manual_seed(rank)  # each process would draw other directions
    torch.set_num_threads(1)
    z = torch.load(results / "z.pt")[rank::2].clone().requires_grad_()
    value = sigreg(z, 32)
    value.backward()
    torch.save((value.detach(), z.grad), results / f"{rank}.pt")
    dist.barrier()
    dist.destroy_process_group()
    os._exit(0)  # gloo's threads may outlive the interpreter's end, which aborts the process


def test_sigreg_over_two_processes_is_that_of_the_whole_batch(tmp_path):
    z = 2 * torch.randn(20, 6)
    torch.save(z, tmp_path / "z.pt")
    torch.multiprocessing.spawn(_half, (str(tmp_path / "meet"), tmp_path), nprocs=2)
    torch.manual_seed(0)  # the first process's directions
    whole = z.clone().requires_grad_()
    expected = sigreg(whole, 32)
    expected.backward()
    for rank in range(2):
        value, grad = torch.load(tmp_path / f"{rank}.pt")
        torch.testing.assert_close(value, expected.detach())
        # Both processes add the same loss up, and averaging gradients over them divides by two.
        torch.testing.assert_close(grad / 2, whole.grad[rank::2])


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

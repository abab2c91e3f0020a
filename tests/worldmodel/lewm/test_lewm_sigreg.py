"""SIGReg against a naive formula, known values, and itself in two processes."""

from __future__ import annotations

import math
from datetime import timedelta

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from foresight.worldmodel.lewm.sigreg import SIGReg, characteristic_distance


def naive(column):
    """The statistic of one direction, number by number, as the paper writes it."""
    count, total = len(column), 0.0
    for k in range(17):
        t = 3 * k / 16
        weight = (3 / 16 if k in (0, 16) else 2 * 3 / 16) * math.exp(-t * t / 2)
        real = sum(math.cos(t * float(x)) for x in column) / count - math.exp(-t * t / 2)
        imaginary = sum(math.sin(t * float(x)) for x in column) / count
        total += weight * (real**2 + imaginary**2)
    return count * total


def test_it_is_the_formula():
    torch.manual_seed(0)
    x = torch.randn(2, 9, 3) * torch.tensor([0.5, 1.0, 2.0])
    found = characteristic_distance(x)
    expected = torch.tensor([[naive(x[t, :, m]) for m in range(3)] for t in range(2)])
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)


def test_known_values():
    torch.manual_seed(0)
    regulariser, normal = SIGReg(), torch.randn(4, 128, 192)
    assert float(regulariser(normal)) == pytest.approx(1.07, abs=0.1)
    assert float(regulariser(2 * normal)) == pytest.approx(32.2, abs=0.5)
    zeros = torch.zeros(1, 128, 192)
    assert float(regulariser(zeros)) == pytest.approx(51.46, abs=0.01)
    ones = [float(regulariser(zeros + 1)) for _ in range(4)]
    assert sum(ones) / 4 == pytest.approx(134.6, abs=8)


def test_it_teaches_to_be_normal():
    torch.manual_seed(0)
    z = torch.nn.Parameter(0.1 * torch.randn(1, 128, 4) + 1)
    optimizer, regulariser = torch.optim.Adam([z], lr=0.05), SIGReg(16)
    for _ in range(100):
        loss = regulariser(z)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert z.mean(1).abs().max() < 0.3
    assert (z.std(1) - 1).abs().max() < 0.2


def test_half_precision_around_it_changes_nothing():
    z = torch.randn(1, 64, 16)
    torch.manual_seed(1)
    expected = SIGReg(32)(z)
    torch.manual_seed(1)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(SIGReg(32)(z), expected)


def _member(rank, address, z, told):
    dist.init_process_group(
        "gloo", init_method=address, rank=rank, world_size=2, timeout=timedelta(seconds=60)
    )
    torch.manual_seed(100 * rank)  # what the second draws must not matter
    own = z[:, :5] if rank == 0 else z[:, 5:]  # parts of different sizes, too
    own = own.clone().requires_grad_()
    loss = SIGReg(16)(own)
    loss.backward()
    told.put((rank, float(loss), own.grad.tolist()))
    dist.destroy_process_group()


@pytest.mark.slow
def test_two_processes_are_as_one(tmp_path):
    torch.manual_seed(5)
    z = torch.randn(2, 12, 6)
    context = mp.get_context("spawn")
    told = context.Queue()
    members = [
        context.Process(target=_member, args=(rank, f"file://{tmp_path}/meet", z, told))
        for rank in (0, 1)
    ]
    for member in members:
        member.start()
    found = {rank: (loss, torch.tensor(grad)) for rank, loss, grad in (told.get() for _ in members)}
    for member in members:
        member.join()
    whole = z.clone().requires_grad_()
    torch.manual_seed(0)
    expected = SIGReg(16)(whole)
    expected.backward()
    assert found[0][0] == pytest.approx(float(expected), rel=1e-5)
    assert found[1][0] == found[0][0]
    # Averaged over two processes, as data parallelism does, the gradients are those of one.
    joined = torch.cat([found[0][1], found[1][1]], 1) / 2
    torch.testing.assert_close(joined, whole.grad, rtol=1e-4, atol=1e-6)
    # Without the exchange each half would find another number.
    torch.manual_seed(0)
    assert abs(float(SIGReg(16)(z[:, :5])) - float(expected)) > 0.01

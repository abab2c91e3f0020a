from __future__ import annotations

import threading

import pytest
import torch

from foresight.core.machine import torch_threads
from foresight.core.thread_pool import run_in_lanes


@pytest.fixture(params=[1, 2, 3])
def threads(request):
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


def test_parts_keep_their_order_and_run_on_single_threads(threads):
    seen = []

    def work(part):
        seen.append((threading.get_ident(), torch.get_num_threads()))
        return part * part

    for _ in range(2):
        assert run_in_lanes(work, range(7)) == [n * n for n in range(7)]
    if threads > 1:
        assert {count for _, count in seen} == {1}
        assert threading.get_ident() not in {name for name, _ in seen}
    assert torch.get_num_threads() == threads


def test_errors_reach_the_caller(threads):
    def work(part):
        raise ValueError(part)

    with pytest.raises(ValueError, match="0"):
        run_in_lanes(work, range(3))


def test_one_thread_gives_the_others_back(threads):
    with pytest.raises(ValueError, match="lost"), torch_threads(1):
        assert torch.get_num_threads() == 1
        raise ValueError("lost")
    assert torch.get_num_threads() == threads

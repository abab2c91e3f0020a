"""Who sees which windows."""

import numpy as np
import pytest
import torch

from foresight.data.windows import WindowLoader
from foresight.training.batches import MemberBatches
from foresight.training.experience import Experience

E, WINDOW = 3, 3
LENGTHS = [8, 5, 2, 7, 6]


def source(data, batch=4, members=E) -> MemberBatches:
    offsets = np.cumsum([0, *LENGTHS])
    rows = torch.arange(int(offsets[-1])).float()
    experience = Experience(rows[:, None].numpy(), rows[:, None], rows, offsets, [0, 1, 2, 3], [4])
    loader = WindowLoader({"row": rows}, offsets, experience.train, WINDOW, batch, seed=5)
    return MemberBatches(loader, experience, members, data)


def test_shuffled_members_see_every_window_once_in_orders_of_their_own():
    made = source("shuffled")
    firsts = torch.cat([b["row"][..., 0].clone() for b in made.take(0, len(made.loader))], dim=1)
    assert firsts.shape == (E, len(made.loader.starts))
    for row in firsts:
        assert sorted(row.tolist()) == made.loader.starts.tolist()
    assert not torch.equal(firsts[0], firsts[1])


def test_windows_are_consecutive_rows():
    for batch in source("bootstrap").take(0, 9):
        steps = batch["row"].diff(dim=-1)
        assert batch["row"].shape[0] == E and torch.equal(steps, torch.ones_like(steps))


def test_bootstrap_draws_whole_episodes_with_replacement():
    made = source("bootstrap", members=20)
    windows = {0: 6, 8: 3, 15: 5}  # first row of an episode to its windows; one has none
    seen = []
    for starts in made.starts:
        counts = torch.bincount(starts, minlength=22)
        times = []
        for first, number in windows.items():
            own = counts[first : first + number]
            assert len(own.unique()) == 1
            times.append(int(own[0]))
        assert sum(times) == 3
        seen.append(tuple(times))
    assert len(set(seen)) > 3
    for turn in (0, 1):
        for starts, order in zip(made.starts, made.orders(turn), strict=True):
            assert set(order.tolist()) <= set(starts.tolist())
            assert len(order) == len(made.loader.starts)


def test_shared_members_see_the_same_as_a_single_network():
    together = [b["row"].clone() for b in source("shared").take(0, 8)]
    alone = [b["row"].clone() for b in source(None).take(0, 8)]
    for many, one in zip(together, alone, strict=True):
        assert torch.equal(many, one.expand_as(many))


@pytest.mark.parametrize("data", ["shuffled", "bootstrap", "shared", None])
def test_training_can_start_at_any_batch(data):
    whole = [b["row"].clone() for b in source(data).take(0, 10)]
    late = [b["row"].clone() for b in source(data).take(5, 5)]
    for a, b in zip(whole[5:], late, strict=True):
        assert torch.equal(a, b)


def test_a_single_network_sees_what_the_loader_gives():
    made = source(None)
    loader = source(None).loader
    expected = [b["row"].clone() for b in loader]
    found = [b["row"].clone() for b in made.take(0, len(loader))]
    assert all(torch.equal(a, b) for a, b in zip(expected, found, strict=True))

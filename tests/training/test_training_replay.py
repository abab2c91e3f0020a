"""Windows from episodes of any length: in line, within one episode, masked beyond its end."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from foresight.core.errors import ForesightError
from foresight.training.replay import CHUNK, Replay


def counted(lengths, terminated=(), more=1, capacity=1000):
    """Episode i has the numbers 100 i, 100 i + 1, … as features, actions and rewards."""
    replay = Replay(capacity, 1, 1, proprio=2, latent=1)
    for number, length in enumerate(lengths):
        values = number * 100 + torch.arange(float(length + more))
        done = values[:length]
        felt = values[:, None].expand(-1, 2)
        replay.add(values[:, None], done[:, None], done, number in terminated, felt)
    replay.refresh(lambda features: 2 * features.float())
    return replay


def test_windows_lie_within_one_episode_and_line_up():
    replay = Replay(5 * 7, 1, 1, latent=1)
    for number in range(5):
        values = number * 20 + torch.arange(7.0)
        replay.add(values[:, None], values[:6, None], values[:6])
    replay.refresh(lambda features: 2 * features)
    got = replay.sample((2, 40), 3, np.random.default_rng(0), see=True)
    assert got.states.shape == (2, 40, 4, 1) and got.features.shape == (2, 40, 1)
    torch.testing.assert_close(got.states.diff(dim=2), torch.full((2, 40, 3, 1), 2.0))
    torch.testing.assert_close(got.states[:, :, :3], 2 * got.actions)
    torch.testing.assert_close(got.features.float(), got.actions[:, :, 0])
    torch.testing.assert_close(got.actions[..., 0], got.rewards)
    assert set((got.features[..., 0] % 20).flatten().tolist()) == {0.0, 1.0, 2.0, 3.0}
    assert got.acted.all() and got.followed.all() and not got.ended.any()
    assert replay.sample((3,), 3, np.random.default_rng(0)).features.shape == (3, 0)
    assert got.expert_actions.isnan().all() and got.proprio.shape == (2, 40, 0)


def test_episodes_of_any_length_are_drawn_by_their_windows():
    lengths = (12, 3, 30)
    got = counted(lengths).sample((30_000,), 3, np.random.default_rng(0), see=True)
    first = got.rewards[:, 0].long()
    torch.testing.assert_close(got.rewards[:, 2] - got.rewards[:, 0], torch.full((30_000,), 2.0))
    assert got.acted.all() and got.followed.all()
    begins = torch.bincount(first, minlength=300)
    wanted = [number * 100 + step for number, n in enumerate(lengths) for step in range(n - 2)]
    assert begins.nonzero().flatten().tolist() == wanted
    share = begins[wanted] / 30_000
    torch.testing.assert_close(share, torch.full((39,), 1 / 39), rtol=0.2, atol=0)


def test_a_terminated_end_is_in_every_place_of_a_window_and_masked_beyond():
    replay = counted((4, 6), terminated={0}, more=0)
    got = replay.sample((4000,), 3, np.random.default_rng(0))
    start = got.rewards[:, 0].long()
    early = start < 100
    assert set(start[early].tolist()) == {0, 1, 2, 3} and set(start[~early].tolist()) == {
        100, 101, 102, 103
    }  # fmt: skip
    step = start[:, None] % 100 + torch.arange(3)
    length = torch.where(early, 4, 6)[:, None]
    assert torch.equal(got.acted, step < length)
    assert torch.equal(got.ended, early[:, None] & (step == 3))
    assert torch.equal(got.followed, step + 1 < length)  # nobody saw what came after the last
    assert (got.rewards[got.acted] == (start[:, None] + torch.arange(3))[got.acted]).all()


def test_an_episode_shorter_than_a_window_is_its_beginning():
    got = counted((2,)).sample((50,), 4, np.random.default_rng(0))
    assert (got.rewards[:, 0] == 0).all()
    assert got.acted.tolist() == [[True, True, False, False]] * 50
    assert torch.equal(got.followed, got.acted)  # the observation after the last was given


def test_a_share_of_the_windows_has_an_experts_answers():
    replay = Replay(100, 1, 1, proprio=2)
    felt = torch.arange(7.0)[:, None].expand(7, 2)
    asked = torch.arange(6.0)[:, None]
    for number in range(10):
        answer = asked if number >= 8 else None
        actions = asked if number >= 8 else torch.zeros(6, 1)
        replay.add(torch.zeros(7, 1), actions, torch.zeros(6), False, felt, answer)
    for share, expected in ((0.0, 0.2), (0.5, 0.6), (1.0, 1.0)):
        got = replay.sample((4000,), 3, np.random.default_rng(0), share)
        known = got.expert_actions.isfinite().all(-1).all(-1)
        assert float(known.float().mean()) == pytest.approx(expected, abs=0.04)
        torch.testing.assert_close(got.expert_actions[known], got.actions[known])
        torch.testing.assert_close(got.proprio[known][:, 0], got.expert_actions[known][:, 0, 0])


@pytest.mark.parametrize("lengths", [(5, 5, 5, 5), (5, 6, 7, 8)])
def test_members_draw_from_their_own_episodes(lengths):
    replay = Replay(100, 1, 1)
    for number, length in enumerate(lengths):
        expert = torch.zeros(length, 1) if number == 2 else None
        rewards = torch.full((length,), float(number))
        seen = torch.zeros(length + 1, 1)
        replay.add(seen, torch.zeros(length, 1), rewards, expert_actions=expert)
    own = np.zeros((3, 6), bool)
    own[0, [0, 2]] = True
    own[1, 3] = True
    own[2, 5] = True  # not seen yet: then from all
    got = replay.sample((3, 200), 2, np.random.default_rng(0), 0.9, own=own)
    drawn = [set(rows.flatten().tolist()) for rows in got.rewards]
    assert drawn == [{0.0, 2.0}, {3.0}, {0.0, 1.0, 2.0, 3.0}]
    assert float((got.rewards[0] == 2).float().mean()) > 0.85


def test_states_do_not_depend_on_what_was_added_when():
    lengths = [3 + number % 4 for number in range(2 * CHUNK + 5)]
    whole, grown = counted(lengths), Replay(1000, 1, 1, latent=1)
    seen = []

    def encode(features):
        seen.append(len(features))
        return 2 * features.float()

    for number, length in enumerate(lengths):
        values = number * 100 + torch.arange(float(length + 1))
        grown.add(values[:, None], values[:length, None], values[:length])
        grown.refresh(encode, since=number)
    torch.testing.assert_close(grown.states, whole.states, rtol=0, atol=0)
    seen.clear()
    grown.refresh(encode, since=len(lengths) - 1)
    assert sum(seen) == sum(length + 1 for length in lengths[2 * CHUNK :])


def test_returns_and_counts_are_those_of_each_episode():
    replay = counted((4, 2))
    assert len(replay) == 2 and replay.decisions == 6
    assert replay.returns.tolist() == [6.0, 201.0]


def test_a_full_or_spoilt_replay_is_refused():
    replay = Replay(6, 4, 1)
    replay.add(torch.zeros(4, 4), torch.zeros(3, 1), torch.zeros(3))
    with pytest.raises(ForesightError, match="room for 6 observations and got 7"):
        replay.add(torch.zeros(3, 4), torch.zeros(3, 1), torch.zeros(3))
    with pytest.raises(ForesightError, match="not finite"):
        replay.add(torch.full((2, 4), torch.nan), torch.zeros(2, 1), torch.zeros(2))
    with pytest.raises(ForesightError, match="3 observations, 1 actions"):
        replay.add(torch.zeros(3, 4), torch.zeros(1, 1), torch.zeros(1))
    assert len(replay) == 1

"""Lessons for a state without a teacher: what they are compared with, and what they teach."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from foresight.training import learner as learning
from foresight.training.learner import Learner
from foresight.training.learner_config import LearnerConfig
from foresight.training.lessons import lessons_of
from foresight.training.replay import Replay
from foresight.training.value_targets import traced
from foresight.worldmodel.heads.scalar import symlog
from joint_worlds import DECISIONS, point_world, tiny

CONFIG = LearnerConfig(foretold=2.0, pictures=3.0, ahead=2, far=3)


@pytest.fixture(autouse=True)
def exact(monkeypatch):
    """fp32 on every machine."""
    monkeypatch.setattr(learning, "default_dtype", lambda device: torch.float32)


def short_replay():
    """Episodes of 5, 3 and 4 decisions; the second is ended by its task."""
    random = torch.Generator().manual_seed(0)
    replay = Replay(20, 12, 2, latent=32)
    for length, ended in ((5, False), (3, True), (4, False)):
        replay.add(
            torch.randn(length, 12, generator=random),
            torch.rand(length, 2, generator=random),
            torch.rand(length, generator=random),
            ended,
        )
    return replay


def test_what_follows_an_observation_stays_in_its_episode():
    replay = short_replay()
    rows, acted, whole = replay.follow(torch.tensor([0, 3, 5, 7, 8]), 3)
    assert rows.tolist() == [
        [0, 1, 2, 3], [3, 4, 4, 4], [5, 6, 7, 7], [7, 7, 7, 7], [8, 9, 10, 11],
    ]  # fmt: skip
    assert acted.sum(1).tolist() == [3, 2, 3, 1, 3]
    assert whole.tolist() == [True, False, True, True, True]


def test_the_losses_equal_a_naive_loop():
    replay, model = short_replay(), tiny()
    lessons = lessons_of(model, CONFIG)
    lessons.fit(replay)
    first = torch.tensor([0, 3, 6, 7, 8, 10])
    z = model.encode(replay.features[first])
    found = lessons.losses(z, replay, first)
    ends = {0: (5, False), 5: (8, True), 8: (12, False)}
    told = (replay.features.float() - lessons.mean) @ lessons.axes
    errors = {name: [] for name in ("rewards", "far", "picture", "later")}
    for state, row in zip(z, first.tolist(), strict=True):
        start = max(each for each in ends if each <= row)
        end, ended = ends[start]
        now = lessons.now(state[None])[0]
        taken = [min(row + t, end - 1) for t in range(2)]
        later = lessons.later(state[None], replay.actions[taken].flatten()[None])[0]
        for t in range(2):
            if row + t < end:
                errors["rewards"].append((later[t] - symlog(replay.rewards[row + t])) ** 2)
        coming = [replay.rewards[row + t] * 0.8**t for t in range(3) if row + t < end]
        if row + 3 <= end or ended:
            errors["far"].append((now[0] - symlog(torch.stack(coming).sum())) ** 2)
        errors["picture"] += list((now[1:] - told[row]) ** 2)
        if row + 2 < end:
            errors["later"] += list((later[2:] - told[row + 2]) ** 2)
    mean = {name: float(torch.stack(each).mean()) for name, each in errors.items()}
    assert float(found["foretold"]) == pytest.approx(2 * (mean["rewards"] + mean["far"]), rel=1e-4)
    assert float(found["pictures"]) == pytest.approx(
        3 * (mean["picture"] + mean["later"]), rel=1e-4
    )


def test_the_axes_are_the_leading_ones_and_fitted_once():
    model, (replay, _) = tiny(), point_world(40)
    lessons = lessons_of(model, CONFIG)
    lessons.fit(replay)
    told = (replay.features.float() - lessons.mean) @ lessons.axes
    covariance = torch.cov(told.T)
    apart = covariance - torch.diag(covariance.diagonal())
    assert float(apart.abs().max()) < 0.05 * float(covariance.diagonal().max())
    axes = lessons.axes.clone()
    replay.features.mul_(3)
    lessons.fit(replay)
    torch.testing.assert_close(lessons.axes, axes)


def test_without_weights_there_are_none():
    assert lessons_of(tiny(), LearnerConfig()) is None
    assert lessons_of(tiny(), replace(CONFIG, foretold=0.0)) is not None


@pytest.mark.slow
def test_a_state_that_was_taught_by_pictures_says_where_things_are():
    """Where no reward is ever earned, the reward alone teaches nothing."""
    errors = []
    for config in (LearnerConfig(lr=2e-3), replace(CONFIG, lr=2e-3)):
        model, (replay, _) = tiny(), point_world()
        replay.rewards.zero_()
        Learner(model, config).learn_representation(replay, 200)
        rows = int(replay.offsets[-1])
        states = torch.cat([replay.states[:rows], torch.ones(rows, 1)], dim=1)
        place = replay.proprio[:rows]
        half = rows // 2
        fitted = torch.linalg.lstsq(states[:half], place[:half]).solution
        errors.append(float((states[half:] @ fitted - place[half:]).square().mean()))
    assert errors[1] < 0.5 * errors[0]


@pytest.mark.parametrize("traces", [0.0, 0.6, 1.0])
def test_value_targets_equal_their_recursion(traces):
    replay = short_replay()
    windows = replay.sample((40,), 3, np.random.default_rng(0))
    ahead = torch.rand(40, 3, generator=torch.Generator().manual_seed(1))
    found = traced(windows, ahead, 0.9, traces)

    def target(i, t):
        if windows.ended[i, t]:
            return float(windows.rewards[i, t])
        after = float(ahead[i, t])
        usable = t + 1 < 3 and windows.acted[i, t + 1]
        if usable and (windows.followed[i, t + 1] or windows.ended[i, t + 1]):
            after = (1 - traces) * after + traces * target(i, t + 1)
        return float(windows.rewards[i, t]) + 0.9 * after

    for i in range(40):
        for t in range(3):
            if windows.followed[i, t] or windows.ended[i, t]:
                assert float(found[i, t]) == pytest.approx(target(i, t), rel=1e-5)


def test_views_are_drawn_where_there_are_some():
    replay = Replay(DECISIONS, 3, 1, views=2)
    plain = torch.zeros(6, 3)
    replay.add(plain, torch.zeros(6, 1), torch.zeros(6), shifted=torch.ones(2, 6, 3) * 5)
    replay.add(plain + 2, torch.zeros(6, 1), torch.zeros(6))
    rows = torch.arange(12).repeat(50)
    seen = replay.seen(rows, np.random.default_rng(0))[:, 0].float().view(50, 12)
    assert set(seen[:, :6].flatten().tolist()) == {0.0, 5.0}
    assert float((seen[:, :6] == 5).float().mean()) == pytest.approx(2 / 3, abs=0.1)
    assert set(seen[:, 6:].flatten().tolist()) == {2.0}  # nothing shifted: itself

"""Spot and a mark: where it stands, that it is seen, and what each aim is paid for."""

from __future__ import annotations

import numpy as np
import pytest

from foresight.core.errors import ForesightError
from foresight.envs import make, spec_of
from foresight.envs.spot import mark
from foresight.envs.spot.mark import AIMS, NEAR, aim_reward, mark_place
from spot_files import needs_spot


def seen_columns(picture):
    """Columns in which something is as red as the mark."""
    red, green, blue = np.moveaxis(picture.astype(int), -1, 0)
    return np.flatnonzero(((red > green + 60) & (blue > green + 30)).any(axis=0))


def test_a_seed_places_the_mark_ahead_to_the_left_or_the_right():
    places = np.array([mark_place(seed) for seed in range(1000)])
    assert np.array_equal(mark_place(5), places[5])
    distance, bearing = np.hypot(*places.T), np.arctan2(places[:, 1], places[:, 0])
    assert 1.8 <= distance.min() < 1.85 and 2.95 < distance.max() <= 3.0
    assert 0.4 <= np.abs(bearing).min() < 0.41 and 0.79 < np.abs(bearing).max() <= 0.8
    assert (bearing > 0).mean() == pytest.approx(0.5, abs=0.05)


@needs_spot
def test_the_mark_is_in_the_picture_on_its_side_and_whole():
    env = make("spot/mark", cameras=["wide"], size=64)
    for seed in range(24):
        raw, _ = env.reset(seed=seed)
        columns = seen_columns(raw["images"]["wide"])
        assert len(columns) >= 4 and columns[0] > 0 and columns[-1] < 63
        assert (columns.mean() < 31.5) == (mark_place(seed)[1] > 0)
    env.close()


@needs_spot
def test_a_restored_state_shows_its_own_mark():
    env = make("spot/mark", cameras=["wide"], size=64)
    env.reset(seed=1)
    state = env.get_state()
    before = env.step([0.0, 0.0, 0.3])[0]["images"]["wide"]
    env.reset(seed=4)
    env.set_state(state)
    again = env.step([0.0, 0.0, 0.3])[0]["images"]["wide"]
    assert np.array_equal(before, again)
    env.close()


@pytest.mark.parametrize(
    ("aim", "pose", "paid"),
    [
        ("turn", (0.0, 0.0, np.arctan2(1.0, 2.0)), 1.0),
        ("turn", (0.0, 0.0, np.arctan2(1.0, 2.0) + 0.3 - 2 * np.pi), 0.5),
        ("turn", (2.0, 0.0, 0.0), 1 / (1 + (np.pi / 2 / 0.3) ** 2)),
        ("sidestep", (5.0, 1.0, 0.0), 1.0),
        ("sidestep", (0.0, 0.6, 0.0), 0.5),
        ("sidestep", (0.0, 0.6, -0.4), 0.25),
        ("go-to", (2.0, 1.0 - NEAR, 3.0), 1.0),
        ("go-to", (2.0 - NEAR - 0.5, 1.0, 0.0), 0.5),
        ("go-to", (2.1, 1.1, 0.0), 1.0),
    ],
)
def test_what_a_pose_is_paid(aim, pose, paid):
    assert aim_reward(aim, np.array(pose), np.array([2.0, 1.0])) == pytest.approx(paid)


@needs_spot
def test_aims_differ_in_nothing_but_what_they_pay():
    envs = {aim: make("spot/mark", cameras=[], aim=aim) for aim in AIMS}
    actions = np.random.default_rng(0).uniform(-0.4, 0.4, (12, 3))
    told = {}
    for aim, env in envs.items():
        env.reset(seed=2)
        told[aim] = [env.step(action) for action in actions]
    walked = told["walk"]
    assert all(step[1] == step[4]["own_reward"] for step in walked)
    for aim in ("turn", "sidestep", "go-to"):
        assert np.array_equal(told[aim][-1][4]["state"], walked[-1][4]["state"])
        assert [s[4]["own_reward"] for s in told[aim]] == [s[1] for s in walked]
        assert all(0 < step[1] < 5 for step in told[aim])
        assert told[aim][-1][1] != pytest.approx(walked[-1][1])
        assert envs[aim].task_text == AIMS[aim]


@needs_spot
def test_nothing_that_is_felt_tells_where_the_mark_is(monkeypatch):
    monkeypatch.setattr(mark, "mark_place", lambda seed: np.array([2.0, 1.0]))
    here = make("spot/mark", cameras=[]).unwrapped
    first = here.reset(seed=0)[0]["state"]
    assert here.truth()["mark bearing"] == pytest.approx(np.arctan2(1.0, 2.0), abs=1e-6)
    monkeypatch.setattr(mark, "mark_place", lambda seed: np.array([2.0, -1.0]))
    assert np.array_equal(here.reset(seed=0)[0]["state"], first)
    assert here.truth()["mark bearing"] == pytest.approx(-np.arctan2(1.0, 2.0), abs=1e-6)
    assert first[-3:] == pytest.approx([0.6, 0.0, 0.0])  # straight on, from the world's first axis
    assert here.pose[2] == 0.0 and len(spec_of(here).action) == 3


@needs_spot
def test_an_aim_that_does_not_exist_is_a_sentence():
    with pytest.raises(ForesightError, match="cannot be paid for 'fly' with a mark: choose among"):
        make("spot/mark", aim="fly")

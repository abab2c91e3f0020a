"""Rows of episodes: the same whatever the number of workers, and what decides their hash."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest

from foresight.core.errors import ForesightError
from foresight.envs.registry import EnvConfig
from foresight.evaluation.assess import assess_policy
from foresight.evaluation.cache import EpisodeCache
from foresight.evaluation.config import (
    SUCCESS_RETURN,
    EvalConfig,
    protocol_name,
    success_threshold,
    task_name,
)
from foresight.evaluation.episodes import evaluate_policy, policy_hash
from foresight.experts import oracle_settings
from foresight.policies import NamedPolicy
from foresight.rollout import Film, run_episodes
from robots import ROBOT, Driver, Moody, Wrong

REACHER = EnvConfig("reacher-easy", cameras=())
CAREFUL = NamedPolicy("oracle", "reacher-easy")


@dataclass(frozen=True)
class Slow:
    """A policy with a setting."""

    gain: float = 0.5

    def __call__(self, spec):
        return Wrong(spec, (self.gain, 0.0))


def untimed(rows):
    return [{k: v for k, v in row.items() if k not in ("decision_ms", "git")} for row in rows]


def test_rows_do_not_depend_on_workers_nor_on_what_was_run_before():
    seeds, seen = [3, 0, 7], []
    one = evaluate_policy(ROBOT, Moody, seeds, max_steps=20).rows
    two = evaluate_policy(ROBOT, Moody, seeds, max_steps=20, workers=2, on_row=seen.append).rows
    assert untimed(one) == untimed(two)
    assert [row["seed"] for row in two] == seeds and len({row["return"] for row in one}) == 3
    assert sorted(row["seed"] for row in seen) == [0, 3, 7]
    assert untimed(evaluate_policy(ROBOT, Moody, [7], max_steps=20).rows) == untimed(one[2:])
    assert one[0]["remembered"] == 20  # what the policy noted


def test_a_row_says_what_came_of_the_episode():
    rows = evaluate_policy(ROBOT, Driver, [4], method="driver").rows
    (episode,) = run_episodes(ROBOT, Driver, [4])
    expected = {
        "task": "fake_robot:FakeRobot",
        "condition": "driver",
        "seed": 4,
        "return": float(episode.info["return"]),
        "success": True,
        "length": len(episode),
    }
    assert expected.items() <= rows[0].items()
    assert rows[0]["simulator"].startswith("gymnasium")
    assert rows[0]["decision_ms"] > 0
    assert evaluate_policy(ROBOT, NamedPolicy("zero"), [4]).rows[0]["success"] is False


def test_success_is_the_protocols_threshold_where_the_environment_does_not_say():
    make = NamedPolicy("expert", "reacher-easy")
    (row,) = evaluate_policy(REACHER, make, [4]).rows
    assert row["return"] > 150 and row["success"] is True and row["length"] == 200
    assert row["behaviour"] == "expert" and row["task"] == "reacher-easy"
    (cut,) = evaluate_policy(REACHER, make, [4], max_steps=100).rows
    assert cut["success"] is False
    assert success_threshold("seed200") == SUCCESS_RETURN["seed200"] == 150
    assert success_threshold("dmc1000") == 750


def test_where_nobody_can_tell_a_row_has_no_success():
    pendulum = EnvConfig("gym/Pendulum-v1", cameras=(), time_limit=3)
    (row,) = evaluate_policy(pendulum, NamedPolicy("zero"), [0]).rows
    assert "success" not in row and row["task"] == "gym:Pendulum-v1" and row["length"] == 3
    assert protocol_name(pendulum) == "own"


def test_names_of_tasks_are_those_of_results():
    assert task_name(EnvConfig("dmc/ball_in_cup-catch")) == "cup-catch"
    assert protocol_name(EnvConfig("cup-catch")) == "seed200"
    assert protocol_name(EnvConfig("cup-catch", protocol="dmc1000")) == "dmc1000"


def test_the_hash_names_what_decides_the_result():
    base = policy_hash(ROBOT, Slow())
    assert base == policy_hash(ROBOT, Slow(0.5))
    assert policy_hash(REACHER, CAREFUL) == policy_hash(
        replace(REACHER, id="dmc/reacher-easy"), CAREFUL
    )
    changed = [
        policy_hash(ROBOT, Slow(0.4)),
        policy_hash(replace(ROBOT, action_delay=1), Slow()),
        policy_hash(ROBOT, Slow(), 5),
        policy_hash(ROBOT, Slow(), data="abc"),
        policy_hash(ROBOT, Slow(), start=Slow()),
    ]
    assert len({base, *changed}) == 6
    (row,) = evaluate_policy(ROBOT, Slow(), [0], max_steps=5).rows
    assert row["config_hash"] == policy_hash(ROBOT, Slow(), 5)


def test_a_differently_tuned_oracle_is_another_configuration(monkeypatch):
    before = policy_hash(REACHER, CAREFUL)
    tuned = oracle_settings.oracle_settings("reacher-easy")
    monkeypatch.setattr(oracle_settings, "oracle_settings", lambda task: replace(tuned, horizon=3))
    assert policy_hash(REACHER, CAREFUL) != before


def test_films_come_along(tmp_path):
    config = EvalConfig(EnvConfig.of(ROBOT.id, render_mode="rgb_array"), (0, 1), max_steps=3)
    cache = EpisodeCache(tmp_path / "rows.jsonl")
    found = assess_policy(config, "slow", Slow(), cache, film=[1])
    assert list(found.films) == [1] and found.films[1].shape[0] == 3
    again = assess_policy(config, "slow", Slow(), cache, film=[1])
    assert untimed(again.rows) == untimed(found.rows)
    assert len((tmp_path / "rows.jsonl").read_text().splitlines()) == 2
    np.testing.assert_array_equal(found.films[1], again.films[1])
    assert not evaluate_policy(config.env, Slow(), [0], max_steps=2, film=Film(())).films


def test_mistakes_are_named():
    for seeds in ([1, 1], [], [-1]):
        with pytest.raises(ForesightError, match="each once"):
            evaluate_policy(ROBOT, Driver, seeds)
    with pytest.raises(ForesightError, match="workers"):
        evaluate_policy(ROBOT, Driver, [1], workers=0)
    with pytest.raises(ForesightError, match="Unknown policy 'brilliant'"):
        evaluate_policy(ROBOT, NamedPolicy("brilliant"), [1])
    with pytest.raises(ForesightError, match="nowhere"):
        evaluate_policy(EnvConfig("nowhere-run"), NamedPolicy("zero"), [1])
    with pytest.raises(ForesightError, match="lambda"):
        evaluate_policy(ROBOT, lambda spec: Driver(spec), [0, 1], workers=2)  # noqa: PLW0108

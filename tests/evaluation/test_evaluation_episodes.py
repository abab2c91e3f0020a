"""Rows of episodes: the same whatever the number of workers, and the same as when collecting."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))  # spawned workers inherit the path

from evaluation_agents import Broken, Dying, NoisyNetwork, OwnGenerator, Zero, make_failing

from foresight.core.errors import ForesightError
from foresight.envs.render import RenderSettings
from foresight.evaluation import episodes
from foresight.evaluation.episodes import (
    SUCCESS_RETURN,
    evaluate_agent,
    evaluate_behaviour,
    film_behaviour,
    success_threshold,
)
from foresight.rollout.episode import EpisodeSpec, run_episode

TASK = "reacher-easy"
SMALL = RenderSettings(size=32)


def untimed(rows: list[dict]) -> list[dict]:
    return [{k: v for k, v in row.items() if k not in ("decision_ms", "git")} for row in rows]


def test_rows_do_not_depend_on_the_workers() -> None:
    seeds = [3, 0, 7]
    seen: list[dict] = []
    one = evaluate_agent(NoisyNetwork, "cartpole-swingup", seeds, render=None, film=[0], steps=40)
    two = evaluate_agent(
        NoisyNetwork,
        "cartpole-swingup",
        seeds,
        render=None,
        film=[0],
        steps=40,
        workers=2,
        on_row=seen.append,
    )
    assert untimed(one.rows) == untimed(two.rows)
    assert [row["seed"] for row in two.rows] == seeds
    assert len({row["return"] for row in one.rows}) == 3  # the comparison is not of zeros
    np.testing.assert_array_equal(one.films[0], two.films[0])
    assert sorted(row["seed"] for row in seen) == [0, 3, 7]
    alone = evaluate_agent(NoisyNetwork, "cartpole-swingup", [7], render=None, steps=40)
    assert untimed(alone.rows) == untimed(one.rows[2:])  # nor on the episodes before


def test_an_agents_own_generator_is_seeded() -> None:
    twice = [evaluate_agent(OwnGenerator, TASK, s, render=None, steps=60) for s in ([1, 2], [2])]
    assert untimed(twice[0].rows[1:]) == untimed(twice[1].rows)


@pytest.mark.parametrize("spec", ["random", "expert", "constant:0.5"])
def test_behaviours_run_as_in_collecting(spec: str) -> None:
    (row,) = evaluate_behaviour(TASK, spec, [4])
    episode = run_episode(EpisodeSpec(TASK, 4, spec, render=None))
    assert row["return"] == pytest.approx(episode.return_, abs=1e-4)
    assert row["length"] == episode.length == 200
    assert row["condition"] == spec.partition(":")[0]
    assert row["behaviour"] == spec
    assert row["success"] == (row["return"] > 150)
    assert row["decision_ms"] > 0


def test_films_are_the_episode_and_apart_from_what_the_agent_sees() -> None:
    wide = RenderSettings(size=48, quality="full")
    found = evaluate_agent(
        Zero, "reacher-easy", [0, 1], render=SMALL, film=[1], film_settings=wide, steps=5
    )
    assert set(found.films) == {1}
    film = found.films[1]
    assert film.shape == (5, 48, 48, 3) and film.dtype == np.uint8
    episode = run_episode(EpisodeSpec(TASK, 1, "zero", render=wide, steps=5))
    assert np.abs(film.astype(int) - episode.frames.astype(int)).mean() < 0.5
    assert film_behaviour(TASK, "random", 1, settings=SMALL, steps=3).shape == (3, 32, 32, 3)


def test_config_hash_names_what_decides_the_result() -> None:
    def digest(**more: object) -> str:
        options = {"render": None, "steps": 2, **more}
        return evaluate_agent(OwnGenerator, TASK, [0], **options).rows[0]["config_hash"]

    base = digest()
    assert base == digest(workers=1, film=[0]) == digest(condition="other name")
    changed = [digest(config={"samples": 3}), digest(render=SMALL), digest(protocol="dmc1000")]
    assert len({base, *changed}) == 4


def test_a_differently_tuned_oracle_is_another_configuration(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tuned = episodes.oracle_settings(TASK)
    before = [episodes.behaviour_hash(TASK, s, "seed200") for s in ("oracle", "zero", "oracle")]
    assert before[0] == before[2]
    monkeypatch.setattr(episodes, "oracle_settings", lambda task: replace(tuned, horizon=3))
    after = [episodes.behaviour_hash(TASK, s, "seed200") for s in ("oracle", "zero")]
    assert after[0] != before[0] and after[1] == before[1]
    (row,) = evaluate_behaviour(TASK, "zero", [0], steps=1)
    assert row["config_hash"] == episodes.behaviour_hash(TASK, "zero", "seed200", steps=1)


def test_alias_and_success_thresholds() -> None:
    (row,) = evaluate_behaviour("ball_in_cup-catch", "zero", [0], steps=2)
    assert row["task"] == "cup-catch"
    assert success_threshold("seed200") == SUCCESS_RETURN["seed200"] == 150
    assert success_threshold("dmc1000") == 750


def test_mistakes_are_named() -> None:
    with pytest.raises(ForesightError, match="each once"):
        evaluate_behaviour(TASK, "zero", [1, 1])
    with pytest.raises(ForesightError, match="each once"):
        evaluate_behaviour(TASK, "zero", [])
    with pytest.raises(ForesightError, match="workers"):
        evaluate_behaviour(TASK, "zero", [1], workers=0)
    with pytest.raises(ForesightError, match="behaviour"):
        evaluate_behaviour(TASK, "brilliant", [1])
    with pytest.raises(ForesightError, match="nowhere"):
        evaluate_behaviour("nowhere-run", "zero", [1])
    with pytest.raises(ForesightError, match="decisions"):
        evaluate_behaviour(TASK, "zero", [1], steps=201)
    with pytest.raises(ForesightError, match="lambda"):
        evaluate_agent(lambda: Zero(), TASK, [0, 1], render=None, workers=2)  # noqa: PLW0108
    with pytest.raises(ForesightError, match=r"(?i)finite|nan"):
        evaluate_agent(Broken, TASK, [0], render=SMALL)


def test_failing_and_dying_workers() -> None:
    with pytest.raises(ForesightError, match="train first"):
        evaluate_agent(make_failing, TASK, [0, 1], render=None, workers=2)
    with pytest.raises(ForesightError, match="died"):
        evaluate_agent(Dying, TASK, [0, 1], render=SMALL, workers=2)

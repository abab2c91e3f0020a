from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from foresight.core.errors import ForesightError
from foresight.data.check import check, repair
from foresight.data.dataset import Dataset
from foresight.envs.render import RenderSettings
from foresight.rollout.collect import collect
from foresight.rollout.episode import EpisodeSpec, run_episode
from made_up import tree


def plan(count: int, **kwargs) -> list[EpisodeSpec]:
    settings = {"render": RenderSettings(size=24), "steps": 15, **kwargs}
    return [EpisodeSpec("reacher-easy", seed, "random", **settings) for seed in range(count)]


@pytest.fixture(scope="module")
def four(tmp_path_factory):
    root = tmp_path_factory.mktemp("collect") / "d"
    collect(root, plan(4), 1)
    return root


def test_collected_is_what_was_run(four):
    store = Dataset.open(four)
    assert store.folded
    assert check(four, decode=True) == []
    assert store.spec.fps == 50
    for i, spec in enumerate(plan(4)):
        expected = run_episode(spec)
        found = store.episode(i)
        assert (found.info["seed"], found.info["policy"]) == (spec.seed, spec.behaviour)
        assert np.array_equal(found.images["camera"], expected.frames)
        assert np.array_equal(found.columns["sim.state"], expected.states)
        for name, other in [("state", "proprio"), ("action", "actions"), ("reward", "rewards")]:
            assert np.array_equal(getattr(found, name), getattr(expected, other))


def test_workers_and_sessions_do_not_show(four, tmp_path):
    collect(tmp_path / "d", plan(2), 1)
    store = collect(tmp_path / "d", plan(4), 2)
    assert tree(tmp_path / "d") == tree(four)
    before = {path: path.stat().st_mtime_ns for path in four.rglob("*")}
    assert collect(four, plan(4), 2).fingerprint == store.fingerprint
    assert {path: path.stat().st_mtime_ns for path in four.rglob("*")} == before


def test_other_plans_are_refused(four):
    before = tree(four)
    others = [
        plan(3),
        [replace(spec, behaviour="zero") for spec in plan(4)],
        plan(4, steps=14),
        plan(4, render=RenderSettings(size=24, quality="full")),
    ]
    for specs in others:
        with pytest.raises(ForesightError, match="not in the plan"):
            collect(four, specs, 1)
    assert tree(four) == before


def test_impossible_plans_are_refused(tmp_path):
    with pytest.raises(ForesightError, match="no episode"):
        collect(tmp_path / "d", [], 1)
    with pytest.raises(ForesightError, match="render settings"):
        collect(tmp_path / "d", [*plan(1), *plan(1, render=None)], 1)
    cheetah = EpisodeSpec("cheetah-run", 0, "random", render=None)
    with pytest.raises(ForesightError, match="time steps"):
        collect(tmp_path / "d", [*plan(1, render=None), cheetah], 1)
    assert not (tmp_path / "d").exists()


def test_action_repeat_halves_the_frame_rate(tmp_path):
    store = collect(tmp_path / "d", plan(1, protocol="dmc1000", render=None), 1)
    assert store.spec.fps == pytest.approx(25)
    assert store.episode(0).images == {}
    assert check(tmp_path / "d") == []


def test_what_a_repair_dropped_is_collected_again(tmp_path):
    collect(tmp_path / "d", plan(3), 1)
    (tmp_path / "d/data/chunk-000/file-001.parquet").unlink()
    repair(tmp_path / "d")
    store = collect(tmp_path / "d", plan(3), 1)
    assert [meta.info["seed"] for meta in store.metas] == [0, 2, 1]
    assert check(tmp_path / "d") == []
    assert len(collect(tmp_path / "d", plan(3), 1)) == 3

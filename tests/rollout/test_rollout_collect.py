from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from foresight import cli
from foresight.core.errors import ForesightError
from foresight.data.check import check, repair
from foresight.data.dataset import Dataset
from foresight.envs.registry import EnvConfig
from foresight.rollout.collect import collect, default_policies, plan_episodes
from foresight.rollout.episode import EpisodeSpec, run_episode
from made_up import tree
from robots import ROBOT

REACHER = EnvConfig("reacher-easy", size=24)
BLIND = EnvConfig("reacher-easy", cameras=())


def plan(count: int, env: EnvConfig = REACHER, steps: int = 15) -> list[EpisodeSpec]:
    return plan_episodes(env, count, ("random",), 0, steps)


@pytest.fixture(scope="module")
def four(tmp_path_factory):
    root = tmp_path_factory.mktemp("collect") / "d"
    collect(root, plan(4))
    return root


def test_collected_is_what_was_run(four):
    store = Dataset.open(four)
    assert store.folded
    assert check(four, decode=True) == []
    assert store.spec.fps == 50
    for i, spec in enumerate(plan(4)):
        expected, found = run_episode(spec), store.episode(i)
        told = {"environment": "dmc/reacher-easy", "seed": i, "policy": "random"}
        assert told.items() <= dict(found.info).items()
        assert found.info["protocol"] == "seed200" and found.info["options"] == {"size": 24}
        assert np.array_equal(found.images["camera"], expected.images["camera"])
        assert np.array_equal(found.columns["sim.state"], expected.columns["sim.state"])
        for name in ("state", "action", "reward"):
            assert np.array_equal(getattr(found, name), getattr(expected, name))


def test_workers_and_sessions_do_not_show(four, tmp_path):
    collect(tmp_path / "d", plan(2))
    store = collect(tmp_path / "d", plan(4), 2)
    assert tree(tmp_path / "d") == tree(four)
    before = {path: path.stat().st_mtime_ns for path in four.rglob("*")}
    assert collect(four, plan(4), 2).fingerprint == store.fingerprint
    assert {path: path.stat().st_mtime_ns for path in four.rglob("*")} == before


def test_several_side_by_side_do_not_show(four, tmp_path):
    collect(tmp_path / "d", plan(4), parallel=3)
    assert tree(tmp_path / "d") == tree(four)


def test_any_robot_is_collected_with_all_its_cameras(tmp_path):
    specs = plan_episodes(replace(ROBOT, action_delay=1), 3, ("random", "zero"), 5)
    dataset = collect(tmp_path / "d", specs)
    assert check(tmp_path / "d", decode=True) == []
    assert {name: size for name, size in dataset.spec.cameras.items()} == {
        "front": (32, 48),
        "wrist": (24, 40),
    }
    for i, spec in enumerate(specs):
        expected, found = run_episode(spec), dataset.episode(i)
        assert (found.task, found.terminated) == (expected.task, expected.terminated)
        for name in ("front", "wrist"):
            assert np.array_equal(found.images[name], expected.images[name])
        issued = found.columns["action.issued"]  # also of the policy that does nothing
        assert np.array_equal(found.action[1:], issued[:-1])
    assert [meta.info["policy"] for meta in dataset.metas] == ["random", "zero", "random"]


def test_one_seed_may_be_played_by_several_policies(tmp_path):
    specs = [EpisodeSpec(BLIND, 3, name, 5) for name in ("zero", "random", "ar1:0.5")]
    dataset = collect(tmp_path / "d", specs)
    assert [meta.info["policy"] for meta in dataset.metas] == ["zero", "random", "ar1:0.5"]
    assert not np.array_equal(dataset.episode(1).action, dataset.episode(2).action)


def test_policies_where_nobody_names_some():
    assert default_policies("dmc/reacher-easy")[1] == "eps:0.3:expert"
    assert default_policies("reacher-easy") == default_policies("dmc/reacher-easy")
    assert default_policies(ROBOT.id) == ("random", "ar1:0.9", "ar1:0.9")


def test_the_verb_collects_any_environment(tmp_path, capsys):
    out = str(tmp_path / "d")
    words = ["collect", ROBOT.id, "--out", out, "--episodes", "2", "--workers", "1"]
    words += ["--policies", "ar1:0.5", "--cameras", "wrist", "--observation-lag", "1"]
    assert cli.main(words) == 0
    assert "2 episodes" in capsys.readouterr().out
    dataset = Dataset.open(out)
    assert list(dataset.spec.cameras) == ["wrist"]
    assert dataset.metas[0].info["options"] == {"cameras": ["wrist"], "observation_lag": 1}
    assert cli.main(["collect", "nowhere-run", "--out", out]) == 2
    assert "nowhere-run" in capsys.readouterr().err


def test_other_plans_are_refused(four):
    before = tree(four)
    others = [
        plan(3),
        [replace(spec, policy="zero") for spec in plan(4)],
        plan(4, steps=14),
        plan(4, replace(REACHER, quality="full")),
    ]
    for specs in others:
        with pytest.raises(ForesightError, match="not in the plan"):
            collect(four, specs)
    assert tree(four) == before


def test_impossible_plans_are_refused(tmp_path):
    with pytest.raises(ForesightError, match="no episode"):
        collect(tmp_path / "d", [])
    with pytest.raises(ForesightError, match="collect at least 1"):
        plan(0)
    with pytest.raises(ForesightError, match="1 or more"):
        plan(1, steps=0)
    with pytest.raises(ForesightError, match=r"do not fit into one dataset.*cameras"):
        collect(tmp_path / "d", [*plan(1), *plan(1, BLIND)])
    assert not (tmp_path / "d").exists()


def test_two_spellings_of_a_task_are_one_spec():
    one, other = (EnvConfig(name) for name in ("ball_in_cup-catch", "dmc/cup-catch"))
    assert EpisodeSpec(one, 0, "zero") == EpisodeSpec(other, 0, "zero")


def test_action_repeat_halves_the_frame_rate(tmp_path):
    store = collect(tmp_path / "d", plan(1, replace(BLIND, protocol="dmc1000")))
    assert store.spec.fps == 25
    assert not store.episode(0).images
    assert check(tmp_path / "d") == []


def test_what_a_repair_dropped_is_collected_again(tmp_path):
    collect(tmp_path / "d", plan(3))
    (tmp_path / "d/data/chunk-000/file-001.parquet").unlink()
    repair(tmp_path / "d")
    store = collect(tmp_path / "d", plan(3))
    assert [meta.info["seed"] for meta in store.metas] == [0, 2, 1]
    assert check(tmp_path / "d") == []
    assert len(collect(tmp_path / "d", plan(3))) == 3

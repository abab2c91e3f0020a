"""``foresight evaluate``: names and checkpoints, on any environment."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bodies import spec_of_task
from foresight import cli
from foresight.core.errors import ForesightError
from foresight.envs.registry import EnvConfig
from foresight.evaluation.results import load
from foresight.pipelines.acting import policy_of
from foresight.policies.latent import ClonedFactory
from foresight.policies.mpc import expect_robot, hold_of
from joint_worlds import tiny
from robots import ROBOT

FEW = ["--seeds", "2", "--steps", "4", "--workers", "1"]


def test_a_policys_name_on_a_strangers_robot(tmp_path, capsys):
    out = tmp_path / "result.json"
    words = ["evaluate", "ar1:0.9", "--env", ROBOT.id, "--out", str(out), *FEW]
    assert cli.main([*words, "--baselines", "zero", "expert", "--action-delay", "1"]) == 0
    result = load(out)
    assert result.conditions == ["ar1", "zero"] and result.protocol == "own"
    assert {row["task"] for row in result.rows} == {"fake_robot:FakeRobot"}
    assert all(row["success"] is False for row in result.rows)
    told = capsys.readouterr()
    assert "has no expert" in told.err and "result:" in told.out


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["nobody", "--env", "reacher-easy"], "Unknown policy 'nobody'"),
        (["random"], "where it acts"),
        (["random", "--env", "reacher-esay"], "reacher-easy"),
        (["random", "--env", "reacher-easy", "--seeds", "0"], "at least 1"),
        (["expert", "--env", "gym/Pendulum-v1"], "tasks of dm_control"),
    ],
)
def test_a_users_mistake_is_one_sentence(words, sentence, capsys):
    assert cli.main(["evaluate", *words]) == 2
    error = capsys.readouterr().err.strip().splitlines()
    assert len(error) == 1 and sentence in error[0]


def test_a_checkpoint_knows_how_it_sees_and_where_it_acts(tmp_path):
    model = tiny(task="reacher-easy", encoder="foresight-small")
    model.save(tmp_path)
    found = policy_of(str(tmp_path), EnvConfig(""), device="cpu")
    assert (found.env.id, found.env.size, found.method) == ("reacher-easy", 64, "mpc")
    assert found.maker.checkpoint == str(tmp_path) and found.folder == tmp_path
    other = policy_of(str(tmp_path), EnvConfig("walker-walk", "dmc1000"))
    assert other.env.id == "walker-walk" and other.env.protocol == "dmc1000"
    assert not isinstance(other.maker, ClonedFactory)


def test_robots_that_differ_are_told_so_in_one_sentence():
    reacher = spec_of_task("reacher-easy")
    model = tiny(spec=replace(reacher, fps=25.0))
    expect_robot(model.config, reacher, "The model m")
    with pytest.raises(ForesightError, match=r"The model m and the environment do not fit: .*"):
        expect_robot(model.config, spec_of_task("walker-walk"), "The model m")
    with pytest.raises(ForesightError, match="2 numbers of action, the other 1"):
        expect_robot(tiny().config, spec_of_task("cartpole-swingup"), "The model m")
    assert hold_of(model, reacher) == 2
    with pytest.raises(ForesightError, match="whole multiple"):
        hold_of(model, replace(reacher, fps=40.0))

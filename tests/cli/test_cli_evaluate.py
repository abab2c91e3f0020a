"""``foresight evaluate``: names and checkpoints, on any environment."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bodies import spec_of_task
from foresight import cli
from foresight.core.errors import ForesightError
from foresight.envs.registry import EnvConfig
from foresight.evaluation.results import load
from foresight.pipelines.acting import lateness_of, policy_of
from foresight.policies.actor import Actor
from foresight.policies.adaptive.config import GainConfig, RLSConfig
from foresight.policies.adaptive.policy import AdaptiveFactory
from foresight.policies.delayed.compensator import EstimatedDelay
from foresight.policies.delayed.policy import DelayedFactory
from foresight.policies.delayed.queue import Delays
from foresight.policies.latent import ClonedFactory
from foresight.policies.mpc import expect_robot, hold_of
from foresight.training.imagination import first_actor
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
        (["random", "--env", "reacher-easy", "--compensate", "2"], "random has no world model"),
        (["random", "--env", "reacher-easy", "--compensate=-1"], "-1 is no action delay"),
        (["random", "--env", "reacher-easy", "--adapt", "rls"], "random has no world model of"),
        (["random", "--env", "reacher-easy", "--gear", "0"], "0.0 on the gear is refused"),
        (["random", "--env", ROBOT.id, "--mass", "2"], "has no option 'mass'"),
        (["random", "--env", "reacher-easy", "--action-delay=-1"], "-1 is no action delay"),
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


def test_a_learned_agent_makes_good_for_a_delay(tiny_learned, tmp_path):
    words = ["evaluate", str(tiny_learned / "model"), "--action-delay", "2", "--baselines", *FEW]
    for compensate in ("known", "auto", "2"):
        out = tmp_path / f"{compensate}.json"
        assert cli.main([*words, "--compensate", compensate, "--out", str(out)]) == 0
    known, told = load(tmp_path / "known.json"), load(tmp_path / "2.json")
    assert known.conditions == ["mpc-compensated"]
    assert [row["return"] for row in known.rows] == [row["return"] for row in told.rows]


def test_what_a_planning_agent_is_told_of_delays():
    env = EnvConfig("reacher-easy", action_delay=2, observation_lag=1, jitter=3)
    assert lateness_of("none", env) is None
    assert lateness_of("known", env) == Delays(2, 1, 3)
    assert lateness_of("auto", env) == EstimatedDelay()
    assert lateness_of(4, env) == Delays(4)


def test_who_has_no_world_model_cannot_make_good_for_a_delay(tmp_path):
    model = tiny(task="reacher-easy", encoder="foresight-small")
    model.save(tmp_path / "model")
    Actor.of(model, first_actor(model, "prior")).save(tmp_path / "actor")
    found = policy_of(str(tmp_path / "model"), EnvConfig(""), lateness=Delays(1))
    assert found.maker == DelayedFactory(str(tmp_path / "model"), lateness=Delays(1))
    assert found.method == "mpc-compensated"
    with pytest.raises(ForesightError, match="actor has no world model to roll"):
        policy_of(str(tmp_path / "actor"), EnvConfig(""), lateness=Delays(1))


def test_a_learned_agent_learns_on_in_a_body_that_changed(tiny_learned, tmp_path):
    words = ["evaluate", str(tiny_learned / "model"), "--gear", "0.5", "--baselines", *FEW]
    for adapt in ("none", "rls"):
        out = tmp_path / f"{adapt}.json"
        assert cli.main([*words, "--adapt", adapt, "--out", str(out)]) == 0
    usual, adapted = load(tmp_path / "none.json"), load(tmp_path / "rls.json")
    assert (usual.conditions, adapted.conditions) == (["mpc"], ["mpc-adapted"])
    assert all(row["adapt_ms"] > 0 for row in adapted.rows)


def test_who_can_be_adapted_and_what_goes_not_together(tmp_path):
    model = tiny(task="reacher-easy", encoder="foresight-small")
    model.save(tmp_path / "model")
    Actor.of(model, first_actor(model, "prior")).save(tmp_path / "actor")
    found = policy_of(str(tmp_path / "model"), EnvConfig(""), adaptation=GainConfig())
    assert found.maker == AdaptiveFactory(str(tmp_path / "model"), adaptation=GainConfig())
    with pytest.raises(ForesightError, match="actor has no world model of `foresight learn`"):
        policy_of(str(tmp_path / "actor"), EnvConfig(""), adaptation=RLSConfig())
    with pytest.raises(ForesightError, match="leave --compensate or --adapt out"):
        policy_of(
            str(tmp_path / "model"), EnvConfig(""), lateness=Delays(1), adaptation=RLSConfig()
        )


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

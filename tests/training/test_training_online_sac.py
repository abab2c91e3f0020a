"""Soft actor-critic on the real simulator, with small networks."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace

import numpy as np
import pytest
import torch

from foresight.core.errors import ForesightError
from foresight.core.metrics import read_metrics
from foresight.core.observation import Observation
from foresight.data.dataset import Dataset
from foresight.envs.registry import EnvConfig, spec_of
from foresight.perception.encoder import load_encoder
from foresight.planning.config import MPCConfig
from foresight.policies.mpc import MPCFactory
from foresight.training.learner_config import LearnerConfig, SACConfig
from foresight.training.online_config import OnlineConfig
from foresight.training.online_sac import SACTrainer, trainer_of
from foresight.training.task_settings import JOINTS, own_joints
from foresight.worldmodel.model import WorldModel
from online_runs import content, interrupted

ROUND = 2 * 16
CONFIG = OnlineConfig(
    task="point_mass-easy",
    steps=10 * ROUND,
    random_episodes=4,
    expert=None,
    demonstrations=0,
    proprio=False,
    length=16,
    parallel=2,
    updates=0.5,
    finetune_updates=3,
    latent=32,
    hidden=32,
    members=2,
    n_components=4,
    learner=LearnerConfig(batch=4, pictures=1.0, ahead=2, far=3),
    planner=MPCConfig(samples=12, elites=4, iterations=2, prior_samples=4),
    algorithm="sac",
    sac=SACConfig(batch=8),
    shifts=1,
    final_trials=1,
    keep=(4 * ROUND, 5 * ROUND),
    save_every=2,
)


@pytest.fixture(scope="module")
def config(tiny_eyes):
    return replace(CONFIG, encoder=tiny_eyes)


@pytest.fixture(scope="module")
def learned(config, tmp_path_factory):
    folder = tmp_path_factory.mktemp("learned")
    return trainer_of(config, folder).run(), folder


def test_the_actor_acts_and_the_model_comes_last(learned):
    model, folder = learned
    names = [meta.info["policy"] for meta in Dataset.open(folder / "data").metas]
    assert names[:4] == ["ar1:0.8:clip"] * 4 and set(names[4:14]) == {"planner"}
    assert all(name.startswith("trial:") for name in names[14:])
    log = read_metrics(folder / "model" / "metrics.jsonl")
    assert all(np.isfinite(line["critic"]) for line in log[1:7])
    assert ["model/prediction" in line for line in log[:7]] == [False] * 6 + [True]
    assert model.config.trust is not None
    torch.testing.assert_close(
        WorldModel.load(folder / "model").state_dict(), model.state_dict(), rtol=0, atol=0
    )


def test_models_that_were_kept_know_no_more_than_they_had_seen(learned):
    model, folder = learned
    kept = [WorldModel.load(folder / "kept" / str(n * ROUND)) for n in (4, 5)]
    assert [each.config.steps for each in kept] == [4 * ROUND, 5 * ROUND]
    weights = [each.state.adapter.shared.weight for each in [*kept, model]]
    assert not torch.equal(weights[0], weights[1]) and not torch.equal(weights[1], weights[2])


@pytest.mark.parametrize(("name", "at"), [("_save", 2), ("_keep", 2), ("_try_trusts", 1)])
def test_an_interrupted_run_ends_like_a_whole_one(config, learned, tmp_path, monkeypatch, name, at):
    _, whole = learned
    interrupted(monkeypatch, trainer_of(config, tmp_path).run, SACTrainer, name, at)
    trainer_of(config, tmp_path).run()
    assert content(tmp_path) == content(whole)
    for folder in ("kept/128", "kept/160"):
        mine, theirs = (WorldModel.load(run / folder).state_dict() for run in (tmp_path, whole))
        torch.testing.assert_close(mine, theirs, rtol=0, atol=0)


def test_joints_are_felt_while_learning_and_acting_and_nothing_else_is(config, tmp_path):
    small = replace(config, task="cup-catch", joints=own_joints("cup-catch"), keep=())
    model = trainer_of(small, tmp_path).run()
    assert model.state.joined == (0, 1, 4, 5) and model.state.proprio == 4
    policy = MPCFactory(str(tmp_path / "model"), small.planner)
    env = EnvConfig("cup-catch", size=load_encoder(config.encoder).image_size)
    with closing(env.make()) as made:
        acting = policy(spec_of(made))
        observation = Observation.of(made.reset(seed=0)[0])
        wider = replace(observation, state=observation.state + np.float32([0, 0, 1, 1, 0, 0, 1, 1]))
        felt = replace(observation, state=observation.state + np.float32([1, 1, 0, 0, 1, 1, 0, 0]))
        actions = []
        for seen in (observation, wider, felt):
            acting.reset(seen, 0)
            actions.append(acting.act(seen))
    np.testing.assert_array_equal(actions[0], actions[1])
    assert not np.array_equal(actions[0], actions[2])


def test_joints_are_named_as_the_tasks_name_them():
    told = {}
    for task in JOINTS:
        with closing(EnvConfig(task, cameras=()).make()) as env:
            names = [axis.name for axis in spec_of(env).state]
        told[task] = {names[place] for place in own_joints(task)}
    assert not any(
        "target" in name or "height" in name for names in told.values() for name in names
    )
    assert told["cartpole-swingup"] == {"position_0", "velocity_0"}
    assert "velocity_2" not in told["finger-spin"] and "touch_1" in told["finger-spin"]
    with pytest.raises(
        ForesightError, match="which numbers of dog-run's state are the robot's own"
    ):
        own_joints("dog-run")

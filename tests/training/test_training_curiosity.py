"""Plans that seek what the members differ about, and runs that do so."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from foresight.core.errors import ForesightError
from foresight.data.dataset import Dataset
from foresight.planning.config import MPCConfig
from foresight.planning.mpc import MPCPlanner
from foresight.planning.objective import Effort
from foresight.training.curiosity import CURIOUS, curious_scenes, usual_disagreement, worth_of
from foresight.training.online import OnlineTrainer
from foresight.training.run_data import RunData, load_replay
from foresight.worldmodel.model import WorldModel
from online_runs import content, interrupted, momentary


class Torn:
    """Two members that differ as far as the action is large."""

    members = 2

    def step(self, z, action):
        return z + torch.tensor([1.0, -1.0]).view(2, *[1] * (z.ndim - 1)) * action


def test_a_plan_seeks_what_the_members_differ_about_in_curious_scenes_alone():
    config = MPCConfig(horizon=2, samples=256, elites=16, iterations=5, prior_samples=0)
    planner = MPCPlanner(Torn(), 1, config, [Effort(1.0)], seed=0)
    planner.curiosity = worth_of([False, True], 50.0, torch.device("cpu"))
    still, bold = planner.plan(torch.zeros(2, 1)).abs().flatten().tolist()
    assert still < 0.2 and bold > 0.9


def test_every_other_scene_that_explores_is_curious():
    assert curious_scenes([None] * 5) == [True, False, True, False, True]
    assert curious_scenes([0, None, 3, None, None]) == [False, True, False, False, True]


@pytest.fixture(scope="module")
def config(tiny_eyes):
    return momentary(
        tiny_eyes,
        "point_mass-easy",
        steps=5 * 4 * 16,
        random_episodes=4,
        parallel=4,
        proprio=False,
        save_every=1,
        trials_every=2,
        curiosity=2.0,
    )


@pytest.fixture(scope="module")
def learned(config, tmp_path_factory):
    folder = tmp_path_factory.mktemp("curious")
    return OnlineTrainer(config, folder).run(), folder


def test_a_run_says_which_episodes_were_curious(learned):
    _, folder = learned
    names = [meta.info["policy"] for meta in Dataset.open(folder / "data").metas]
    assert names[:4] == ["ar1:0.8:clip"] * 4
    assert names[4:8] == [CURIOUS, "planner"] * 2
    assert [name.split(":")[0] for name in names[8:12]] == ["trial", "trial", CURIOUS, "planner"]


def test_the_unit_is_positive_and_the_same_for_the_same_data(config, learned):
    model, folder = learned
    found = []
    for _ in range(2):
        replay = load_replay(WorldModel.load(folder / "model"), folder)
        found.append(usual_disagreement(model, replay, config.planner))
    assert found[0] == found[1] > 0


def test_a_killed_run_ends_like_a_whole_one(config, learned, tmp_path, monkeypatch):
    interrupted(monkeypatch, OnlineTrainer(config, tmp_path).run, RunData, "add", 3)
    OnlineTrainer(config, tmp_path).run()
    assert content(tmp_path) == content(learned[1])


def test_a_curiosity_that_cannot_be_is_a_sentence(config):
    alone = replace(config, members=1, planner=replace(config.planner, members=None))
    for wrong in (replace(config, curiosity=-1.0), alone):
        with pytest.raises(ForesightError, match="curiosity"):
            wrong.check()

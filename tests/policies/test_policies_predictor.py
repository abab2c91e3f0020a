"""From recorded rooms to a predictor that plans towards a picture, by public commands."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from foresight import cli
from foresight.core.errors import ForesightError
from foresight.core.observation import Observation
from foresight.data.dataset import Dataset
from foresight.envs import make, spec_of
from foresight.evaluation.results import load
from foresight.perception.ac_data import read_ac_episodes
from foresight.perception.encoder import load_encoder
from foresight.planning.lewm import LeWMPlan
from foresight.policies.predictor import PredictorFactory
from foresight.worldmodel.predictor.checkpoint import TrainedPredictor

SMALL = LeWMPlan(blocks=2, samples=8, elites=2, iterations=2, held=True, execute=1, judge="nearest")


@pytest.fixture(scope="module")
def learned(tmp_path_factory, tiny_eyes):
    """A dataset of the two rooms, and a predictor that saw it for a moment."""
    place = tmp_path_factory.mktemp("rooms")
    data, out = str(place / "data"), str(place / "predictor")
    line = ["collect", "tworoom/point", "--out", data, "--episodes", "4", "--steps", "16"]
    assert cli.main([*line, "--size", "64", "--workers", "1"]) == 0
    line = ["train", data, "--policy", "predictor", "--out", out, "--encoder", tiny_eyes]
    sizes = ["--predictor.size", "tiny", "--predictor.every", "2", "--predictor.frames", "4"]
    fit = {"updates": 2, "epochs": 1, "batch": 2}
    words = [f"--predictor.fit.{name}={value}" for name, value in fit.items()]
    assert cli.main([*line, *sizes, *words, "--predictor.validation", "0.25"]) == 0
    return place


def test_it_is_evaluated_like_any_agent(learned):
    line = ["evaluate", str(learned / "predictor"), "--env", "tworoom/point", "--seeds", "1"]
    plan = ["--lewm.samples", "8", "--lewm.elites", "2", "--lewm.iterations", "2"]
    assert cli.main([*line, *plan, "--steps", "4", "--baselines", "zero", "--workers", "1"]) == 0
    result = load(learned / "predictor" / "evaluation.json")
    assert "predictor" in result.conditions
    row = next(row for row in result.rows if row["condition"] == "predictor")
    assert row["ms_per_plan"] > 0 and row["encoded"] == 1 + 2  # the goal, and every second step


def test_what_it_sees_is_what_it_learned_from(learned, tiny_eyes):
    env = make("tworoom/point", size=64)
    policy = PredictorFactory(str(learned / "predictor"), SMALL)(spec_of(env))
    dataset = Dataset.open(learned / "data")
    trained = TrainedPredictor.load(learned / "predictor")
    camera = trained.config.robot.camera
    eyes = load_encoder(tiny_eyes, "cpu")
    kept = read_ac_episodes(dataset, eyes, trained.config.robot, learned / "cache")
    frames = dataset.frames(0, camera)
    shown = [Observation(images={camera: frames[step], "goal": frames[0]}) for step in range(6)]
    policy.reset(shown[0], 0)
    actions = np.stack([policy.act(each) for each in shown])
    tokens = torch.from_numpy(kept.cache.episode(0).astype(np.float32))
    torch.testing.assert_close(policy.seen, tokens[:3], atol=2e-3, rtol=0)
    torch.testing.assert_close(policy.goal, tokens[0], atol=2e-3, rtol=0)
    bounds = spec_of(env)
    assert (actions >= bounds.low).all() and (actions <= bounds.high).all()


def test_another_robot_and_no_goal_are_sentences(learned):
    factory = PredictorFactory(str(learned / "predictor"), SMALL)
    with pytest.raises(ForesightError, match=r"The predictor .* and the environment"):
        factory(spec_of(make("reacher-easy", cameras=[])))
    policy = factory(spec_of(make("tworoom/point", size=64)))
    with pytest.raises(ForesightError, match="'goal'"):
        policy.reset(Observation(images={"view": np.zeros((64, 64, 3), np.uint8)}), 0)

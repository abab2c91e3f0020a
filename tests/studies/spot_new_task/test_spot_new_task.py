"""A model of a moment in which Spot walked, put to other ends."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from foresight import cli
from foresight.core.errors import ForesightError
from foresight.data.dataset import Dataset
from foresight.evaluation.results import load
from foresight.evaluation.statistics import returns_by_seed
from foresight.training.run_data import load_replay
from foresight.worldmodel.model import WorldModel
from spot_files import needs_spot
from studies.new_reward.learning import relabelled
from studies.spot_new_task import study
from studies.spot_new_task.aims import NEW, Aim, AimConfig, aim

pytestmark = needs_spot
PLANS = ("planned", "actor", "old-policy", "oracle")


@pytest.fixture(scope="module")
def walked(tmp_path_factory, tiny_eyes):
    """The folder and the rows of a run in which nothing is learned from scratch."""
    smoke = study.presets()["smoke"]
    learn = {**smoke.learn, "encoder": tiny_eyes, "cameras": ("wide",)}
    config = replace(smoke, learn=learn, scratch=False, baselines=("zero",))
    folder = tmp_path_factory.mktemp("spot")
    return config, folder, study.run(config, folder)


def test_every_policy_is_measured_on_the_same_seeds_and_once(walked, monkeypatch):
    config, folder, result = walked
    assert result.tasks == ["turn"] and set(result.conditions) == {*PLANS, "zero"}
    ours, old = (returns_by_seed(result.rows, "turn", name) for name in ("planned", "old-policy"))
    gain = result.summary["planned-minus-old-policy/turn"]["mean"]
    assert gain == pytest.approx(np.mean([ours[seed] - old[seed] for seed in (0, 1)]))
    assert {"actor-minus-best-trivial/turn", "planned-minus-best-trivial/turn"} <= set(
        result.summary
    )
    assert [row["value"] for row in result.rows if row.get("measure") == "reward-r2"]
    monkeypatch.setattr("foresight.evaluation.assess.evaluate_policy", None)
    again = study.run(config, folder)
    assert again.summary == result.summary


def test_recorded_walks_are_paid_anew_and_switch_at_random_first(walked):
    _, folder, _ = walked
    place = folder / "walk"
    model = WorldModel.load(place / "model")
    replay = load_replay(model, place)
    earned = relabelled(Aim("sidestep"), model, place)
    assert len(earned) == replay.decisions and earned.min() > 0 and earned.max() <= 5
    dataset = Dataset.open(place / "data")
    assert dataset.metas[0].info["policy"] == "switch:0.1"
    episode = dataset.episode(1)
    env = Aim("sidestep").environment(()).make()
    env.reset(seed=int(episode.info["seed"]))
    paid = [env.step(action)[1] for action in episode.action]
    start = int(dataset.offsets[1])
    np.testing.assert_allclose(earned[start : start + len(paid)], paid, rtol=1e-6)


def test_the_aim_is_all_that_differs_from_walking():
    walk, turn = (AimConfig(**study.WALKING, aim=key).environment(64) for key in ("walk", "turn"))
    assert dict(walk.options) == {"aim": "walk"} and dict(turn.options) == {"aim": "turn"}
    assert replace(walk, options=()) == replace(turn, options=())
    assert walk.time_limit == 100 and walk.cameras == ("wide", "side")


@pytest.mark.slow
def test_the_whole_recipe_at_its_smallest(tmp_path):
    line = ["reproduce", "spot-new-task", "--preset", "smoke", "--workers", "1"]
    assert cli.main([*line, "--run", str(tmp_path)]) == 0
    result = load(tmp_path / "spot-new-task.json")
    assert set(result.conditions) == {*PLANS, "scratch", "zero", "random"}
    assert "planned-minus-scratch/turn" in result.summary
    seeds = {row["seed"] for row in result.rows if row.get("condition") == "scratch"}
    assert seeds == {0, 1}
    data = [tmp_path / place / "data" for place in ("walk", "turn/scratch")]
    walk, scratch = (int(Dataset.open(folder).offsets[-1]) for folder in data)
    assert walk == scratch


def test_what_does_not_exist_is_a_sentence():
    with pytest.raises(ForesightError, match="no new task 'walk' of Spot: choose from turn"):
        aim("walk")
    with pytest.raises(ForesightError, match="are longer than the 100 of walk10"):
        Aim(NEW[0]).again(101, 1)

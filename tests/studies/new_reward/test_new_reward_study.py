"""A model of a moment, put to another end."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from foresight import cli
from foresight.core.errors import ForesightError
from foresight.data.dataset import Dataset
from foresight.evaluation.results import load
from foresight.evaluation.statistics import returns_by_seed
from foresight.training.online import OnlineTrainer
from foresight.training.run_data import load_replay
from foresight.worldmodel.heads.training import HeadTraining
from foresight.worldmodel.model import WorldModel
from online_runs import momentary
from studies.new_reward import learning
from studies.new_reward.environments import paid_config
from studies.new_reward.learning import learn_reward, relabelled
from studies.new_reward.rewards import new_reward

KEY = "walker-walk-to-stand"


@pytest.fixture(scope="module")
def models(tmp_path_factory, tiny_eyes):
    """A folder with a walker that was learned for a moment."""
    config = momentary(tiny_eyes, "walker-walk", random_episodes=4)
    folder = tmp_path_factory.mktemp("models")
    OnlineTrainer(config, folder / "walker-walk").run()
    return folder


def test_relabelled_rewards_are_those_of_the_same_episodes_simulated_again(models):
    folder = models / "walker-walk"
    model = WorldModel.load(folder / "model")
    replay = load_replay(model, folder)
    earned = relabelled(new_reward(KEY), model, folder)
    assert len(earned) == replay.decisions == 64
    # Standing is at least what walking is paid for, and all of it where nobody moves.
    walked = torch.cat([replay.rewards[s : s + 8] for s in replay.offsets[:-1]])
    assert (earned >= walked - 1e-5).all() and (earned > walked + 0.1).any()


def test_episodes_that_come_out_otherwise_are_refused(models, monkeypatch):
    folder = models / "walker-walk"
    real = learning.without_pictures

    def changed(dataset):
        episodes = real(dataset)
        episodes[1].reward[3] += 0.5
        return episodes

    monkeypatch.setattr(learning, "without_pictures", changed)
    model = WorldModel.load(folder / "model")
    with pytest.raises(ForesightError, match="when it was simulated again: relabel with the"):
        relabelled(new_reward(KEY), model, folder)


def test_a_head_learns_what_states_and_actions_say(models):
    model = WorldModel.load(models / "walker-walk" / "model")
    replay = load_replay(model, models / "walker-walk")
    replay.rewards[:] = 1 + 0.8 * replay.actions[:, 0]
    head, told = learn_reward(model, replay, HeadTraining(updates=300, batch=64), 4)
    assert told["reward-r2"] > 0.4 and told["reward-mean"] == pytest.approx(1.0, abs=0.3)
    _, few = learn_reward(model, replay, HeadTraining(updates=2, batch=8), 4)
    assert few["reward-r2"] < told["reward-r2"]
    assert not any(weight.requires_grad for weight in head.parameters())


@pytest.mark.slow
def test_every_policy_is_measured_on_the_same_seeds_and_once(models, tmp_path, monkeypatch):
    line = ["reproduce", "new-reward", "--preset", "smoke", "--models", str(models)]
    line += ["--workers", "1", "--run", str(tmp_path)]
    assert cli.main(line) == 0
    result = load(tmp_path / "new-reward.json")
    assert result.tasks == [KEY]
    assert set(result.conditions) == {
        "planned", "actor", "old-policy", "scratch", "oracle", "zero", "random"
    }  # fmt: skip
    ours, old = (returns_by_seed(result.rows, KEY, name) for name in ("planned", "old-policy"))
    gain = result.summary[f"planned-minus-old-policy/{KEY}"]["mean"]
    assert gain == pytest.approx(np.mean([ours[seed] - old[seed] for seed in (0, 1)]))
    assert f"actor-minus-best-trivial/{KEY}" in result.summary
    again = Dataset.open(tmp_path / KEY / "scratch" / "data")
    before = Dataset.open(models / "walker-walk" / "data")
    assert before.offsets[-1] <= again.offsets[-1] < before.offsets[-1] + 2 * 20  # whole rounds
    episode = again.episode(0)
    env = paid_config(new_reward(KEY), cameras=(), action_repeat=2).make()
    env.reset(seed=int(episode.info["seed"]))
    earned = [env.step(action)[1] for action in episode.action]
    np.testing.assert_allclose(episode.reward, earned, atol=1e-5)
    monkeypatch.setattr("foresight.evaluation.assess.evaluate_policy", None)
    monkeypatch.setattr(learning, "relabelled", None)
    assert cli.main(line) == 0


def test_a_source_that_nobody_learned_is_a_sentence(tmp_path, capsys):
    line = ["reproduce", "new-reward", "--models", str(tmp_path), "--run", str(tmp_path / "run")]
    assert cli.main([*line, "--tasks", KEY]) == 2
    told = " ".join(capsys.readouterr().err.split())
    assert "no model of walker-walk" in told and "`foresight learn walker-walk` makes one" in told

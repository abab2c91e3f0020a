"""What a run has lived through: episodes with frames, features beside them, a replay of it."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
import torch

from foresight.core.errors import ForesightError
from foresight.data.dataset import Dataset
from foresight.training.replay import Replay, latents
from foresight.training.run_data import FeatureFiles, load_replay, run_of
from foresight.worldmodel.model import WorldModel
from studies.latent_stats import grounds_of


@pytest.fixture(scope="module")
def model(tiny_learned):
    return WorldModel.load(tiny_learned / "model")


def test_every_episode_is_there_with_its_frames_and_where_it_comes_from(tiny_learned):
    dataset = Dataset.open(tiny_learned / "data")
    assert dataset.lengths == [8] * 8 and dataset.spec.cameras == {"camera": (32, 32)}
    assert [meta.info["round"] for meta in dataset.metas] == [0, 0, 1, 1, 2, 2, 3, 3]
    assert [meta.info["seed"] for meta in dataset.metas] == list(range(1_000_000, 1_000_008))
    assert [meta.info["policy"] for meta in dataset.metas][::2] == ["ar1:0.8:clip"] + 3 * [
        "planner"
    ]
    assert dataset.folded  # any other LeRobot reader sees all of it
    assert dataset.has("action.expert") and np.isnan(dataset.column("action.expert")).all()
    frames = dataset.frames(0)
    assert frames.shape == (8, 32, 32, 3) and (frames[0] != frames[-1]).any()


def test_a_replay_is_what_was_learned_from(tiny_learned, model):
    replay = load_replay(model, tiny_learned / "model")
    dataset = Dataset.open(tiny_learned / "data")
    assert len(replay) == 8 and replay.decisions == 64
    states = model.encode(replay.features.float())
    torch.testing.assert_close(replay.states, states.detach())
    wanted = model.normalised(torch.from_numpy(dataset.column("action")))
    torch.testing.assert_close(replay.actions, wanted)
    np.testing.assert_array_equal(replay.rewards.numpy(), dataset.column("next.reward").ravel())
    before, now = replay.features.float().chunk(2, dim=-1)  # oldest first
    for episode in range(8):
        rows = replay.rows(episode)
        torch.testing.assert_close(before[rows][1:], now[rows][:-1])
        torch.testing.assert_close(before[rows][0], now[rows][0])


def test_features_are_made_again_from_the_frames(tiny_learned, model, tmp_path):
    whole = load_replay(model, tiny_learned)
    run = tmp_path / "run"
    shutil.copytree(tiny_learned, run)
    shutil.rmtree(run / "cache")
    again = load_replay(model, run)
    torch.testing.assert_close(again.features, whole.features, rtol=0.1, atol=0.1)
    # Single numbers are off by tokens' rounding; an episode mistaken for another is off by .29.
    assert float((again.features - whole.features).float().abs().mean()) < 0.01
    assert len(list((run / "cache").rglob("*.safetensors"))) == 4
    file = FeatureFiles(run, model).file(2)
    file.write_bytes(b"no")
    with pytest.raises(ForesightError, match=r"00002\.safetensors cannot be read as features"):
        load_replay(model, run)


def test_a_folder_without_episodes_is_refused(model, tmp_path):
    with pytest.raises(ForesightError, match="holds no episodes of a training"):
        load_replay(model, tmp_path)


def test_a_run_is_found_by_its_checkpoint(tiny_learned):
    assert run_of(tiny_learned) == run_of(tiny_learned / "model") == tiny_learned


def test_blocks_do_not_show(tiny_learned, model, monkeypatch):
    features = load_replay(model, tiny_learned).features
    whole = latents(model, features)
    monkeypatch.setattr("foresight.training.replay.BLOCK", 5)
    torch.testing.assert_close(latents(model, features), whole)


def toy_replay(rewards=None):
    generator = torch.Generator().manual_seed(0)
    z = torch.randn(6, 5, 3, generator=generator) @ torch.diag(torch.tensor([1.0, 5.0, 0.2]))
    if rewards is None:
        rewards = torch.zeros(6, 5)
        rewards[2, 3], rewards[4, 0], rewards[1, 4] = 2.0, 1.0, 9.0
    replay = Replay(30, 1, 1, latent=3)
    for earned in rewards:
        replay.add(torch.zeros(5, 1), torch.zeros(5, 1), earned)
    replay.states = z.flatten(0, 1)
    return replay, z


def test_goals_are_what_the_best_decisions_led_to():
    replay, z = toy_replay()
    grounds = grounds_of(replay, best=2)  # nobody has seen what the very best one led to
    torch.testing.assert_close(grounds.goals, torch.stack([z[2, 4], z[4, 1]]))
    assert grounds.rewards.tolist() == [2.0, 1.0]
    white = replay.states @ grounds.whiten
    torch.testing.assert_close(torch.cov(white.T), torch.eye(3), atol=1e-4, rtol=0)


def test_equal_rewards_are_chosen_from_everywhere():
    replay, z = toy_replay(torch.zeros(6, 5))
    rows = z[:, 1:].flatten(0, 1)
    chosen = {
        int((rows == goal).all(-1).nonzero()[0])
        for goal in grounds_of(replay, best=6, seed=1).goals
    }
    assert len(chosen) == 6 and chosen != set(range(6))

"""PPO on flat inputs: it learns, and killed at any moment it ends as if nothing had happened."""

from __future__ import annotations

import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from foresight.core import extras
from foresight.core.errors import ForesightError
from foresight.core.metrics import read_metrics
from foresight.policies.ppo import PPOFactory
from foresight.rollout import run_episodes
from foresight.training import ppo as module
from foresight.training.ppo import FlatEnv, PPOTrainer
from line_world import ENV, ppo


def content(folder):
    """Everything that a run leaves but what it took."""
    log = [
        {k: v for k, v in line.items() if not k.startswith(("seconds/", "peak-gib/"))}
        for line in read_metrics(folder / "metrics.jsonl")
    ]
    state = load_file(folder / "learning.safetensors")  # the order of its header is not fixed
    kept = [(folder / name).read_bytes() for name in ("config.json", "model.safetensors")]
    return kept, {name: value.numpy().tobytes() for name, value in state.items()}, log


def returns(folder):
    return [e.return_ for e in run_episodes(ENV, PPOFactory(str(folder)), range(100, 108))]


def test_it_learns_to_control(tmp_path):
    PPOTrainer(ppo(960), tmp_path).run()
    log = read_metrics(tmp_path / "metrics.jsonl")
    assert log[-1]["decisions"] == 960
    assert np.mean(returns(tmp_path)) > log[0]["return"] + 2.5
    assert sorted(path.suffix for path in tmp_path.iterdir()) == [
        ".json", ".json", ".jsonl", ".safetensors", ".safetensors",
    ]  # fmt: skip


class Killed(BaseException):
    """Nobody catches this."""


def test_a_killed_run_ends_as_it_would_have(tmp_path, monkeypatch):
    config = ppo(240, epochs=2)
    PPOTrainer(config, tmp_path / "whole").run()
    real, calls = module.save_training, []

    def deadly(*args):
        calls.append(args)
        if len(calls) == 2:
            raise Killed
        real(*args)

    monkeypatch.setattr(module, "save_training", deadly)
    with pytest.raises(Killed):
        PPOTrainer(config, tmp_path / "killed").run()
    monkeypatch.undo()
    PPOTrainer(config, tmp_path / "killed").run()
    assert content(tmp_path / "killed") == content(tmp_path / "whole")
    PPOTrainer(replace(config, seed=1), tmp_path / "other").run()
    assert content(tmp_path / "other")[0] != content(tmp_path / "whole")[0]
    with pytest.raises(ForesightError, match="holds a training with other settings"):
        PPOTrainer(replace(config, seed=2), tmp_path / "other").run()


def test_what_acts_is_what_the_library_would_do(tmp_path):
    trainer = PPOTrainer(ppo(96, epochs=1), tmp_path)
    actor = trainer.run()
    raw = np.random.default_rng(0).uniform(-1, 1, (5, 2)).astype(np.float32)
    trainer.copies.training = False
    expected, _ = trainer.algorithm.predict(trainer.copies.normalize_obs(raw), deterministic=True)
    np.testing.assert_allclose(actor(torch.from_numpy(raw)).detach(), expected, atol=1e-5)


def test_weights_that_are_not_finite_are_one_sentence(tmp_path):
    with pytest.raises(ForesightError, match="not finite after round 0: lower the rate"):
        PPOTrainer(ppo(96, lr=1e30), tmp_path).run()


def test_an_environment_is_flat():
    env = FlatEnv(ENV, ppo(1).senses())
    seen, _ = env.reset(seed=3)
    assert env.observation_space.shape == seen.shape == (2,) and seen.dtype == np.float32
    total = 0.0
    for _ in range(12):
        seen, reward, terminated, truncated, _ = env.step(np.array([0.1], np.float32))
        total += reward
    assert truncated and not terminated and env.returns == [pytest.approx(total)]


def test_without_the_library_one_sentence_names_the_extra(tmp_path, monkeypatch):
    monkeypatch.setattr(extras, "find_spec", lambda name: None)
    monkeypatch.delitem(sys.modules, "stable_baselines3", raising=False)
    with pytest.raises(ForesightError, match=r'PPO needs .*"foresight-robotics\[ppo\]"'):
        PPOTrainer(ppo(96), tmp_path)

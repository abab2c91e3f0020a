"""What a learned model stands on: its own training states, their spread and the best of them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from foresight.core.errors import ForesightError
from foresight.training.memory import Memory, latents, recall
from foresight.worldmodel.model import WorldModel
from studies.latent_stats import Grounds, grounds_of


def test_rounds_are_recalled_in_order_as_the_model_sees_them(tiny_learned):
    model = WorldModel.load(tiny_learned / "model")
    memory = recall(model, tiny_learned / "model")
    assert memory.z.shape == (8, 9, 32)
    assert memory.actions.shape == (8, 8, 2) and memory.rewards.shape == (8, 8)
    part = load_file(tiny_learned / "model" / "rounds" / "00001.safetensors")
    with torch.no_grad():
        expected = model.encode(part["features"].float())
    torch.testing.assert_close(memory.z[2:4], expected)
    torch.testing.assert_close(memory.rewards[2:4], part["rewards"])


def test_blocks_do_not_show(tiny_learned, monkeypatch):
    model = WorldModel.load(tiny_learned / "model")
    features = load_file(tiny_learned / "model" / "rounds" / "00000.safetensors")["features"]
    whole = latents(model, features)
    monkeypatch.setattr("foresight.training.memory.BLOCK", 5)
    torch.testing.assert_close(latents(model, features), whole)


def test_a_folder_without_rounds_or_with_damaged_ones_is_refused(tiny_learned, tmp_path):
    model = WorldModel.load(tiny_learned / "model")
    with pytest.raises(ForesightError, match="holds no rounds"):
        recall(model, tmp_path)
    (tmp_path / "rounds").mkdir()
    (tmp_path / "rounds" / "00000.safetensors").write_bytes(b"no")
    with pytest.raises(ForesightError, match="cannot be read as a round"):
        recall(model, tmp_path)


def toy_memory():
    generator = torch.Generator().manual_seed(0)
    z = torch.randn(6, 5, 3, generator=generator) @ torch.diag(torch.tensor([1.0, 5.0, 0.2]))
    rewards = torch.zeros(6, 4)
    rewards[2, 3], rewards[4, 0] = 2.0, 1.0
    return Memory(z, torch.zeros(6, 4, 1), rewards)


def test_goals_are_what_the_best_decisions_led_to():
    memory = toy_memory()
    grounds = grounds_of(memory, best=2)
    torch.testing.assert_close(grounds.goals, torch.stack([memory.z[2, 4], memory.z[4, 1]]))
    assert grounds.rewards.tolist() == [2.0, 1.0]
    white = memory.z.flatten(0, 1) @ grounds.whiten
    torch.testing.assert_close(torch.cov(white.T), torch.eye(3), atol=1e-4, rtol=0)


def test_equal_rewards_are_chosen_from_everywhere():
    memory = toy_memory()
    flat = Memory(memory.z, memory.actions, torch.zeros(6, 4))
    rows = memory.z[:, 1:].flatten(0, 1)
    chosen = {
        int((rows == goal).all(-1).nonzero()[0]) for goal in grounds_of(flat, best=6, seed=1).goals
    }
    assert len(chosen) == 6 and chosen != set(range(6))


def test_grounds_survive_the_disk(tmp_path):
    grounds = grounds_of(toy_memory(), best=3)
    grounds.save(tmp_path / "grounds.safetensors")
    again = Grounds.load(tmp_path / "grounds.safetensors")
    for name, value in vars(grounds).items():
        np.testing.assert_array_equal(getattr(again, name), value)
    (tmp_path / "grounds.safetensors").write_bytes(b"no")
    for path in (tmp_path / "grounds.safetensors", tmp_path / "absent"):
        with pytest.raises(ForesightError, match="statistics of a latent space"):
            Grounds.load(path)

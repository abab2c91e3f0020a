"""β in the planner's own units, and the held-out episodes that it is measured on."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from foresight import load_encoder
from foresight.core.errors import ForesightError
from foresight.core.observation import Observation
from foresight.core.policy import BatchPolicy
from foresight.core.spec import Spec, numbered_axes
from foresight.planning.config import MPCConfig
from foresight.planning.mpc import MPCPlanner
from foresight.rollout.vector import VectorRollout
from foresight.training.run_data import load_replay
from foresight.worldmodel.model import WorldModel
from studies.ensemble_errors import calibration
from studies.ensemble_errors.calibration import calibrate
from studies.ensemble_errors.held_out import HeldOutConfig, NoisyAgent, collect_held_out
from studies.latent_stats import grounds_of
from studies.penalty import planning_beta

SEARCH = MPCConfig(samples=8, elites=4, iterations=1, prior_samples=2)
HELD = HeldOutConfig(episodes=3, parallel=2, length=24, noises=(0.0, 0.5))


@pytest.fixture(autouse=True)
def few_resamples(monkeypatch):
    monkeypatch.setattr(calibration, "RESAMPLES", 40)


@pytest.fixture(scope="module")
def parts(tiny_learned, tmp_path_factory):
    model = WorldModel.load(tiny_learned / "model")
    folder = tmp_path_factory.mktemp("held-out")
    eyes = load_encoder(model.config.encoder)
    return model, eyes, folder, collect_held_out(model, eyes, SEARCH, HELD, folder)


def test_held_out_episodes_are_whole_and_kept(parts, monkeypatch):
    model, eyes, folder, episodes = parts
    assert [tuple(e.z.shape) for e in episodes] == [(12, 32)] * 3
    assert all(e.actions.shape == (12, 2) and len(e.rewards) == 12 for e in episodes)
    assert len(list(folder.iterdir())) == 2

    def refuse(*_):
        raise AssertionError("rolled again")

    monkeypatch.setattr(VectorRollout, "run", refuse)
    fewer = collect_held_out(model, eyes, SEARCH, replace(HELD, episodes=2), folder)
    torch.testing.assert_close(fewer[1].z, episodes[1].z)
    again = collect_held_out(model, eyes, SEARCH, HELD, folder)
    for one, two in zip(episodes, again, strict=True):
        torch.testing.assert_close(one.z, two.z)
    with pytest.raises(AssertionError, match="rolled again"):  # other settings, other episodes
        collect_held_out(model, eyes, SEARCH, replace(HELD, noises=(0.1,)), folder)
    with pytest.raises(ForesightError, match="too few"):
        collect_held_out(model, eyes, SEARCH, replace(HELD, episodes=1), folder)


def test_a_damaged_file_is_named(parts, tmp_path):
    model, eyes, *_ = parts
    (tmp_path / "00000.safetensors").write_bytes(b"no")
    with pytest.raises(ForesightError, match="cannot be read as held-out episodes"):
        collect_held_out(model, eyes, SEARCH, HELD, tmp_path)


def test_noise_and_chance_are_where_they_were_asked_for():
    class Still(BatchPolicy):
        def reset_batch(self, observations, seeds):
            pass

        def act_batch(self, observations, active=None):
            return np.full((len(observations), 2), 0.9, np.float32)

    spec = Spec(action=numbered_axes("motor", 2, [-1, -1], [1, 1]))
    noisy = NoisyAgent(Still(), (0.0, 0.2, None), spec)
    seen = [Observation()] * 3
    noisy.reset_batch(seen, [0, 1, 2])
    taken = np.stack([noisy.act_batch(seen) for _ in range(400)])
    assert float(np.abs(taken[:, 0] - 0.9).max()) < 1e-6
    assert 0.05 < float(taken[:, 1].std()) < 0.2
    assert float(np.abs(taken).max()) <= 1
    assert abs(float(taken[:, 2].mean())) < 0.2
    assert float(taken[:, 2].std()) > 0.5


def test_beta_equals_a_naive_loop(parts, tiny_learned):
    model, _, _, episodes = parts
    model = model.float()
    whiten = grounds_of(load_replay(model, tiny_learned / "model")).whiten
    imaginer = MPCPlanner.of(model, replace(SEARCH, horizon=3))
    beta = planning_beta(imaginer, episodes, whiten)
    own, discount = imaginer.model, model.config.discount
    errors, doubts = [], []
    with torch.no_grad():
        for one in episodes:
            for start in range(len(one.z) - 3):
                promised, kept, apart = 0.0, 0.0, 0.0
                z = one.z[start].expand(own.config.dynamics.members, -1)
                for t in range(3):
                    action = one.actions[start + t]
                    shown = action.expand(own.config.dynamics.members, -1)
                    promised += discount**t * float(own.reward(z, shown).mean())
                    kept += discount**t * float(one.rewards[start + t])
                    z = own.dynamics.step(z, action)
                    apart += float((z @ whiten).std(0).mean()) / 3
                promised += discount**3 * float(own.value_of(z).mean())
                kept += discount**3 * float(own.value_of(one.z[start + 3]).mean())
                errors.append(abs(promised - kept))
                doubts.append(apart)
    assert beta.mean == pytest.approx(np.mean(errors) / np.mean(doubts), rel=0.03)
    assert beta.low <= beta.mean <= beta.high and beta.n == 3


def test_beta_needs_rewards_and_members(parts):
    model, _, _, episodes = parts
    whiten = torch.eye(32)
    blind = [replace(one, rewards=None) for one in episodes]
    with pytest.raises(ForesightError, match="an episode has none"):
        planning_beta(MPCPlanner.of(model, SEARCH), blind, whiten)
    with pytest.raises(ForesightError, match="at least 2 members"):
        planning_beta(MPCPlanner.of(model, replace(SEARCH, members=1)), episodes, whiten)


def test_a_jointly_learned_dynamics_is_calibrated_like_any_other(parts):
    model, _, _, episodes = parts
    found = calibrate(model.dynamics, episodes, (1, 4))
    assert set(found.spearman) == set(found.within) == set(found.movement) == {1, 4}
    assert found.spearman[4].n == 3 and found.within[4].n == 3
    assert {"weight-cosine", "weight-cosine-matrices"} == set(found.diversity)
    one = episodes[0]
    still = [float((one.z[t + 1] - one.z[t]).norm()) for t in range(8)]
    assert min(still) >= 0 and found.persistence[1].mean > 0

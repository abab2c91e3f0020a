"""Reward heads against closed forms and against rewards that are known."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from foresight.core.errors import ForesightError
from foresight.worldmodel.heads.scalar import ScalarConfig, ScalarHead
from foresight.worldmodel.heads.training import HeadTraining, Latents
from studies.phases.reward_models import RidgeReward, train_reward


def data(count=600, seed=0):
    generator = torch.Generator().manual_seed(seed)
    z = torch.randn(count, 5, generator=generator)
    action = torch.randn(count, 2, generator=generator)
    return z, action, generator


def test_ridge_is_the_solution_of_its_normal_equations():
    z, action, generator = data()
    reward = torch.randn(600, generator=generator) + z[:, 0]
    found = RidgeReward.fit(z, action, reward, ridge=0.5)
    x = torch.cat([z, action], 1).double().numpy()
    x = (x - x.mean(0)) / x.std(0, ddof=1)
    y = reward.double().numpy()
    weight = np.linalg.inv(x.T @ x / 600 + 0.5 * np.eye(7)) @ (x.T @ (y - y.mean()) / 600)
    np.testing.assert_allclose(found(z, action), x @ weight + y.mean(), atol=1e-5)


def test_ridge_recovers_a_linear_reward_and_ignores_what_never_varies():
    z, action, _ = data()
    z[:, 4] = 3.0
    reward = 2 * z[:, 1] - action[:, 0] + 1
    found = RidgeReward.fit(z, action, reward, ridge=1e-8)
    torch.testing.assert_close(found(z, action), reward, atol=1e-4, rtol=0)
    assert found(z[:0], action[:0]).shape == (0,)


@pytest.mark.parametrize(("count", "ridge"), [(1, 1e-3), (50, 0.0)])
def test_ridge_refuses_what_cannot_be_solved(count, ridge):
    z, action, _ = data(count)
    with pytest.raises(ForesightError, match="cannot be fitted"):
        RidgeReward.fit(z, action, z[:, 0], ridge)


@pytest.mark.parametrize("kind", ["mse", "twohot"])
def test_a_head_learns_a_reward_that_is_no_line(kind):
    z, action, _ = data(4000)
    reward = (z[:, 0].abs() < 0.7).float()
    latents = Latents(z, np.arange(0, 4001, 100), range(32), range(32, 40), action, reward)
    torch.manual_seed(0)
    head = ScalarHead(5, 2, ScalarConfig(kind, hidden=64, bins=21, low=-1, high=1))
    records = train_reward(head, latents, HeadTraining(updates=400, batch=256))
    assert records[-1]["validation"] < 0.1 < float(reward.var())
    ridge = RidgeReward.fit(z[:3200], action[:3200], reward[:3200])
    wrong = float((ridge(z[3200:], action[3200:]) - reward[3200:]).square().mean())
    assert wrong > 0.2  # a line cannot


def test_rewards_have_to_be_there():
    z, action, _ = data(100)
    latents = Latents(z, np.arange(0, 101, 10), range(8), range(8, 10), action)
    with pytest.raises(ForesightError, match="rewards"):
        train_reward(ScalarHead(5, 2), latents, HeadTraining())

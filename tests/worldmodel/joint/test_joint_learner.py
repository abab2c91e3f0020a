from __future__ import annotations

import numpy as np
import pytest
import torch
from joint_worlds import DECISIONS, point_world, tiny

from foresight.errors import ForesightError
from foresight.worldmodel.joint import LearnConfig, Learner, Replay
from foresight.worldmodel.joint import learner as learning


@pytest.fixture(autouse=True)
def exact(monkeypatch):
    """fp32 on every machine."""
    monkeypatch.setattr(learning, "default_dtype", lambda device: torch.float32)


def test_windows_lie_within_one_episode_and_line_up():
    replay = Replay(5, 6, 1, 1)
    numbers = torch.arange(5.0)[:, None] * 100 + torch.arange(7.0)
    replay.add(numbers[..., None], numbers[:, :6, None], numbers[:, :6])
    features, actions, rewards = replay.sample((2, 40), 3, np.random.default_rng(0))
    assert features.shape == (2, 40, 4, 1)
    torch.testing.assert_close(features.diff(dim=2), torch.ones(2, 40, 3, 1, dtype=torch.float16))
    torch.testing.assert_close(features[:, :, :3].float(), actions)
    torch.testing.assert_close(actions[..., 0], rewards)
    assert set((features[:, :, 0, 0] % 100).flatten().tolist()) == {0.0, 1.0, 2.0, 3.0}


def test_a_full_or_spoilt_replay_is_refused():
    replay = Replay(2, 3, 4, 1)
    with pytest.raises(ForesightError, match="room for 2 episodes and got 3"):
        replay.add(torch.zeros(3, 4, 4), torch.zeros(3, 3, 1), torch.zeros(3, 3))
    with pytest.raises(ForesightError, match="not finite"):
        replay.add(torch.full((1, 4, 4), torch.nan), torch.zeros(1, 3, 1), torch.zeros(1, 3))


def test_the_losses_equal_their_slow_copies():
    model, (replay, _) = tiny(), point_world(20)
    with torch.no_grad():  # heads start at zero, which would hide errors
        for weight in model.parameters():
            weight.add_(0.1 * torch.randn(weight.shape))
    learner = Learner(model, LearnConfig(batch=5, decay=0.6))
    learner.slow.load_state_dict(model.value.state_dict())
    features, actions, rewards = replay.sample((3, 5), 3, np.random.default_rng(1))
    torch.manual_seed(4)
    learner.random = np.random.default_rng(2)
    loss, imagined, logs = learner._model_loss(features, actions, rewards)
    torch.manual_seed(4)
    random = np.random.default_rng(2)
    ahead = model.encode(features[:, :, 1:])
    chosen, _ = model.prior.sample(ahead)
    pair = random.choice(4, 2, replace=False)
    q = model.value(ahead, chosen)
    total = {"prediction": 0.0, "reward": 0.0, "value": 0.0}
    weights = np.array([1, 0.6, 0.36]) / 1.96
    for t in range(3):
        target = rewards[:, :, t] + 0.8 * torch.minimum(q[pair[0]], q[pair[1]])[:, :, t]
        z = imagined[:, :, t]
        gap = imagined[:, :, t + 1] - ahead[:, :, t]
        total["prediction"] += weights[t] * float((gap**2).sum(-1).mean()) / 8
        total["reward"] += weights[t] * float(
            model.reward.loss(z, rewards[:, :, t], actions[:, :, t])
        )
        total["value"] += weights[t] * float(
            model.value.loss(z, target.detach(), actions[:, :, t]) / 4
        )
    for name, value in total.items():
        assert float(logs[name]) == pytest.approx(value, rel=1e-4)
    expected = 2 * total["prediction"] + total["reward"] + 0.5 * total["value"]
    assert float(loss) == pytest.approx(expected, rel=1e-4)


def test_the_prior_does_not_move_values_nor_values_the_prior():
    model, (replay, _) = tiny(), point_world(20)
    learner = Learner(model, LearnConfig(batch=5))
    states = torch.rand(3, 5, 4, 32)
    loss, _ = learner._prior_loss(states)
    loss.backward()
    assert all(p.grad is None for p in model.value.parameters())
    assert any(p.grad is not None for p in model.prior.parameters())
    model.zero_grad(set_to_none=True)
    features, actions, rewards = replay.sample((3, 5), 3, np.random.default_rng(1))
    learner._model_loss(features, actions, rewards)[0].backward()
    assert all(p.grad is None for p in model.prior.parameters())


def test_it_learns_to_predict_and_to_value_a_small_world():
    model, (replay, mix) = tiny(), point_world()
    learner = Learner(model, LearnConfig(batch=24, lr=2e-3, slow=0.05))
    for _ in range(700):
        logs = learner.update(replay)
    assert float(logs["prediction"]) < 0.1
    held_out, _ = point_world(50, seed=1)
    model.eval()
    with torch.no_grad():
        z = model.encode(held_out.features[:, :DECISIONS].float())
        guess = model.reward(z, held_out.actions)
        rest = 1 - (guess - held_out.rewards).square().mean() / held_out.rewards.var()
        assert float(rest) > 0.6
        # The middle is worth more than a corner, and the prior pushes towards it.
        points = torch.tensor([[0.0, 0.0], [0.9, 0.9], [0.9, 0.0]])
        spots = model.encode(torch.tanh(points @ mix))
        middle, corner, _ = model.worth(spots).mean(0).tolist()
        assert middle > corner + 0.3
        assert float(torch.tanh(model.prior(spots)[0])[2, 0]) < -0.3


def test_two_learners_of_one_seed_stay_the_same():
    replay, _ = point_world(20)
    ends = []
    for _ in range(2):
        model = tiny()
        torch.manual_seed(3)
        learner = Learner(model, LearnConfig(batch=4), seed=5)
        for _ in range(3):
            learner.update(replay)
        ends.append(torch.cat([p.detach().flatten() for p in model.parameters()]))
    torch.testing.assert_close(*ends, atol=0, rtol=0)


def test_a_loss_that_explodes_is_said():
    model, (replay, _) = tiny(), point_world(20)
    with torch.no_grad():
        model.reward.net[0].weight.fill_(torch.nan)
    with pytest.raises(ForesightError, match="loss became nan at update 0"):
        Learner(model, LearnConfig(batch=4)).update(replay)

from __future__ import annotations

import numpy as np
import pytest
import torch

from foresight.core.errors import ForesightError
from foresight.training import learner as learning
from foresight.training.learner_config import LearnerConfig, SACConfig
from foresight.training.replay import Replay
from foresight.training.sac import SoftActorCritic
from foresight.worldmodel.config import HeadsConfig, StateEncoderConfig
from joint_worlds import point_world, tiny


@pytest.fixture(autouse=True)
def exact(monkeypatch):
    """fp32 on every machine."""
    monkeypatch.setattr(learning, "default_dtype", lambda device: torch.float32)


QUICK = SACConfig(batch=64, lr=1e-3, tau=0.05, temperature_lr=1e-2)
ALONE = {"prediction": 0.0, "reward": 0.0}
"""Critics alone shape the adapter."""
NORMED = StateEncoderConfig("adapter", dim=32, n_components=3, hidden=48, normed=True)


def ragged(random):
    """Episodes of 1 to 6 decisions, some ended by their task, some seen to their last picture."""
    replay, told = Replay(200, 12, 2, latent=32), []
    for _ in range(12):
        length = int(random.integers(1, 7))
        terminated, seen = bool(random.random() < 0.5), length + int(random.random() < 0.5)
        rewards = torch.from_numpy(random.normal(size=length)).float()
        replay.add(torch.rand(seen, 12), torch.rand(length, 2), rewards, terminated)
        told.append((rewards.tolist(), terminated, seen))
    return replay, told


def parts_moved(model, before):
    """Parts of a model that have other weights than before."""
    now = model.state_dict()
    return {name.split(".")[0] for name in now if (now[name] != before[name]).any()}


@pytest.mark.parametrize("steps", [1, 3, 5])
def test_returns_of_several_decisions_stop_where_an_episode_does(steps):
    random = np.random.default_rng(steps)
    replay, told = ragged(random)
    learner = SoftActorCritic(tiny(), LearnerConfig(), SACConfig(steps=steps))
    windows = replay.sample((400,), steps, random, see=True)
    found = learner._returns(replay, windows)
    for row, last, earned, weight, known in zip(windows.rows, *found, strict=True):
        episode = int(np.searchsorted(replay.offsets, int(row), side="right")) - 1
        first = int(row) - int(replay.offsets[episode])
        rewards, terminated, seen = told[episode]
        ends = terminated and first + steps >= len(rewards)
        through = min(first + steps, len(rewards) if ends else seen - 1)
        wanted = sum(0.8 ** (t - first) * rewards[t] for t in range(first, through))
        assert float(earned) == pytest.approx(wanted, abs=1e-5)
        assert float(weight) == pytest.approx(0.0 if ends else 0.8 ** (through - first))
        assert float(known) == float(ends or through > first)
        if not ends:
            assert int(last) == int(replay.offsets[episode]) + through


def test_one_update_equals_its_slow_copy():
    model, (replay, _) = tiny(), point_world(20)
    with torch.no_grad():  # heads start at zero, which would hide errors
        for weight in model.parameters():
            weight.add_(0.1 * torch.randn(weight.shape))
    learner = SoftActorCritic(
        model, LearnerConfig(), SACConfig(batch=6, steps=2, bonus=True, **ALONE)
    )
    learner.target.load_state_dict(model.value.state_dict())
    random = np.random.default_rng([0, 0])
    noise = torch.Generator().manual_seed(int(random.integers(2**62)))
    windows = replay.sample((6,), 2, random, see=True)
    with torch.no_grad():
        after = model.encode(replay.features[windows.rows + 2])
        action, density = model.prior.sample(after, noise)
        ahead = model.value(after, action).amin(0) - 0.1 * density
        target = windows.rewards[:, 0] + 0.8 * windows.rewards[:, 1] + 0.64 * ahead
        z = model.encode(windows.features)
        critic = model.value.loss(z, target, windows.actions[:, 0])
    logs = learner.update(replay)
    assert float(logs["critic"]) == pytest.approx(float(critic), rel=1e-4)
    assert (float(logs["temperature"]) < 0.1) == (float(logs["entropy"]) > -1.0)


def test_critics_shape_the_adapter_and_the_actor_does_not():
    model, (replay, _) = tiny(), point_world(20)
    learner = SoftActorCritic(model, LearnerConfig(), SACConfig(batch=8, **ALONE))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    for _ in range(3):
        learner.update(replay)
    moved = {
        name.split(".")[0] for name, v in model.state_dict().items() if (v != before[name]).any()
    }
    assert moved == {"state", "value", "prior"}
    model.zero_grad(set_to_none=True)
    z = model.encode(replay.features[:8].float())
    learner._actor_loss(z.detach())[0].backward()
    assert all(p.grad is None for part in (model.state, model.value) for p in part.parameters())


@pytest.mark.slow
def test_it_finds_the_middle_of_a_small_world():
    model, (replay, mix) = tiny(state=NORMED), point_world()
    learner = SoftActorCritic(model, LearnerConfig(), QUICK)
    for _ in range(800):
        logs = learner.update(replay)
    assert float(logs["prediction"]) < 0.02 and float(logs["reward"]) < 0.4
    model.eval()
    with torch.no_grad():
        points = torch.tensor([[0.0, 0.0], [0.9, 0.9], [0.9, 0.0], [0.0, -0.9]])
        spots = model.encode(torch.tanh(points @ mix))
        middle, corner, *_ = model.value_of(spots).mean(0).tolist()
        assert middle > corner + 0.3
        pushes = model.prior.mean_action(spots)
        assert float(pushes[2, 0]) < -0.3 and float(pushes[3, 1]) > 0.3


def test_what_imagines_is_learned_afterwards_and_alone():
    model, (replay, _) = tiny(), point_world(40)
    learner = SoftActorCritic(model, LearnerConfig(batch=16, lr=3e-3), SACConfig())
    before = {name: value.clone() for name, value in model.state_dict().items()}
    first = learner.learn_model(replay, 1)
    last = learner.learn_model(replay, 60)
    assert last["model/prediction"] < first["model/prediction"]
    assert last["model/reward"] < first["model/reward"]
    moved = {
        name.split(".")[0] for name, v in model.state_dict().items() if (v != before[name]).any()
    }
    assert moved == {"dynamics", "reward"}


def test_no_episodes_values_that_explode_and_a_model_without_any_are_refused():
    learner = SoftActorCritic(tiny(), LearnerConfig(), SACConfig(batch=4))
    with pytest.raises(ForesightError, match="no episode to learn from: act first"):
        learner.update(Replay(8, 12, 2, latent=32))
    replay, _ = point_world(4)
    replay.features.fill_(torch.nan)
    with pytest.raises(ForesightError, match="values became nan at update 0: lower the learning"):
        learner.update(replay)
    model = tiny(heads=HeadsConfig(reward="none", values=0, hidden=32))
    with pytest.raises(ForesightError, match="needs values: give the model at least two"):
        SoftActorCritic(model, LearnerConfig(), SACConfig())

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from foresight.core.errors import ForesightError
from foresight.training import learner as learning
from foresight.training.imagined_return import imagined_return
from foresight.training.learner import Learner
from foresight.training.learner_config import LearnerConfig
from foresight.worldmodel.config import HeadsConfig
from foresight.worldmodel.heads.scalar import reward_range
from joint_worlds import DECISIONS, point_world, tiny


@pytest.fixture(autouse=True)
def exact(monkeypatch):
    """fp32 on every machine."""
    monkeypatch.setattr(learning, "default_dtype", lambda device: torch.float32)


def test_the_losses_equal_their_slow_copies():
    model, (replay, _) = tiny(), point_world(20)
    with torch.no_grad():  # heads start at zero, which would hide errors
        for weight in model.parameters():
            weight.add_(0.1 * torch.randn(weight.shape))
    learner = Learner(model, LearnerConfig(batch=5, decay=0.6))
    learner.target.load_state_dict(model.value.state_dict())
    replay.refresh(model.encode)
    windows = replay.sample((3, 5), 3, np.random.default_rng(1))
    states, actions, rewards = windows.states, windows.actions, windows.rewards
    learner.noise.manual_seed(4)
    loss, imagined, logs = learner._model_loss(windows, np.random.default_rng(2))
    noise = torch.Generator().manual_seed(4)
    random = np.random.default_rng(2)
    ahead = states[:, :, 1:]
    chosen, _ = model.prior.sample(ahead, noise)
    pair = random.choice(2, 2, replace=False)
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
            model.value.loss(z, target.detach(), actions[:, :, t]) / 2
        )
    for name, value in total.items():
        assert float(logs[name]) == pytest.approx(value, rel=1e-4)
    expected = 2 * total["prediction"] + total["reward"] + 0.5 * total["value"]
    assert float(loss) == pytest.approx(expected, rel=1e-4)


def test_the_prior_does_not_move_values_nor_values_the_prior():
    model, (replay, _) = tiny(), point_world(20)
    learner = Learner(model, LearnerConfig(batch=5))
    states = torch.rand(3, 5, 4, 32)
    random = np.random.default_rng(1)
    loss, _ = learner._prior_loss(states, replay.sample((3, 5), 3, random))
    loss.backward()
    assert all(p.grad is None for p in model.value.parameters())
    assert any(p.grad is not None for p in model.prior.parameters())
    model.zero_grad(set_to_none=True)
    learner._model_loss(replay.sample((3, 5), 3, random), random)[0].backward()
    for part in (model.prior, model.state):
        assert all(p.grad is None for p in part.parameters())


@pytest.mark.slow
def test_it_learns_to_predict_and_to_value_a_small_world():
    model, (replay, mix) = tiny(proprio=2), point_world()
    learner = Learner(model, LearnerConfig(batch=24, lr=4e-3, tau=0.05))
    learner.learn_representation(replay, 150)
    for _ in range(250):
        logs = learner.update(replay)
    assert float(logs["prediction"]) < 0.1
    held_out, _ = point_world(50, seed=1)
    model.eval()
    with torch.no_grad():
        rows = torch.arange(50)[:, None] * (DECISIONS + 1) + torch.arange(DECISIONS)
        guess = model.reward(model.encode(held_out.features[rows]), held_out.actions[rows])
        rewards = held_out.rewards[rows]
        rest = 1 - (guess - rewards).square().mean() / rewards.var()
        assert float(rest) > 0.6
        # The middle is worth more than a corner, and the prior pushes towards it.
        points = torch.tensor([[0.0, 0.0], [0.9, 0.9], [0.9, 0.0]])
        spots = model.encode(torch.tanh(points @ mix))
        middle, corner, _ = model.value_of(spots).mean(0).tolist()
        assert middle > corner + 0.3
        assert float(torch.tanh(model.prior(spots)[0])[2, 0]) < -0.3


def test_finetuning_moves_the_dynamics_alone_and_each_member_by_its_own_episodes():
    model, (replay, _) = tiny(), point_world(40)
    learner = Learner(model, LearnerConfig(batch=16, finetune_share=0.5, lr=3e-3))
    learner.refresh(replay)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    whole = replay.sample((3, 400), 3, np.random.default_rng(0))

    @torch.no_grad()
    def error(windows):
        imagined = model.dynamics.apart(windows.states[:, :, 0], windows.actions)
        return (imagined[:, :, 1:] - windows.states[:, :, 1:]).square().sum(-1).mean((1, 2))

    first = error(whole)
    assert np.isfinite(learner.finetune_dynamics(replay, 200)["finetune/prediction"])
    assert (error(whole) < first).all()
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name]) != name.startswith("dynamics")
    own = learner._own(len(replay), 0.5)
    seen = replay.sample((3, 800), 3, np.random.default_rng(1), own=own)
    unseen = replay.sample((3, 800), 3, np.random.default_rng(1), own=~own)
    assert float(error(seen).mean()) < float(error(unseen).mean())


def test_representation_updates_teach_proprioception_and_the_expert_and_give_new_states():
    model, (replay, _) = tiny(proprio=2), point_world(100)
    places = replay.proprio
    for episode in range(50):  # back to the middle
        rows = replay.rows(episode)
        replay.expert_actions[rows] = -places[rows].clamp(-1, 1)
    replay.asked[:50] = True
    model.proprio.fit(places)
    learner = Learner(model, LearnerConfig(lr=2e-3, representation_batch=64))
    before = [p.clone() for p in model.dynamics.parameters()]
    logs = learner.learn_representation(replay, 300)
    assert set(logs) == {f"representation/{n}" for n in ("reward", "imitation", "proprio")}
    assert learner.phases == 1
    assert all(torch.equal(p, q) for p, q in zip(model.dynamics.parameters(), before, strict=True))
    held_out, _ = point_world(20, seed=3)
    truth = held_out.proprio
    model.eval()
    with torch.no_grad():
        torch.testing.assert_close(replay.states, model.encode(replay.features))
        z = model.encode(held_out.features)
        left = (model.proprio(z) - truth).square().mean() / truth.var()
        push = torch.tanh(model.prior(z)[0])
    assert float(left) < 0.05
    assert float((push + truth.clamp(-1, 1)).square().mean()) < 0.05


def test_an_update_leaves_features_out_and_keeps_their_sum():
    model, random = tiny(), np.random.default_rng(0)
    features = torch.ones(64, model.features)
    assert Learner(model, LearnerConfig())._thinned(features, random) is features
    learner = Learner(model, LearnerConfig(dropout=0.25))
    thin = learner._thinned(features, random)
    torch.testing.assert_close(thin.unique(), torch.tensor([0, 4 / 3]))
    assert float(thin.mean()) == pytest.approx(1, rel=0.05)
    assert not torch.equal(learner._thinned(features, random), thin)


def test_it_heeds_an_expert_less_and_less():
    model, (replay, _) = tiny(), point_world(100)
    replay.refresh(model.encode)
    replay.expert_actions[: int(replay.offsets[50])] = torch.tensor([0.5, -0.5])
    replay.asked[:50] = True
    config = LearnerConfig(
        batch=8, lr=2e-3, imitation=3.0, imitation_end=1.0, imitation_updates=200
    )
    learner = Learner(model, config)
    assert learner._imitation == 3.0
    for _ in range(250):
        logs = learner.update(replay)
    assert learner._imitation == 1.0
    assert float(logs["imitation"]) < 0.1
    with torch.no_grad():
        windows = replay.sample((3, 5), 3, np.random.default_rng(0))
        states = windows.states
        asked = torch.full((3, 5, 3, 2), torch.nan)
        asked[:, 2] = torch.tensor([0.5, -0.5])
        learner.noise.manual_seed(0)
        with_answer = learner._prior_loss(states, replace(windows, expert_actions=asked))[0]
        learner.noise.manual_seed(0)
        nobody = replace(windows, expert_actions=asked * torch.nan)
        without = learner._prior_loss(states, nobody)[0]
        mean = torch.tanh(model.prior(states[:, 2, :3])[0])
        by_hand = (mean - torch.tensor([0.5, -0.5])).square().mean() / 5
    assert float(with_answer - without) == pytest.approx(float(by_hand), rel=1e-2)


def test_two_learners_of_one_seed_stay_the_same_whatever_else_draws_numbers():
    replay, _ = point_world(20)
    ends = []
    for other in (0, 1):
        model = tiny()
        torch.manual_seed(other)
        learner = Learner(model, LearnerConfig(batch=4), seed=5)
        for _ in range(3):
            learner.update(replay)
        ends.append(torch.cat([p.detach().flatten() for p in model.parameters()]))
    torch.testing.assert_close(*ends, atol=0, rtol=0)


def ended(windows, step):
    """The same windows, in which every episode is over for good after ``step``."""
    acted, over, followed = (torch.zeros_like(windows.acted) for _ in range(3))
    acted[..., : step + 1] = True
    over[..., step] = True
    followed[..., :step] = True
    return replace(windows, acted=acted, ended=over, followed=followed)


def test_nothing_beyond_a_terminated_end_reaches_a_loss():
    model, (replay, _) = tiny(), point_world(20)
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.1 * torch.randn(weight.shape))
    learner = Learner(model, LearnerConfig(batch=5))
    replay.refresh(model.encode)
    windows = ended(replay.sample((3, 5), 3, np.random.default_rng(1)), 1)
    states, actions = windows.states.clone(), windows.actions.clone()
    rewards, answers = windows.rewards.clone(), torch.zeros(3, 5, 3, 2)
    states[:, :, 2:], actions[:, :, 2:], rewards[:, :, 2:] = 0.7, 0.9, 5.0
    spoilt = replace(windows, states=states, actions=actions, rewards=rewards)
    found = []
    for each in (windows, spoilt):
        model.zero_grad(set_to_none=True)
        learner.noise.manual_seed(4)
        loss, imagined, logs = learner._model_loss(each, np.random.default_rng(2))
        loss.backward()
        asked = replace(each, expert_actions=answers)
        follow = learner._prior_loss(imagined.detach(), asked)[1]["imitation"]
        gradient = model.value.net[0].weight.grad.clone()
        found.append((loss.detach(), *logs.values(), follow, gradient))
    for one, two in zip(*found, strict=True):
        torch.testing.assert_close(one, two)


def test_a_terminated_decision_is_worth_its_reward_alone():
    model, (replay, _) = tiny(), point_world(20)
    learner = Learner(model, LearnerConfig(batch=5, horizon=1))
    with torch.no_grad():
        for weight in [*model.parameters(), *learner.target.parameters()]:
            weight.add_(0.1 * torch.randn(weight.shape))
    replay.refresh(model.encode)
    windows = replay.sample((3, 5), 1, np.random.default_rng(1))
    last = ended(windows, 0)
    _, _, logs = learner._model_loss(last, np.random.default_rng(2))
    z, action = windows.states[:, :, 0], windows.actions[:, :, 0]
    alone = float(model.value.loss(z, windows.rewards[:, :, 0], action)) / 2
    assert float(logs["value"]) == pytest.approx(alone, rel=1e-4)
    _, _, goes_on = learner._model_loss(windows, np.random.default_rng(2))
    assert float(goes_on["value"]) != pytest.approx(alone, rel=1e-3)
    nobody_saw = replace(windows, followed=torch.zeros_like(windows.followed))
    _, _, unknown = learner._model_loss(nobody_saw, np.random.default_rng(2))
    assert float(unknown["value"]) == 0 and float(unknown["prediction"]) == 0


def test_episodes_that_were_not_learned_from_are_measured():
    model, (replay, _) = tiny(), point_world(20)
    learner = Learner(model, LearnerConfig(batch=4))
    learner.refresh(replay)
    first = learner.measure(replay, since=16)
    assert set(first) == {"held-out/prediction", "held-out/reward", "imagined/return"}
    assert first == learner.measure(replay, since=16)
    for _ in range(200):
        learner.update(replay)
    after = learner.measure(replay, since=16)
    assert after["held-out/prediction"] < first["held-out/prediction"]
    # Five decisions at a time, all of them and none twice.
    model.reward.forward = lambda z, action: action[..., 0]
    done = replay.actions[replay.rows(18)][:DECISIONS, 0]
    assert imagined_return(model.dynamics, model.reward, replay, 18, 5) == pytest.approx(
        float(done.sum()), abs=1e-4
    )


def test_a_loss_that_explodes_is_said():
    model, (replay, _) = tiny(), point_world(20)
    with torch.no_grad():
        model.reward.net[0].weight.fill_(torch.nan)
    with pytest.raises(ForesightError, match="loss became nan at update 0"):
        Learner(model, LearnerConfig(batch=4)).update(replay)


@pytest.mark.parametrize(("low", "high"), [(-10.0, 0.0), (0.0, 1000.0), (-1.0, 1.0)])
def test_rewards_of_any_size_are_learned(low, high):
    replay, _ = point_world(150)
    replay.rewards = low + (high - low) * replay.rewards
    found = reward_range(replay.rewards, 1)
    assert found is not None and found[0] <= low and found[1] >= high
    model = tiny(rewards=found, proprio=2)
    model.proprio.fit(replay.proprio)
    learner = Learner(model, LearnerConfig(lr=3e-3, representation_batch=64))
    learner.learn_representation(replay, 300)
    assert np.isfinite(float(learner.update(replay)["value"]))
    held_out, _ = point_world(30, seed=4)
    rows = torch.cat([torch.arange(DECISIONS) + int(first) for first in held_out.offsets[:-1]])
    rewards = low + (high - low) * held_out.rewards[rows]
    with torch.no_grad():
        guess = model.eval().reward(model.encode(held_out.features[rows]), held_out.actions[rows])
    assert float((guess - rewards).square().mean() / rewards.var()) < 0.5
    most = torch.tensor([low, high]) / (1 - model.config.discount)
    code = model.value.code
    torch.testing.assert_close(code.decode(code.encode(most).log()), most, rtol=1e-3, atol=1e-3)


def test_rewards_of_the_usual_size_keep_the_usual_bins():
    assert reward_range(torch.tensor([0.0, 0.3, 2.0]), 2) is None
    assert reward_range(torch.zeros(0), 2) is None
    usual, told = tiny().reward.config, tiny(rewards=(0.0, 1.0)).reward.config
    assert usual == told and usual.low == pytest.approx(-0.25 * usual.high)


def test_without_rewards_all_the_rest_is_learned():
    heads = HeadsConfig(hidden=32, reward="none", values=0, proprio=2, continuation=True)
    model, (replay, _) = tiny(heads=heads), point_world(20)
    learner = Learner(model, LearnerConfig(batch=4, representation_batch=8))
    assert set(learner.learn_representation(replay, 2)) == {"representation/proprio"}
    logs = learner.update(replay)
    assert set(logs) == {"prediction", "continuation", "entropy"}
    assert all(np.isfinite(float(value)) for value in logs.values())
    assert set(learner.measure(replay, 16)) == {"held-out/prediction"}
    half = replace(heads, reward="twohot")
    with pytest.raises(ForesightError, match="none and 0"):
        Learner(tiny(heads=half), LearnerConfig())

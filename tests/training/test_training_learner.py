from __future__ import annotations

import numpy as np
import pytest
import torch

from foresight.core.errors import ForesightError
from foresight.training import learner as learning
from foresight.worldmodel.joint import LearnConfig, Learner, Replay
from joint_worlds import DECISIONS, point_world, tiny


@pytest.fixture(autouse=True)
def exact(monkeypatch):
    """fp32 on every machine."""
    monkeypatch.setattr(learning, "default_dtype", lambda device: torch.float32)


def test_windows_lie_within_one_episode_and_line_up():
    replay = Replay(5, 6, 1, 1, latent=1)
    numbers = torch.arange(5.0)[:, None] * 20 + torch.arange(7.0)
    replay.add(numbers[..., None], numbers[:, :6, None], numbers[:, :6])
    replay.refresh(lambda features: 2 * features)
    got = replay.sample((2, 40), 3, np.random.default_rng(0), see=True)
    assert got.states.shape == (2, 40, 4, 1) and got.features.shape == (2, 40, 1)
    torch.testing.assert_close(got.states.diff(dim=2), torch.full((2, 40, 3, 1), 2.0))
    torch.testing.assert_close(got.states[:, :, :3], 2 * got.actions)
    torch.testing.assert_close(got.features.float(), got.actions[:, :, 0])
    torch.testing.assert_close(got.actions[..., 0], got.rewards)
    assert set((got.features[..., 0] % 20).flatten().tolist()) == {0.0, 1.0, 2.0, 3.0}
    assert replay.sample((3,), 3, np.random.default_rng(0)).features.shape == (3, 0)
    replay.refresh(lambda features: 0 * features, since=4)
    assert (replay.states[4] == 0).all() and (replay.states[3] != 0).all()
    assert got.taught.isnan().all() and got.senses.shape == (2, 40, 0)


def test_a_share_of_the_windows_has_a_teachers_answers():
    replay = Replay(10, 6, 1, 1, senses=2)
    shape = (8, 6, 1)
    senses = torch.arange(7.0)[:, None].expand(8, 7, 2)
    replay.add(torch.zeros(8, 7, 1), torch.zeros(shape), torch.zeros(8, 6), senses)
    taught = torch.arange(6.0)[:, None].expand(2, 6, 1)
    replay.add(torch.zeros(2, 7, 1), taught, torch.zeros(2, 6), senses[:2], taught)
    for share, expected in ((0.0, 0.2), (0.5, 0.6), (1.0, 1.0)):
        got = replay.sample((4000,), 3, np.random.default_rng(0), share)
        known = got.taught.isfinite().all(-1).all(-1)
        assert float(known.float().mean()) == pytest.approx(expected, abs=0.04)
        torch.testing.assert_close(got.taught[known], got.actions[known])
        torch.testing.assert_close(got.senses[known][:, 0], got.taught[known][:, 0, 0])


def test_members_draw_from_their_own_episodes():
    replay = Replay(6, 5, 1, 1)
    number = torch.arange(4.0)[:, None]
    taught = torch.full((4, 5, 1), torch.nan)
    taught[2] = 0
    replay.add(
        torch.zeros(4, 6, 1),
        number[..., None].expand(4, 5, 1),
        number.expand(4, 5),
        taught=taught,
    )
    own = np.zeros((3, 6), bool)
    own[0, [0, 2]] = True
    own[1, 3] = True
    own[2, 5] = True  # not seen yet: then from all
    got = replay.sample((3, 200), 2, np.random.default_rng(0), 0.9, own=own)
    drawn = [set(rows.flatten().tolist()) for rows in got.rewards]
    assert drawn == [{0.0, 2.0}, {3.0}, {0.0, 1.0, 2.0, 3.0}]
    assert float((got.rewards[0] == 2).float().mean()) > 0.85


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
    replay.refresh(model.encode)
    windows = replay.sample((3, 5), 3, np.random.default_rng(1))
    states, actions, rewards = windows.states, windows.actions, windows.rewards
    torch.manual_seed(4)
    learner.random = np.random.default_rng(2)
    loss, imagined, logs = learner._model_loss(windows)
    torch.manual_seed(4)
    random = np.random.default_rng(2)
    ahead = states[:, :, 1:]
    chosen, _ = model.prior.sample(ahead)
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
    learner = Learner(model, LearnConfig(batch=5))
    states = torch.rand(3, 5, 4, 32)
    loss, _ = learner._prior_loss(states, torch.full((3, 5, 3, 2), torch.nan))
    loss.backward()
    assert all(p.grad is None for p in model.value.parameters())
    assert any(p.grad is not None for p in model.prior.parameters())
    model.zero_grad(set_to_none=True)
    learner._model_loss(replay.sample((3, 5), 3, np.random.default_rng(1)))[0].backward()
    for part in (model.prior, model.adapter):
        assert all(p.grad is None for p in part.parameters())


def test_it_learns_to_predict_and_to_value_a_small_world():
    model, (replay, mix) = tiny(senses=2), point_world()
    replay.senses = torch.atanh(replay.features.float().clamp(-0.999, 0.999)) @ torch.linalg.pinv(
        mix
    )
    learner = Learner(model, LearnConfig(batch=24, lr=2e-3, slow=0.05))
    learner.study(replay, 300)
    for _ in range(500):
        logs = learner.update(replay)
    assert float(logs["prediction"]) < 0.1
    held_out, _ = point_world(50, seed=1)
    model.eval()
    with torch.no_grad():
        z = model.encode(held_out.features[:, :DECISIONS])
        guess = model.reward(z, held_out.actions)
        rest = 1 - (guess - held_out.rewards).square().mean() / held_out.rewards.var()
        assert float(rest) > 0.6
        # The middle is worth more than a corner, and the prior pushes towards it.
        points = torch.tensor([[0.0, 0.0], [0.9, 0.9], [0.9, 0.0]])
        spots = model.encode(torch.tanh(points @ mix))
        middle, corner, _ = model.worth(spots).mean(0).tolist()
        assert middle > corner + 0.3
        assert float(torch.tanh(model.prior(spots)[0])[2, 0]) < -0.3


def test_settling_moves_the_dynamics_alone_and_each_member_by_its_own_episodes():
    model, (replay, _) = tiny(), point_world(40)
    learner = Learner(model, LearnConfig(batch=16, settled=0.5, lr=3e-3))
    learner.look(replay)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    whole = replay.sample((3, 400), 3, np.random.default_rng(0))

    @torch.no_grad()
    def error(windows):
        imagined = model.dynamics.apart(windows.states[:, :, 0], windows.actions)
        return (imagined[:, :, 1:] - windows.states[:, :, 1:]).square().sum(-1).mean((1, 2))

    first = error(whole)
    assert np.isfinite(learner.settle(replay, 200)["settled"])
    assert (error(whole) < first).all()
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name]) != name.startswith("dynamics")
    own = learner._own(len(replay.actions), 0.5)
    seen = replay.sample((3, 800), 3, np.random.default_rng(1), own=own)
    unseen = replay.sample((3, 800), 3, np.random.default_rng(1), own=~own)
    assert float(error(seen).mean()) < float(error(unseen).mean())


def test_lessons_teach_the_senses_and_the_teacher_and_give_new_states():
    model, (replay, mix) = tiny(senses=2), point_world(100)
    places = torch.atanh(replay.features.float().clamp(-0.999, 0.999)) @ torch.linalg.pinv(mix)
    replay.senses = places
    replay.taught[:50] = -places[:50, :-1].clamp(-1, 1)  # back to the middle
    model.sense.fit(places.flatten(0, 1))
    learner = Learner(model, LearnConfig(lr=2e-3, lesson=64))
    before = [p.clone() for p in model.dynamics.parameters()]
    logs = learner.study(replay, 300)
    assert set(logs) == {"lesson-reward", "lesson-imitation", "lesson-senses"}
    assert learner.studies == 1
    assert all(torch.equal(p, q) for p, q in zip(model.dynamics.parameters(), before, strict=True))
    held_out, _ = point_world(20, seed=3)
    truth = torch.atanh(held_out.features.float().clamp(-0.999, 0.999)) @ torch.linalg.pinv(mix)
    model.eval()
    with torch.no_grad():
        torch.testing.assert_close(replay.states[:100], model.encode(replay.features[:100]))
        z = model.encode(held_out.features)
        left = (model.sense(z) - truth).square().mean() / truth.var()
        push = torch.tanh(model.prior(z)[0])
    assert float(left) < 0.05
    assert float((push + truth.clamp(-1, 1)).square().mean()) < 0.05


def test_a_lesson_leaves_numbers_out_and_keeps_their_sum():
    model = tiny()
    features = torch.ones(64, model.features)
    assert Learner(model, LearnConfig())._thinned(features) is features
    learner = Learner(model, LearnConfig(dropout=0.25))
    thin = learner._thinned(features)
    torch.testing.assert_close(thin.unique(), torch.tensor([0, 4 / 3]))
    assert float(thin.mean()) == pytest.approx(1, rel=0.05)
    assert not torch.equal(learner._thinned(features), thin)


def test_it_heeds_a_teacher_less_and_less():
    model, (replay, _) = tiny(), point_world(100)
    replay.refresh(model.encode)
    replay.taught[:50] = torch.tensor([0.5, -0.5])
    config = LearnConfig(batch=8, lr=2e-3, imitation=3.0, imitation_end=1.0, fade=200)
    learner = Learner(model, config)
    assert learner._imitation == 3.0
    for _ in range(250):
        logs = learner.update(replay)
    assert learner._imitation == 1.0
    assert float(logs["imitation"]) < 0.1
    with torch.no_grad():
        states = replay.states[:15, :4].unflatten(0, (3, 5))
        asked = torch.full((3, 5, 3, 2), torch.nan)
        asked[:, 2] = torch.tensor([0.5, -0.5])
        torch.manual_seed(0)
        with_answer = learner._prior_loss(states, asked)[0]
        torch.manual_seed(0)
        without = learner._prior_loss(states, asked * torch.nan)[0]
        mean = torch.tanh(model.prior(states[:, 2, :3])[0])
        by_hand = (mean - torch.tensor([0.5, -0.5])).square().mean() / 5
    assert float(with_answer - without) == pytest.approx(float(by_hand), rel=1e-2)


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

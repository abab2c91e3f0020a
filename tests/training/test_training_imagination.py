"""Learning in imagination: against formulas, in worlds whose best policy is known."""

from __future__ import annotations

import pytest
import torch

from dream_worlds import PUSH, Line, Right, best_gain, no_doubt, places
from foresight.core.errors import ForesightError
from foresight.training.doubt import Doubt, disagreement
from foresight.training.imagination import Imagination, ImaginationConfig
from foresight.training.replay import Replay
from foresight.training.returns import lambda_returns
from joint_worlds import tiny

SMALL = ImaginationConfig(batch=64, horizon=5, critic_first=0, start="fresh")


class Gain(torch.nn.Module):
    """``a = -K z`` in an actor's place."""

    def __init__(self, gain) -> None:
        super().__init__()
        self.gain = torch.nn.Parameter(torch.tensor(gain))

    def forward(self, z):
        return -self.gain * z, torch.full_like(z, 1e-3)

    def shaped(self, mean, deviation, noise):
        return mean + deviation * noise, torch.zeros(mean.shape[:-1])


def test_the_gradient_is_nothing_at_the_best_policy_and_leads_to_it(monkeypatch):
    """With the true values; the sum over the returns of all steps would lead beyond it."""
    best = best_gain(0.9)
    worth = 1 / (1 - 0.9 * (1 - PUSH * best))  # of V = -P z² under the best policy
    found = {}
    for change in (-0.3, 0.0, 0.3):
        learned = Imagination(Line(0.9), SMALL, no_doubt())
        learned.actor, learned.dtype = Gain(best + change), torch.float32
        learned.critic.requires_grad_(False)
        monkeypatch.setattr(learned, "target", lambda z: -worth * z[..., 0].square())
        monkeypatch.setattr(learned, "_step", lambda loss: loss.backward())
        learned.learn(torch.linspace(-0.6, 0.6, 64)[:, None])
        found[change] = float(learned.actor.gain.grad)
    assert found[-0.3] < -5e-3 < 5e-3 < found[0.3]
    assert abs(found[0.0]) < 2e-4


@pytest.mark.slow
@pytest.mark.parametrize(
    ("gradient", "updates", "rate"), [("dynamics", 100, 6e-3), ("reinforce", 600, 2e-3)]
)
def test_the_actor_finds_the_best_gain_of_a_linear_quadratic_world(gradient, updates, rate):
    """Each step alone is best done by nothing: what is found has to come from looking ahead."""
    config = ImaginationConfig(
        batch=64, horizon=5, critic_first=50, start="fresh", gradient=gradient,
        entropy=1e-4 if gradient == "dynamics" else 1e-3, actor_lr=rate, critic_lr=rate, tau=0.05,
    )  # fmt: skip
    learned = Imagination(Line(0.9), config, no_doubt())
    replay = places(wide=0.6)
    for _ in range(updates):
        learned.update(replay)
    z = torch.linspace(-0.5, 0.5, 11)[:, None]
    with torch.no_grad():
        found = learned.actor.mean_action(z)[:, 0]
    wanted = -best_gain(0.9) * z[:, 0]
    assert float((found - wanted).abs().mean()) < 0.05
    myopic = -best_gain(0.45) * z[:, 0]
    assert float((myopic - wanted).abs().mean()) > 0.1  # another discount would be noticed


def test_the_best_gain_is_the_best():
    """The reference itself, by playing it beside its neighbours."""

    def played(gain, discount=0.9):
        z, total = 1.0, 0.0
        for step in range(400):
            action = -gain * z
            total -= discount**step * (z**2 + 0.3 * action**2)
            z += 0.5 * action
        return total

    best = best_gain(0.9)
    assert played(best) > max(played(best - 0.02), played(best + 0.02))


def dreamt(config, doubt, world=None):
    """Dreams of the same actor and the same noise."""
    world = world or Line(bias=(-0.1, 0.0, 0.1), doubtful_from=0.3)
    learned = Imagination(world, config, doubt)
    learned.noise.manual_seed(0)
    starts = torch.linspace(-1, 1, 40)[:, None]
    with torch.no_grad():
        return learned, learned.dream(starts)


def test_a_penalty_is_taken_off_where_members_disagree_and_nowhere_else():
    free = dreamt(SMALL, Doubt(0.0, torch.inf, -1.3, 0.0))[1]
    _, charged = dreamt(SMALL, Doubt(2.0, torch.inf, -1.3, 0.0))
    torch.testing.assert_close(charged.states, free.states)
    # The deviation of -.1, 0 and .1 is .1.
    wanted = 2.0 * 0.1 * (free.states[:-1, :, 0] > 0.3)
    torch.testing.assert_close(free.rewards - charged.rewards, wanted, atol=1e-5, rtol=0)
    assert wanted.any() and not wanted.all()


def test_a_dream_that_is_doubted_ends_in_the_worst_way():
    learned, cut = dreamt(SMALL, Doubt(0.0, 0.049, -1.3, 0.0))
    free = dreamt(SMALL, Doubt(0.0, torch.inf, -1.3, 0.0))[1]
    doubtful = free.states[:-1, :, 0] > 0.3
    assert (cut.belief == (~doubtful).float()).all() and doubtful.any() and not doubtful.all()
    assert torch.equal(cut.goes_on, cut.belief)
    values = torch.zeros(6, 40)
    mine = (0.9, 1.0)
    returns = lambda_returns(cut.rewards, cut.goes_on, values, *mine)
    untouched = lambda_returns(free.rewards, free.goes_on, values, *mine)
    assert learned.worst == pytest.approx(-1.3 / (1 - 0.9))
    assert (returns[doubtful] < untouched[doubtful]).all()
    ended = free.rewards[doubtful] + 0.9 * learned.worst
    torch.testing.assert_close(returns[doubtful], ended)
    safe = ~doubtful.flip(0).cumsum(0).flip(0).bool()  # nothing doubtful from there on
    torch.testing.assert_close(returns[safe], untouched[safe])


@pytest.mark.slow
def test_an_actor_does_not_go_where_its_model_is_not_to_be_believed():
    """Without doubt it goes right, where the reward is; in doubt it stays this side of it."""
    config = ImaginationConfig(
        batch=64, horizon=8, critic_first=0, start="fresh", actor_lr=6e-3, penalty=1.0
    )
    ends = {}
    for name, doubt in {
        "trusting": no_doubt(-1.0, 1.0),
        "penalised": Doubt(20.0, torch.inf, -1.0, 1.0),
        "ended": Doubt(0.0, 0.02, -1.0, 1.0),
    }.items():
        world = Right(bias=(-0.5, 0.0, 0.5), doubtful_from=0.3, growing=True)
        learned = Imagination(world, config, doubt)
        replay = places(wide=0.2)
        for _ in range(100):
            learned.update(replay)
        z = torch.zeros(1, 1)
        for _ in range(12):
            z = z + 0.5 * learned.actor.mean_action(z)
        ends[name] = float(z)
    assert ends["trusting"] > 0.8
    assert ends["penalised"] < 0.45 and ends["ended"] < 0.45, ends


def test_belief_falls_from_the_limit_to_twice_the_limit():
    spread = torch.tensor([0.0, 0.1, 0.125, 0.2, 5.0], requires_grad=True)
    belief = Doubt(1.0, 0.1, 0.0, 1.0).belief(spread)
    torch.testing.assert_close(belief, torch.tensor([1.0, 1.0, 0.75, 0.0, 0.0]))
    (slope,) = torch.autograd.grad(belief.sum(), spread)
    assert slope[2] == pytest.approx(-10)
    assert (Doubt(1.0, torch.inf, 0.0, 1.0).belief(spread) == 1).all()
    assert (Doubt(1.0, 0.0, 0.0, 1.0).belief(spread) == torch.tensor([1.0, 0, 0, 0, 0])).all()


def test_disagreement_is_the_members_deviation():
    after = torch.randn(5, 7, 3, generator=torch.Generator().manual_seed(0))
    wanted = after.var(0).mean(-1).sqrt()
    torch.testing.assert_close(disagreement(after), wanted)
    same = torch.ones(4, 2, 3, requires_grad=True)
    disagreement(same).sum().backward()
    assert same.grad is not None and same.grad.isfinite().all()


@pytest.fixture(scope="module")
def joint():
    """A model of the real kind with a continuation head, and states of its own."""
    model = tiny(continuation=True)
    replay = Replay(60, 12, 2, latent=32)
    random = torch.Generator().manual_seed(3)
    for _ in range(3):
        seen = torch.randn(13, 12, generator=random)
        replay.add(seen, torch.rand(12, 2, generator=random) * 2 - 1, torch.ones(12))
    replay.refresh(lambda features: model.encode(features.float()))
    return model, replay


@pytest.mark.parametrize("gradient", ["dynamics", "reinforce"])
def test_the_model_is_left_as_it_was_and_only_the_actor_moves(joint, gradient):
    model, replay = joint
    model.train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    modes = [module.training for module in model.modules()]
    config = ImaginationConfig(batch=8, horizon=3, critic_first=1, gradient=gradient)
    learned = Imagination(model, config, Doubt(0.5, 0.2, 0.0, 1.0))
    first = {name: value.clone() for name, value in learned.actor.state_dict().items()}
    learned.update(replay)
    for name, value in learned.actor.state_dict().items():
        assert torch.equal(value, first[name])  # the critic learns first
    logs = learned.update(replay)
    moved = [not torch.equal(v, first[k]) for k, v in learned.actor.state_dict().items()]
    assert any(moved) and all(map(torch.isfinite, logs.values()))
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name])
    assert [module.training for module in model.modules()] == modes
    assert all(p.requires_grad and p.grad is None for p in model.parameters())


def test_the_first_actor_is_the_prior_or_a_new_one(joint):
    model, _ = joint
    z = torch.rand(5, 32)
    for start, same in (("prior", True), ("fresh", False)):
        learned = Imagination(model, ImaginationConfig(start=start), Doubt(0, 1.0, 0.0, 1.0))
        assert torch.equal(learned.actor.mean_action(z), model.prior.mean_action(z)) is same


def test_the_fast_form_of_the_networks_dreams_the_same(joint):
    """In updates the MLPs take another way; a dream and its gradient must not tell."""
    from foresight.training import imagination as module

    model, replay = joint
    starts = replay.states[:8]
    found = []
    for quick in (True, False):
        learned = Imagination(model, ImaginationConfig(horizon=3), Doubt(0.5, torch.inf, 0.0, 1.0))
        learned.actor.train(quick)
        learned.noise.manual_seed(1)
        if quick:
            with module._still(model):
                dream = learned.dream(starts)
        else:
            dream = learned.dream(starts)
        dream.rewards.sum().backward()
        grads = [p.grad.clone() for p in learned.actor.parameters()]
        found.append((dream.states.detach(), dream.rewards.detach(), grads))
    torch.testing.assert_close(found[0][0], found[1][0], atol=2e-3, rtol=0)
    torch.testing.assert_close(found[0][1], found[1][1], atol=2e-3, rtol=0)
    for one, other in zip(found[0][2], found[1][2], strict=True):
        torch.testing.assert_close(one, other, atol=2e-3, rtol=2e-2)


def test_an_empty_replay_ends_in_a_sentence(joint):
    model, _ = joint
    learned = Imagination(model, ImaginationConfig(), Doubt(0, 1.0, 0.0, 1.0))
    with pytest.raises(ForesightError, match=r"0 decisions.*collect episodes first"):
        learned.update(Replay(4, 12, 2, latent=32))


def test_numbers_that_are_not_finite_end_in_a_sentence():
    learned = Imagination(Line(), SMALL, no_doubt())
    with torch.no_grad():
        next(learned.actor.parameters()).fill_(torch.nan)
    with pytest.raises(ForesightError, match="Imagined returns reached nan at dream update 0"):
        learned.update(places())
    learned = Imagination(Line(), SMALL, no_doubt())
    before = {name: value.clone() for name, value in learned.actor.state_dict().items()}
    for parameter in learned.critic.parameters():
        parameter.register_hook(lambda grad: grad * torch.nan)
    with pytest.raises(ForesightError, match="are not finite: lower the rates"):
        learned.update(places())
    for name, value in learned.actor.state_dict().items():
        assert torch.equal(value, before[name])  # nothing broken is stepped to


def test_values_that_explode_end_in_a_sentence():
    class Endless(Line):
        def reward_of(self, z, action):
            return 1e6 * super().reward_of(z, action)

    learned = Imagination(Endless(), SMALL, no_doubt())
    with pytest.raises(ForesightError, match=r"Imagined returns reached .*e\+06.* data allows"):
        learned.update(places())


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"horizon": 0}, "A horizon of 0"),
        ({"batch": 0}, "A batch of 0"),
        ({"mixture": 1.5}, "A mixture of 1.5"),
        ({"quantile": -0.1}, "A quantile of -0.1"),
        ({"penalty": -1.0}, "A penalty of -1"),
        ({"discount": 1.0}, "A discount of 1.0"),
    ],
)
def test_settings_that_cannot_be_are_refused(changes, words):
    with pytest.raises(ForesightError, match=words):
        ImaginationConfig(**changes)

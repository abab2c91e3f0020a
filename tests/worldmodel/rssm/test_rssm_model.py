"""The RSSM: sizes, draws, gradients through them, windows beside steps, and what is kept."""

from __future__ import annotations

import pytest
import torch

from foresight.core.checkpoint import load
from foresight.core.errors import ForesightError
from foresight.perception.senses import FlatRobot
from foresight.worldmodel.heads.scalar import TwoHot, symexp
from foresight.worldmodel.rssm.agent import ReducedDreamer, config_of
from foresight.worldmodel.rssm.config import LARGEST, RSSMSizes
from foresight.worldmodel.rssm.model import UNIMIX, drawn, log_probabilities

TINY = RSSMSizes(deter=8, groups=3, classes=4, hidden=8, bins=11)


def robot(inputs: int, actions: int) -> FlatRobot:
    return FlatRobot(inputs=inputs, action_low=(-1.0,) * actions, action_high=(1.0,) * actions)


def agent(inputs=5, actions=2, sizes=TINY) -> ReducedDreamer:
    torch.manual_seed(0)
    return ReducedDreamer(config_of(robot(inputs, actions), sizes)).eval()


@pytest.mark.parametrize(
    ("inputs", "representation", "count"),
    [(24, "r2", 921_147), (24, "reconstruction", 924_627), (192, "reconstruction", 967_803)],
)
def test_it_has_at_most_a_million_parameters(inputs, representation, count):
    model = agent(inputs, 6, RSSMSizes(representation))
    assert model.parameter_count == count <= LARGEST == 1_000_000
    heads = (*model.actor.parameters(), *model.critic.parameters())
    assert model.parameter_count == sum(p.numel() for p in (*model.model_parameters, *heads))


def test_a_larger_one_is_refused():
    with pytest.raises(ForesightError, match="where 1,000,000 are allowed: lower hidden"):
        agent(24, 6, RSSMSizes(hidden=256))
    with pytest.raises(ForesightError, match="choose r2 or reconstruction"):
        RSSMSizes("pixels")


def test_no_latent_is_ever_sure_and_draws_follow_the_odds():
    odds = log_probabilities(torch.tensor([[100.0, 0.0, 0.0, 0.0], [0.0, 1.0, 2.0, 3.0]])).exp()
    assert odds[0].tolist() == pytest.approx([1 - 0.75 * UNIMIX] + 3 * [UNIMIX / 4], abs=1e-6)
    chance = torch.rand(20_000, 2, generator=torch.Generator().manual_seed(0))
    index = drawn(odds.log().expand(20_000, 2, 4), chance)
    counted = torch.nn.functional.one_hot(index, 4).float().mean(0)
    torch.testing.assert_close(counted, odds, atol=0.01, rtol=0)


def test_gradients_pass_straight_through_a_draw():
    rssm = agent().rssm
    raw = torch.randn(6, 3, 4, requires_grad=True)
    odds, deter, chance = log_probabilities(raw), torch.zeros(6, 8), torch.rand(6, 3)
    with_gradient = rssm.features(deter, odds, chance)
    torch.testing.assert_close(with_gradient, rssm.features(deter, odds.detach(), chance))
    weight = torch.randn(8)
    (found,) = torch.autograd.grad((with_gradient[:, 8:] @ weight).sum(), raw, retain_graph=True)
    mean = (odds.exp().flatten(1) @ rssm.code @ weight).sum()
    (expected,) = torch.autograd.grad(mean, raw)
    torch.testing.assert_close(found, expected)


def test_windows_are_what_steps_give_and_the_unknown_is_foretold():
    model = agent()
    inputs, actions = torch.randn(2, 4, 5), torch.rand(2, 3, 2) * 2 - 1
    chance = torch.rand(2, 4, 3)
    known = torch.ones(2, 4, dtype=torch.bool)
    known[1, 3] = False
    path = model.rssm.observe(model.embedding(inputs), actions, known, chance)
    features, deter = model.rssm.start(2), torch.zeros(2, 8)
    for step in range(4):
        if step:
            deter = model.rssm.advance(features, actions[:, step - 1])
        prior = model.rssm.prior(deter)
        posterior = model.rssm.posterior(deter, model.embedding(inputs[:, step]))
        torch.testing.assert_close(path.prior[:, step], prior)
        torch.testing.assert_close(path.posterior[0, step], posterior[0])
        if step == 3:
            posterior = torch.stack([posterior[0], prior[1]])
        features = model.rssm.features(deter, posterior, chance[:, step])
        torch.testing.assert_close(path.features[:, step], features)


def test_two_hot_heads_begin_at_nothing_and_code_what_they_are_told():
    model = agent(sizes=RSSMSizes(hidden=16))
    assert model.critic(torch.randn(3, 192)).abs().max() < 1e-4
    assert model.reward(torch.randn(3, 192)).abs().max() < 1e-4
    code: TwoHot = model.critic.code
    told = torch.tensor([-30.0, 0.0, 0.37, 900.0])
    for number, weights in zip(told, code.encode(told), strict=True):
        below = int(weights.nonzero()[0])
        ends = code.centres[below : below + 2]
        place = torch.sign(number) * torch.log(1 + number.abs())
        share = (place - ends[0]) / (ends[1] - ends[0])
        assert weights.count_nonzero() <= 2 and float(weights.sum()) == pytest.approx(1)
        assert float(weights[below]) == pytest.approx(1 - float(share), abs=1e-3)
        assert float(symexp(weights @ code.centres)) == pytest.approx(float(number), abs=1e-2)


def test_what_is_kept_is_loaded(tmp_path):
    model = agent()
    model.save(tmp_path)
    found = load(tmp_path)
    assert isinstance(found, ReducedDreamer) and found.config == model.config
    for name, value in model.state_dict().items():
        assert torch.equal(found.state_dict()[name], value)

"""The judge on models whose worth is known, beside naive formulas."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from foresight.core.errors import ForesightError
from foresight.diagnostics.actions import Recorded
from foresight.diagnostics.drift import Track
from foresight.diagnostics.judge import (
    CENTRED,
    L1,
    LINEAR,
    MEAN,
    MODEL,
    NONE,
    PERSISTENCE,
    RAW,
    SHUFFLED,
    Judgement,
    JudgePlan,
    judge,
    scores,
)
from foresight.diagnostics.linear import LinearConfig, LinearModel
from foresight.evaluation.results import make_result
from foresight.evaluation.statistics import paired_difference, ratio_interval

HORIZONS = (1, 2, 5)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


class World:
    """x' = A x + B a, seen through a matrix: 4 tokens of 6 numbers."""

    def __init__(self) -> None:
        g = generator()
        turn, _ = torch.linalg.qr(torch.randn(5, 5, generator=g))
        self.turn, self.push = 0.97 * turn, torch.randn(5, 2, generator=g)
        self.shown = torch.randn(24, 5, generator=g)

    def see(self, x):
        return (x @ self.shown.T).unflatten(-1, (4, 6)) + 2.0

    def step(self, x, action):
        return x @ self.turn.T + action @ self.push.T

    def track(self, seed, steps=30):
        g = generator(seed)
        x, actions = torch.randn(5, generator=g), torch.randn(steps, 2, generator=g)
        states = []
        for action in actions:
            states.append(x)
            x = self.step(x, action)
        inputs = torch.stack(states)
        return Track(inputs, self.see(inputs), actions)


class Model:
    """The world itself, told of actions or not."""

    limit = None

    def __init__(self, world, hears=True):
        self.world, self.hears = world, hears

    def open_loop(self, start, controls):
        states, x = [], start
        for action in controls.unbind(1):
            x = self.world.step(x, action if self.hears else 0 * action)
            states.append(self.world.see(x))
        return torch.stack(states, 1)

    def closed_loop(self, seen, controls):
        raise AssertionError


class Still(Model):
    def open_loop(self, start, controls):
        return self.world.see(start)[:, None].expand(-1, controls.shape[1], -1, -1)


@pytest.fixture(scope="module")
def world():
    return World()


@pytest.fixture(scope="module")
def tracks(world):
    return [world.track(seed) for seed in range(16)]


def judged(model, tracks, linear=None, mean=None, **plan):
    centre = torch.cat([one.features for one in tracks[4:]]).mean(0) if mean is None else mean
    recorded = [Recorded(one.controls) for one in tracks]
    plan = JudgePlan(HORIZONS, **({"starts": 6} | plan))
    return judge(model, tracks[:4], range(4), recorded, centre, linear, 0.1, plan)


def test_persistence_has_no_skill_and_a_perfect_model_all(world, tracks):
    perfect, still = judged(Model(world), tracks), judged(Still(world), tracks)
    for h in HORIZONS:
        assert perfect.skill(MODEL, h).mean == pytest.approx(1, abs=1e-5)
        assert still.skill(MODEL, h).mean == 0
        assert perfect.skill(PERSISTENCE, h).mean == still.skill(PERSISTENCE, h).mean == 0
        assert (still.skill(MODEL, h).low, still.skill(MODEL, h).high) == (0, 0)
        assert perfect.mean(CENTRED, MEAN, h).mean == 0
        assert perfect.skill(MEAN, h).mean < 1


def test_a_model_that_ignores_actions_is_the_same_under_others(world, tracks):
    deaf, hearing = judged(Model(world, hears=False), tracks), judged(Model(world), tracks)
    for h in HORIZONS:
        for other in (SHUFFLED, NONE):
            found = deaf.difference(MODEL, other, h)
            assert (found.mean, found.low, found.high) == (0, 0, 0)
            assert hearing.difference(MODEL, other, h).low > 0.01


def test_numbers_equal_a_naive_loop(world, tracks):
    found = judged(Model(world, hears=False), tracks, starts=100, batch=3, first=2)
    centre = torch.cat([one.features for one in tracks[4:]]).mean(0)
    for h in HORIZONS:
        ours, still, off = [], [], []
        for one in tracks[:4]:
            each = {"ours": [], "still": [], "off": []}
            for start in range(2, 30 - 5):
                x = one.inputs[start]
                for _ in range(h):
                    x = x @ world.turn.T
                guess, now, truth = world.see(x), one.features[start], one.features[start + h]
                for token in range(4):
                    a, b = guess[token] - centre[token], truth[token] - centre[token]
                    c = now[token] - centre[token]
                    each["ours"].append(float(a @ b / a.norm() / b.norm()))
                    each["still"].append(float(c @ b / c.norm() / b.norm()))
                each["off"].append(float((guess - truth).abs().mean()))
            ours.append(np.mean(each["ours"]))
            still.append(np.mean(each["still"]))
            off.append(np.mean(each["off"]))
        np.testing.assert_allclose(found.column(CENTRED, MODEL, h), ours, atol=1e-5)
        np.testing.assert_allclose(found.column(L1, MODEL, h), off, rtol=1e-4)
        skill = 1 - (1 - np.mean(ours)) / (1 - np.mean(still))
        assert found.skill(MODEL, h).mean == pytest.approx(skill, abs=1e-5)
        ratio = ratio_interval([1 - v for v in ours], [1 - v for v in still])
        assert found.skill(MODEL, h).low == pytest.approx(1 - ratio.high, abs=1e-4)
        pair = paired_difference(ours, still)
        assert found.difference(MODEL, PERSISTENCE, h).low == pytest.approx(pair.low, abs=1e-4)


def test_raw_cosine_is_not_centred():
    guess, truth = torch.tensor([[[3.0, 4.0]]]), torch.tensor([[[4.0, 3.0]]])
    found = scores(guess, truth, torch.tensor([[3.0, 3.0]]))
    assert float(found[RAW]) == pytest.approx(24 / 25)
    assert float(found[CENTRED]) == pytest.approx(0)
    with pytest.raises(ForesightError, match="not finite"):
        scores(guess * torch.nan, truth, torch.zeros(1, 2))


def test_the_linear_model_knows_a_linear_world_and_kills_what_does_not(world, tracks):
    linear = LinearModel.fit(tracks[4:], HORIZONS, 2, LinearConfig(5, 2, 400))
    found = judged(Model(world, hears=False), tracks, linear, linear.mean)
    for h in HORIZONS:
        assert found.skill(LINEAR, h).mean > 0.999
        assert found.skill("linear-no-actions", h).mean < 0.99
        assert found.mean(CENTRED, "linear-axes", h).mean > 0.999
    verdict = found.verdict("Deaf")
    assert verdict.startswith("KILL: Deaf is not above ridge regression 5 steps (0.5 s) ahead")
    assert found.above_linear().high < 0


def test_the_verdict_of_one_that_is_above(world, tracks):
    values = {
        (CENTRED, name): torch.tensor([[level], [level + 0.1], [level + 0.2]])
        for name, level in ((MODEL, 0.6), (LINEAR, 0.5), (PERSISTENCE, 0.1))
    }
    assert "is above ridge" in Judgement([5], 0.1, values).verdict()
    assert "not compared" in Judgement([1], 0.1, values).verdict()
    one = {key: value[:1] for key, value in values.items()}
    assert "one episode alone" in Judgement([5], 0.1, one).verdict()


def test_the_linear_model_is_ridge_regression(world, tracks):
    """Its weights beside the normal equations of naively built inputs."""
    config = LinearConfig(components=3, past=2, sample=400)
    linear = LinearModel.fit(tracks[4:], (2,), 2, config)
    rows, targets, present = [], [], []
    for one in tracks[4:]:
        z = (one.features.flatten(1) - linear.mean.flatten()) @ linear.axes / linear.scale
        for t in range(len(z) - 2):
            past = max(t - 1, 0)
            parts = [torch.ones(1), z[t], z[past], one.controls[past]]
            rows.append(torch.cat([*parts, one.controls[t], one.controls[t + 1]]))
            targets.append(z[t + 2])
            present.append(z[t])
    x, y, now = (torch.stack(part).double() for part in (rows, targets, present))
    share = (now * y).sum(0) / now.square().sum(0)
    gram = x.T @ x
    ridge = linear.penalty[2, True] * gram.diagonal().mean() * torch.eye(len(gram))
    weights = torch.linalg.solve(gram + ridge, x.T @ (y - share * now))
    expected = x @ weights + share * now
    torch.testing.assert_close(
        (x.float() @ linear.weights[2, True]).double(), expected, atol=1e-3, rtol=1e-3
    )
    flat = one.features.flatten(1) - linear.mean.flatten()
    guess = linear.predict(one, torch.tensor([27]), 2, one.controls[None, 27:29])
    inside = expected[-1].float() * linear.scale @ linear.axes.T
    rest = flat[27] - flat[27] @ linear.axes @ linear.axes.T
    wanted = inside + linear.keep[2] * rest + linear.mean.flatten()
    torch.testing.assert_close(guess.flatten(), wanted, atol=1e-3, rtol=1e-3)


def test_what_a_bottleneck_loses_is_its_ceiling(world, tracks):
    narrow = [Track(one.inputs, one.features.clone(), one.controls, one.features) for one in tracks]
    for one in narrow:
        one.features[..., 3:] = 2.0
    found = judged(Model(world), narrow, mean=torch.full((4, 6), 2.0))
    kept = [
        torch.nn.functional.cosine_similarity(one.features - 2, one.whole - 2, dim=-1)
        for one in narrow[:4]
    ]
    begins = torch.linspace(0, 24, 6).round().long()
    expected = [float(part[begins + 5].mean()) for part in kept]
    np.testing.assert_allclose(found.column(CENTRED, "ceiling", 5), expected, atol=1e-5)
    assert found.mean(CENTRED, MODEL, 5).mean == pytest.approx(1, abs=1e-5)  # judged on the whole


def test_short_episodes_and_bad_requests(world, tracks):
    short = [world.track(40, 4), *tracks[1:]]
    found = judged(Model(world), short)
    assert len(found.column(CENTRED, MODEL, 2)) == 4 and len(found.column(CENTRED, MODEL, 5)) == 3
    assert make_result("judge", {}, "none", found.rows()).summary["cos-centred/h5"]["n"] == 3
    assert found.summary()["minus-shuffled-actions/h2"]["n"] == 4
    with pytest.raises(ForesightError, match="long enough"):
        judged(Model(world), [world.track(40, 4)] * 6, first=3)
    with pytest.raises(ForesightError, match="cannot be fitted"):
        LinearModel.fit(tracks[:3], (40,), 2)
    still = [Track(one.inputs, torch.ones(30, 4, 6), one.controls) for one in tracks]
    assert judged(Model(world), still, mean=torch.zeros(4, 6)).skill(MODEL, 1) is None

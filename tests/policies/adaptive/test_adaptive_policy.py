"""Agents that adapt their model: the usual one as long as nothing was learned."""

from __future__ import annotations

import pickle
from dataclasses import replace

import numpy as np
import pytest
import torch

from foresight.core.errors import ForesightError
from foresight.envs.interface import spec_of
from foresight.envs.registry import EnvConfig
from foresight.planning.config import MPCConfig
from foresight.planning.fast import FastDynamics
from foresight.planning.mpc import MPCPlanner
from foresight.planning.solvers import imagine
from foresight.policies.adaptive.config import (
    FinetuneConfig,
    GainConfig,
    GradientConfig,
    RLSConfig,
)
from foresight.policies.adaptive.correction import Transition
from foresight.policies.adaptive.dynamics import AdaptedDynamics, Adapting
from foresight.policies.adaptive.policy import AdaptiveFactory, correction_of
from foresight.policies.mpc import MPCFactory
from foresight.rollout import run_episodes
from foresight.worldmodel.config import WorldModelConfig
from foresight.worldmodel.dynamics.config import DynamicsConfig
from joint_worlds import tiny

SEARCH = MPCConfig(members=2, samples=8, elites=4, iterations=1, prior_samples=2)
STRONG = (
    RLSConfig(ridge=0.1, gated=False),
    GradientConfig(rate=0.1, gated=False),
    GainConfig(ridge=1e-3, gated=False),
    FinetuneConfig(rate=1e-2, gated=False),
)
"""What changes something within a few decisions."""
HOLD = 2


@pytest.fixture(scope="module")
def checkpoint(tiny_learned):
    return str(tiny_learned / "model")


def acted(factory, parallel=1, seeds=(0, 1), steps=8, **body):
    """Actions and notes of episodes."""
    env = EnvConfig.of("point_mass-easy", size=32, quality="smooth", **body)
    episodes = list(run_episodes(env, factory, list(seeds), parallel=parallel, max_steps=steps))
    return np.stack([e.action for e in episodes]), [e.info["notes"] for e in episodes]


def test_without_an_adaptation_it_is_the_usual_agent_to_the_bit(checkpoint):
    usual, _ = acted(MPCFactory(checkpoint, SEARCH))
    watched, notes = acted(AdaptiveFactory(checkpoint, SEARCH, measured=True))
    np.testing.assert_array_equal(watched, usual)
    assert usual.any()
    assert set(notes[0]) == {"model_error1", "model_error1_late"}  # four decisions: no five ahead


@pytest.mark.parametrize("adaptation", STRONG, ids=lambda each: type(each).__name__)
def test_the_first_decision_is_the_usual_agents_and_every_episode_begins_anew(
    checkpoint, adaptation
):
    usual, _ = acted(MPCFactory(checkpoint, SEARCH), gear=0.3)
    factory = AdaptiveFactory(checkpoint, SEARCH, adaptation=adaptation)
    factory = pickle.loads(pickle.dumps(factory))
    adapted, notes = acted(factory, gear=0.3)
    np.testing.assert_array_equal(adapted[:, :HOLD], usual[:, :HOLD])
    assert not np.array_equal(adapted, usual)
    alone, _ = acted(factory, seeds=[1], gear=0.3)
    np.testing.assert_array_equal(alone[0], adapted[1])
    assert notes[0]["adapt_ms"] > 0


def test_what_is_kept_changes_the_next_episode(checkpoint):
    kept = AdaptiveFactory(
        checkpoint, SEARCH, adaptation=RLSConfig(ridge=0.1, gated=False, keep=True)
    )
    together, _ = acted(kept, steps=4)
    alone, _ = acted(kept, seeds=[1], steps=4)
    np.testing.assert_array_equal(together[0], acted(kept, seeds=[0], steps=4)[0][0])
    assert not np.array_equal(together[1], alone[0])


def test_robots_side_by_side_keep_what_they_learn_apart(checkpoint, monkeypatch):
    """The search draws one stream for all, so the prior acts, which what is learned changes."""
    # In bfloat16 two pictures are rounded otherwise than one, which the weak ridge magnifies. A
    # model learned with such eyes looks through exact ones here.
    monkeypatch.setattr("foresight.perception.encoder.default_dtype", lambda device: torch.float32)
    monkeypatch.setattr(WorldModelConfig, "expect_encoder", lambda *told: None)
    search = replace(SEARCH, prior_weight=1e9, prior_samples=0)
    gain = AdaptiveFactory(checkpoint, search, adaptation=GainConfig(ridge=1e-3, gated=False))
    alone, apart = acted(gain, 1, gear=0.3)
    together, notes = acted(gain, 2, gear=0.3)
    np.testing.assert_allclose(together, alone, atol=1e-3)
    for one, other in zip(notes, apart, strict=True):
        assert one["actuator_gain"] == pytest.approx(other["actuator_gain"], abs=1e-2)
    assert notes[0]["actuator_gain"] != pytest.approx(notes[1]["actuator_gain"], abs=1e-3)


@pytest.mark.parametrize("adaptation", STRONG, ids=lambda each: type(each).__name__)
@pytest.mark.parametrize("members", [1, 3])
def test_the_fast_form_imagines_as_the_plain_one(adaptation, members):
    """Of a residual MLP the planner's own form runs step by step, or as one with other actions."""
    model = tiny(dynamics=DynamicsConfig("mlp", members=members, hidden=32, layers=2))
    tuned = isinstance(adaptation, FinetuneConfig)  # made anew in the machine's own dtype
    config = MPCConfig(members=members)
    correction = correction_of(model, config, adaptation)
    exact = torch.float32
    adapted = MPCPlanner.of(model, config, dtype=exact, adapting=Adapting(correction)).dynamics
    assert isinstance(adapted, AdaptedDynamics) and isinstance(adapted.dynamics, FastDynamics)
    random = torch.Generator().manual_seed(0)
    for _ in range(3):
        z, action, after = (
            torch.randn(1, n, generator=random) for n in (model.latent, 2, model.latent)
        )
        correction.learn(Transition(z, action, z, after, torch.ones(1)))
    actions = torch.rand(1, 5, 3, 2, generator=random) * 2 - 1
    with torch.no_grad():
        found, usual = (imagine(each, z, actions) for each in (adapted, adapted.dynamics))
        plain = correction.dynamics if tuned else model.dynamics
        expected = imagine(AdaptedDynamics(plain, _without_base(correction)), z, actions)
    close = 0.1 if tuned else 1e-4
    torch.testing.assert_close(found, expected, atol=close, rtol=close)
    assert float((found - usual).abs().max()) > 20 * close or tuned
    assert not torch.allclose(found, usual, atol=1e-3)


def _without_base(correction):
    held = correction.frozen()
    held.base = lambda dynamics: dynamics
    return held


def test_a_dynamics_that_remembers_is_refused():
    model = tiny(dynamics=DynamicsConfig("transformer", members=1, hidden=32, layers=1))
    with pytest.raises(ForesightError, match="of kind transformer remembers more than a state"):
        correction_of(model, SEARCH, RLSConfig())


def test_what_is_not_finite_is_not_learned_from(checkpoint):
    env = EnvConfig.of("point_mass-easy", size=32, quality="smooth").make()
    factory = AdaptiveFactory(checkpoint, SEARCH, adaptation=RLSConfig())
    policy = factory(spec_of(env))
    z = torch.full((1, policy.model.latent), 1 / 8)
    seen = policy._transition(z, torch.zeros(1, 2), torch.full_like(z, torch.nan))
    assert seen.usable.tolist() == [0.0]
    policy.correction.learn(seen)
    assert not policy.correction.fit.weights.any()
    env.close()

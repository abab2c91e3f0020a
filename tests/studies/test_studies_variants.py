"""Variants differ in what they say they differ in, and act in a protocol's own rhythm."""

from __future__ import annotations

import pickle
from dataclasses import replace

import numpy as np
import pytest
import torch

from foresight import load_encoder
from foresight.core.errors import ForesightError
from foresight.envs.dmc.environment import DMControlEnv
from foresight.envs.registry import EnvConfig
from foresight.planning.config import TRUST, MPCConfig
from foresight.planning.mpc import MPCPlanner
from foresight.planning.objective import Disagreement, GoalDistance, ImaginedReturn
from foresight.policies.mpc import MPCFactory, MPCPolicy, hold_of
from foresight.rollout import run_episodes
from foresight.training.run_data import load_replay
from foresight.worldmodel.model import WorldModel
from studies.goals import NearestGoal
from studies.latent_stats import grounds_of
from studies.variants import (
    VARIANTS,
    Reflex,
    VariantFactory,
    imaginer_of,
    variant,
)

pytestmark = pytest.mark.slow

SEARCH = MPCConfig(samples=12, elites=4, iterations=2, prior_samples=4)


@pytest.fixture(scope="module")
def parts(tiny_learned):
    model = WorldModel.load(tiny_learned / "model")
    return model, grounds_of(load_replay(model, tiny_learned / "model"), best=5)


def kinds(imaginer):
    return [type(term) for term in imaginer.terms]


def test_each_variant_is_made_of_what_it_says(parts):
    model, grounds = parts
    made = {n: imaginer_of(v, model, SEARCH, grounds, 0.7) for n, v in VARIANTS.items()}
    return_terms = [ImaginedReturn]
    assert kinds(made["FULL"]) == [*return_terms, Disagreement]
    assert made["FULL"].terms[-1].weight == pytest.approx(0.7)
    assert made["CAUTIOUS"].terms[-1].weight == pytest.approx(1.4)
    torch.testing.assert_close(made["FULL"].terms[-1].units.matrix, grounds.whiten)
    assert kinds(made["NO_UNCERT"]) == kinds(made["SINGLE"]) == return_terms
    assert (
        made["SINGLE"].model.config.dynamics.members == 1
        and made["FULL"].model.config.dynamics.members == 3
    )
    assert kinds(made["NO_REWARD"]) == [NearestGoal] and kinds(made["MEAN_GOAL"]) == [GoalDistance]
    # The prior follows the values: it would smuggle the reward in.
    assert made["NO_REWARD"].solver.prior_samples == 0
    trusts = {name: each.trust for name, each in made.items()}
    assert trusts["FULL"] == TRUST > 0
    assert trusts["NO_REWARD"] == trusts["NO_TRUST"] == trusts["NO_PROPOSALS"] == 0
    assert made["NO_REWARD_FAR"].solver.horizon == 8
    assert isinstance(made["PRIOR"], Reflex)


def test_without_a_penalty_it_is_the_plain_agent(parts):
    model, grounds = parts
    features = torch.randn(2, model.features if hasattr(model, "features") else 64 * 4)
    plain = MPCPlanner.of(model, SEARCH, seed=3).act(features)
    same = imaginer_of(variant("NO_UNCERT"), model, SEARCH, grounds, 0.0, seed=3).act(features)
    torch.testing.assert_close(plain, same)


def test_the_reflex_does_the_priors_mean(parts):
    model, grounds = parts
    features = torch.randn(3, model.features if hasattr(model, "features") else 64 * 4)
    reflex = imaginer_of(variant("PRIOR"), model, SEARCH, grounds, 0.0)
    with torch.no_grad():
        expected = torch.tanh(model.prior(model.encode(features))[0])
    torch.testing.assert_close(reflex.act(features), expected, atol=0.03, rtol=0.03)  # bfloat16


def play(make, protocol, steps):
    env = EnvConfig("point_mass-easy", protocol, size=32, quality="smooth")
    (episode,) = run_episodes(env, make, [5], max_steps=steps)
    return episode.action


def robot(protocol):
    return DMControlEnv("point_mass-easy", protocol, None).interface


def test_it_decides_in_the_rhythm_of_the_protocol(parts, tiny_learned, tmp_path):
    model, grounds = parts
    encoder = load_encoder(model.config.encoder)
    assert (hold_of(model, robot("seed200")), hold_of(model, robot("dmc1000"))) == (2, 1)
    grounds.save(tmp_path / "grounds.safetensors")
    factory = VariantFactory(
        str(tiny_learned / "model"),
        str(tmp_path / "grounds.safetensors"),
        variant("NO_UNCERT"),
        search=SEARCH,
        encoder=model.config.encoder,
    )
    factory = pickle.loads(pickle.dumps(factory))
    held = play(factory, "seed200", 6)
    np.testing.assert_array_equal(held[0::2], held[1::2])
    np.testing.assert_array_equal(
        held, play(lambda spec: MPCPolicy(model, encoder, SEARCH), "seed200", 6)
    )
    # An environment that repeats actions itself is asked for a new one every time: same physics.
    quick = play(factory, "dmc1000", 3)
    np.testing.assert_allclose(quick, held[0::2], atol=1e-5)
    plain = MPCFactory(str(tiny_learned / "model"), SEARCH)
    np.testing.assert_array_equal(play(plain, "dmc1000", 3), quick)


def test_what_does_not_fit_is_refused(parts, tmp_path):
    model, grounds = parts
    with pytest.raises(ForesightError, match="Unknown variant 'HALF'"):
        variant("HALF")
    odd = WorldModel(replace(model.config, spec=replace(model.config.spec, fps=50 / 3)))
    with pytest.raises(ForesightError, match=r"decides 16.6667 times a second.*of 25 decisions"):
        hold_of(odd, robot("dmc1000"))
    assert hold_of(odd, robot("seed200")) == 3
    odd.save(tmp_path)
    with pytest.raises(ForesightError, match="whole multiple"):
        MPCFactory(str(tmp_path))(robot("dmc1000"))
    with pytest.raises(ForesightError, match="trained on encoder"):
        imaginer = imaginer_of(variant("PRIOR"), model, SEARCH, grounds, 0.0)
        MPCPolicy(model, load_encoder("random-small"), imaginer.config)

"""Laws: their features, files, the behaviour that follows them, and the search that finds them."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from foresight.envs.behaviours import make_behaviour
from foresight.envs.dm_env import DMControlEnv
from foresight.envs.feedback import FeedbackLaw, StateFeatures, known_laws, load_law
from foresight.envs.feedback.evolve import EvolveConfig, _Field, _Scale, _slope, evolve
from foresight.envs.feedback.law import respond
from foresight.envs.protocol import Protocol
from foresight.errors import ForesightError

TINY = EvolveConfig(
    "cheetah-run", generations=12, pairs=6, starts=4, measured=2, every=4, noise=0.1, lr=0.05
)
ORIGIN = {"config": {"repeat": 2}}


@pytest.mark.parametrize("task", ["cheetah-run", "walker-walk", "finger-spin", "cup-catch"])
def test_features_turn_with_the_body_and_do_not_run_away(task):
    env = DMControlEnv(task, "seed200", None)
    env.reset(seed=1)
    features = StateFeatures(env.physics.model.ptr)
    state = env.physics.get_state()
    values = features(state)
    assert values.shape == (features.size,) == features(state[None])[0].shape
    moved = state.copy()
    names = [env.physics.model.joint(j).name for j in range(env.physics.model.njnt)]
    if "rootx" in names:
        moved[names.index("rootx")] += 100
    if "rooty" in names:
        moved[names.index("rooty")] += 2 * np.pi
    np.testing.assert_allclose(features(moved), values, atol=1e-9)


def test_a_law_is_saved_and_read_and_a_damaged_one_refused(tmp_path):
    law = FeedbackLaw(
        "some", np.ones(3), np.full(3, 2.0), [(np.eye(3)[:, :2], np.zeros(2))], ORIGIN
    )
    law.save(tmp_path / "law.json")
    again = FeedbackLaw.load(tmp_path / "law.json")
    features = np.array([[1.0, 3.0, 0.0], [100.0, 1.0, 0.0]])
    np.testing.assert_allclose(again.act(features), [[0, 1], [1, 0]])
    assert again.origin == ORIGIN
    raw = json.loads((tmp_path / "law.json").read_text())
    layer = {"weight": [[1.0]], "bias": [1.0]}
    for damage in ({"layers": [layer]}, {"layers": []}, {"mean": None}, {"layers": "x"}):
        (tmp_path / "law.json").write_text(json.dumps(raw | damage))
        with pytest.raises(ForesightError, match="no feedback law"):
            FeedbackLaw.load(tmp_path / "law.json")
    with pytest.raises(ForesightError, match=r"No feedback law is known for reacher-easy.*cheetah"):
        load_law("reacher-easy")


@pytest.mark.parametrize("task", known_laws())
def test_a_bundled_law_does_what_its_file_says(task):
    law = load_law(task)
    env = DMControlEnv(task, "seed200", None)  # which holds no action by itself
    returns = []
    for seed in range(8, 16):
        expert = make_behaviour("expert", task)
        observation, _ = env.reset(seed=seed)
        expert.reset(env, seed)
        total = 0.0
        for _ in range(env.protocol.decisions):
            observation, reward, *_ = env.step(expert.act(env, observation))
            total += reward
        returns.append(total)
    # dm_control itself, on seeds that the search has not seen.
    assert np.mean(returns) > 0.7 * law.origin["return"]


def test_a_batch_of_laws_earns_what_dm_control_pays():
    field = _Field(TINY)
    law = load_law("cheetah-run")
    starts = field.starts(range(7, 9))
    flat = np.concatenate([part.ravel() for layer in law.layers for part in layer])
    laws, scale = np.repeat(flat[None], 2, axis=0), (law.mean, law.deviation)
    returns, extra, seen = field.run(laws, scale, starts)
    assert (extra == 0).all()
    assert seen.shape == (200, field.features.size)
    env = DMControlEnv("cheetah-run", Protocol("seed200", 200, 2), None)
    for number, seed in enumerate((7, 8)):
        expert = make_behaviour("expert", "cheetah-run")
        observation, _ = env.reset(seed=seed)
        total = 0.0
        for _ in range(5):  # later, contacts let the smallest difference grow
            observation, reward, *_ = env.step(expert.act(env, observation))
            total += reward
        short = _Field(replace(TINY, protocol="seed200"))
        short.protocol = Protocol("seed200", 10, 2)
        early = short.run(laws, scale, starts)[0]
        assert early[number] == pytest.approx(total, rel=1e-3, abs=1e-4)
    assert returns.min() > 20


def test_a_hidden_layer_and_shaping():
    random = np.random.default_rng(0)
    layers = [(random.normal(size=(3, 4)), random.normal(size=4)), (np.eye(4)[:, :2], np.ones(2))]
    x = random.normal(size=(5, 3))
    by_hand = np.clip(np.tanh(x @ layers[0][0] + layers[0][1])[:, :2] + 1, -1, 1)
    np.testing.assert_allclose(respond(layers, x), by_hand)
    config = EvolveConfig(
        "cup-catch", hidden=5, shaped=1.0, generations=2, pairs=2, starts=2, measured=2, every=1
    )
    law = evolve(config)
    assert [weight.shape for weight, _ in law.layers] == [(8, 5), (5, 2)]
    field = _Field(config)
    laws = np.zeros((2, 8 * 5 + 5 + 5 * 2 + 2))
    _, extra, _ = field.run(laws, (law.mean, law.deviation), field.starts(range(3, 5)))
    # At rest the ball hangs below the cup: a tenth of some .3 m in each of 200 steps.
    assert (extra < -2).all() and (extra > -12).all()


def test_the_running_scale_is_that_of_everything_seen():
    scale, random = _Scale(3), np.random.default_rng(0)
    parts = [random.normal(5, 2, (n, 3)) for n in (100, 7, 300)]
    for part in parts:
        scale.see(part)
    everything = np.concatenate(parts)
    np.testing.assert_allclose(scale.now[0], everything.mean(0), atol=1e-3)
    np.testing.assert_allclose(scale.now[1], everything.std(0), rtol=1e-2)


def test_the_slope_points_to_higher_returns():
    random = np.random.default_rng(0)
    noise = random.standard_normal((400, 4, 2))
    uphill = random.standard_normal((4, 2))
    worth = np.tensordot(np.concatenate([noise, -noise]), uphill, axes=2)
    slope = _slope(np.exp(worth), noise)  # only ranks count
    cosine = (slope * uphill).sum() / np.linalg.norm(slope) / np.linalg.norm(uphill)
    assert cosine > 0.95


def test_a_search_finds_a_law_better_than_none_and_the_same_each_time():
    law = evolve(TINY)
    assert law.origin["return"] > 5  # nothing earns .1
    assert law.origin["environment_steps"] == 12 * 12 * 200
    np.testing.assert_array_equal(evolve(TINY).layers[0][0], law.layers[0][0])
    with pytest.raises(ForesightError, match="0 generations"):
        evolve(replace(TINY, generations=0))

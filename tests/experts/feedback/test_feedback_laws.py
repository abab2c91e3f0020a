"""Laws: their features, files, and the behaviour that follows them."""

from __future__ import annotations

import json

import numpy as np
import pytest

from bodies import named, play
from foresight.core.errors import ForesightError
from foresight.envs.dmc.environment import DMControlEnv
from foresight.envs.dmc.protocol import get_protocol
from foresight.experts.feedback import FeedbackLaw, StateFeatures, known_laws, load_law
from foresight.experts.feedback.law import respond

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
    np.testing.assert_allclose(again.act(features), np.tanh([[0, 1], [5, 0]]))
    assert again.origin == ORIGIN
    raw = json.loads((tmp_path / "law.json").read_text())
    layer = {"weight": [[1.0]], "bias": [1.0]}
    for damage in ({"layers": [layer]}, {"layers": []}, {"mean": None}, {"layers": "x"}):
        (tmp_path / "law.json").write_text(json.dumps(raw | damage))
        with pytest.raises(ForesightError, match="no feedback law"):
            FeedbackLaw.load(tmp_path / "law.json")
    with pytest.raises(ForesightError, match=r"No feedback law is known for reacher-easy.*walker"):
        load_law("reacher-easy")


@pytest.mark.parametrize("task", known_laws())
def test_a_bundled_law_does_what_its_file_says(task):
    law = load_law(task)
    # The episodes it was searched on; seed200 holds no action by itself.
    protocol = law.origin["config"].get("protocol", "seed200")
    steps = get_protocol(protocol).decisions
    expert = named("expert", task)
    returns = [play(expert, task, steps, seed, protocol)[1].sum() for seed in range(8, 16)]
    # dm_control itself, on seeds that the search has not seen.
    assert np.mean(returns) > 0.7 * law.origin["return"]


def test_a_law_is_a_small_network():
    random = np.random.default_rng(0)
    layers = [(random.normal(size=(3, 4)), random.normal(size=4)), (np.eye(4)[:, :2], np.ones(2))]
    x = random.normal(size=(5, 3))
    by_hand = np.tanh(np.maximum(x @ layers[0][0] + layers[0][1], 0)[:, :2] + 1)
    np.testing.assert_allclose(respond(layers, x), by_hand)

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from foresight.core.errors import ForesightError
from foresight.experts.feedback.law import FeedbackLaw
from studies.feedback.field import Field
from studies.feedback.reinforce import (
    FIRST_SEED,
    ReinforceConfig,
    _Copies,
    _layers,
    play,
    reinforce,
)

TINY = ReinforceConfig(
    "cartpole-swingup",
    steps=8_000,
    random=1_000,
    hidden=16,
    critic=32,
    batch=64,
    starts=8,
    measured=4,
    every=1_000,
)


def test_a_law_is_learned_measured_and_kept():
    law = reinforce(TINY)
    field = Field(TINY.task, TINY.protocol, TINY.repeat)
    tests = field.starts(range(FIRST_SEED + 8, FIRST_SEED + 12))
    assert law.origin["return"] == pytest.approx(play(field, law, tests).mean())
    assert law.origin["environment_steps"] <= TINY.steps + TINY.parallel * TINY.repeat
    # Chance earns some 1, and so does a law before it has learned anything.
    assert law.origin["return"] > 20


def test_settings_without_sense_are_refused():
    with pytest.raises(ForesightError, match="0 steps"):
        reinforce(replace(TINY, steps=0))


def test_the_kept_network_is_the_actors_mean(tmp_path):
    from stable_baselines3 import SAC

    field = Field("walker-walk", "seed200", 2)
    starts = field.starts(range(3))
    scale = np.full(field.features.size, 0.5), np.full(field.features.size, 2.0)
    copies = _Copies(replace(TINY, task="walker-walk", parallel=3), field, starts, scale)
    actor = SAC("MlpPolicy", copies, policy_kwargs={"net_arch": [8, 8]}, seed=1, device="cpu")
    FeedbackLaw("walker-walk", *scale, _layers(actor.policy.actor), {"config": {"repeat": 2}}).save(
        tmp_path / "law.json"
    )
    seen = copies.reset()
    wanted, _ = actor.predict(seen, deterministic=True)
    law = FeedbackLaw.load(tmp_path / "law.json")
    np.testing.assert_allclose(law.act(field.see(copies.scenes)), wanted, atol=1e-3)


def test_episodes_end_together_by_time_alone():
    field = Field("walker-walk", "seed200", 2)
    starts = field.starts(range(2))
    zero, one = np.zeros(field.features.size), np.ones(field.features.size)
    copies = _Copies(replace(TINY, task="walker-walk", parallel=2), field, starts, (zero, one))
    copies.reset()
    for number in range(100):
        seen, reward, over, notes = copies.step(np.zeros((2, 6), np.float32))
        assert over.all() == (number == 99) and reward.shape == (2,)
    assert notes[0]["TimeLimit.truncated"]
    assert not np.array_equal(notes[0]["terminal_observation"], seen[0])


def test_the_same_law_each_time_and_threads_are_given_back():
    before = torch.get_num_threads()
    short = replace(TINY, steps=600, random=400)
    one, other = reinforce(short), reinforce(short)
    assert torch.get_num_threads() == before
    np.testing.assert_array_equal(one.layers[0][0], other.layers[0][0])

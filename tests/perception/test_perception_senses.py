"""Flat numbers of an observation: the state as it is felt, or pooled tokens of its pictures."""

from __future__ import annotations

import numpy as np
import pytest

from foresight.core.errors import ForesightError
from foresight.core.observation import Observation
from foresight.core.spec import Axis, Spec
from foresight.envs.registry import EnvConfig
from foresight.perception.config import EncoderConfig
from foresight.perception.senses import Senses
from foresight.perception.stream import FeatureStream

SPEC = Spec({"front": (40, 40)}, (Axis("x"), Axis("y")), (Axis("a", None, -2.0, 3.0),), 10)


def seen(count: int) -> list[Observation]:
    random = np.random.default_rng(count)
    return [
        Observation({"front": random.integers(0, 256, (40, 40, 3), np.uint8)}, np.float32([i, 7]))
        for i in range(count)
    ]


def test_the_state_is_felt_and_nothing_is_rendered():
    senses = Senses()
    robot = senses.robot(SPEC)
    assert (robot.inputs, robot.actions, robot.action_low, robot.action_high) == (
        2, 1, (-2.0,), (3.0,),
    )  # fmt: skip
    assert senses.environment(EnvConfig("some/env", size=64)).cameras == ()
    assert senses.read(seen(3)).tolist() == [[0, 7], [1, 7], [2, 7]]


def test_pictures_become_what_streams_give(tiny_eyes):
    senses = Senses(tiny_eyes, "tubelet:grid=1")
    encoder, readout = EncoderConfig(tiny_eyes, "tubelet:grid=1").load()
    assert senses.robot(SPEC).inputs == encoder.dim
    assert senses.environment(EnvConfig("some/env")).size == encoder.image_size
    for _ in range(2):
        streams = [FeatureStream(encoder, readout) for _ in range(2)]
        for moment in (seen(2), seen(2)[::-1]):
            expected = [s.push(o.images["front"]) for s, o in zip(streams, moment, strict=True)]
            np.testing.assert_array_equal(senses.read(moment), expected)
        senses.reset()


def test_a_robot_without_a_state_needs_eyes():
    with pytest.raises(ForesightError, match="nobody looks: name an encoder"):
        Senses().robot(Spec(action=SPEC.action))

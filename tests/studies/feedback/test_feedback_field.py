from __future__ import annotations

import numpy as np
import pytest

from foresight.envs.dmc.environment import DMControlEnv
from foresight.envs.dmc.protocol import Protocol
from foresight.experts.rewards import rewarded_tasks
from studies.feedback.field import Field


@pytest.mark.parametrize("task", rewarded_tasks())
def test_a_batch_earns_what_dm_control_pays(task):
    field = Field(task, "seed200", 2)
    scenes = field.starts(range(7, 9))
    random = np.random.default_rng(0)
    actions = random.uniform(-1, 1, (5, 2, len(field.low)))  # contacts blow up differences later
    earned = np.zeros(2)
    for action in actions:
        scenes, paid, _ = field.step(scenes, action)
        earned += paid
    for number, seed in enumerate((7, 8)):
        env = DMControlEnv(task, Protocol("seed200", 200, 2), None)
        env.reset(seed=seed)
        total = 0.0
        for action in actions[:, number]:
            low, high = env.action_space.low, env.action_space.high
            total += float(env.step((low + 0.5 * (action + 1) * (high - low)).astype(float))[1])
        assert earned[number] == pytest.approx(total, rel=1e-3, abs=1e-4)
        state = np.concatenate([env.physics.data.qpos, env.physics.data.qvel])
        np.testing.assert_allclose(
            scenes.states[number, 1 : 1 + len(state)], state, rtol=1e-3, atol=1e-4
        )


def test_shaping_is_the_oracles():
    field = Field("cup-catch", "seed200", 2)
    scenes, total = field.starts(range(3, 5)), np.zeros(2)
    for _ in range(field.decisions):
        scenes, _, shaped = field.step(scenes, np.zeros((2, 2)))
        total += shaped
    # At rest the ball hangs below the cup: a tenth of some .3 m in each of 200 steps.
    assert (total < -2).all() and (total > -12).all()

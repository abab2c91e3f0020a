"""The rival that repeats a demonstration."""

import numpy as np
import pytest

from foresight.core.errors import ForesightError
from foresight.core.observation import Observation
from studies.replay import ReplayPolicy


def test_a_replay_repeats_actions_and_then_the_last_one():
    class Shown:
        actions = np.arange(6, dtype=np.float32).reshape(3, 2)
        source = "it"

    agent, blank = ReplayPolicy(lambda seed: Shown), Observation()
    for _ in range(2):
        agent.reset(blank, 1)
        found = np.stack([agent.act(blank) for _ in range(5)])
        np.testing.assert_array_equal(found, Shown.actions[[0, 1, 2, 2, 2]])
    Shown.actions = None
    with pytest.raises(ForesightError, match="holds no actions"):
        agent.reset(blank, 2)

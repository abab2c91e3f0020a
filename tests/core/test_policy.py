from collections.abc import Sequence

import numpy as np
import pytest

from foresight.core.observation import Observation
from foresight.core.policy import BatchPolicy, ChunkPolicy, Policy
from foresight.core.simulator import Privileged, Simulator


class Count(BatchPolicy):
    """Acts by the number of steps since the reset, and by the episode's seed."""

    def reset_batch(self, observations: Sequence[Observation], seeds: Sequence[int]) -> None:
        self.seeds, self.step = np.array(seeds), 0

    def act_batch(self, observations, active=None):
        self.step += 1
        return np.stack([self.seeds + self.step], 1).astype(np.float32)


def test_a_batch_policy_serves_one_robot_too():
    policy = Count()
    policy.reset(Observation(), 7)
    assert [float(policy.act(Observation())[0]) for _ in range(2)] == [8, 9]


def test_a_policy_has_to_act():
    with pytest.raises(TypeError):
        Policy()


def test_defaults_of_a_policy():
    class Still(Policy):
        def act(self, observation):
            return np.zeros(1, np.float32)

    policy = Still()
    policy.reset(Observation(), 0)
    assert policy.notes() == {}
    policy.close()
    assert not isinstance(policy, ChunkPolicy)
    assert not isinstance(policy, Privileged)
    assert not isinstance(policy, Simulator)

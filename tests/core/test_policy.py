from collections.abc import Sequence

import numpy as np
import pytest
import torch
from torch import nn

from foresight.core.checkpoint import load_weights, read_header, register_type, save_checkpoint
from foresight.core.errors import ForesightError
from foresight.core.observation import Observation
from foresight.core.policy import BatchPolicy, Policy, PredictsChunks
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
    assert not isinstance(policy, PredictsChunks)
    assert not isinstance(policy, Privileged)
    assert not isinstance(policy, Simulator)
    with pytest.raises(ForesightError, match=r"Still cannot be saved"):
        policy.save("anywhere")


class Linear(Policy):
    """The smallest policy that can be kept: an action that was learned."""

    def __init__(self, action) -> None:
        self.module = nn.Linear(1, len(action))
        with torch.no_grad():
            self.module.bias.copy_(torch.tensor(action))

    def act(self, observation):
        return self.module.bias.detach().numpy()

    def save(self, folder):
        save_checkpoint(folder, "test-linear", {"actions": 2}, self.module)

    @classmethod
    def restore(cls, folder):
        policy = cls([0.0] * read_header(folder).config["actions"])
        load_weights(policy.module, folder)
        return policy


class Other(Policy):
    def act(self, observation):
        return np.zeros(2, np.float32)


def test_a_policy_of_a_folder_and_of_the_hub(tmp_path, monkeypatch):
    register_type("test-linear", f"{__name__}:Linear.restore", noun="a test policy")
    policy = Linear([0.5, -1.0])
    policy.save(tmp_path / "kept")
    again = Linear.from_pretrained(tmp_path / "kept")
    np.testing.assert_array_equal(again.act(Observation()), [0.5, -1.0])
    with pytest.raises(ForesightError, match="holds a Linear and a Other was expected"):
        Other.from_pretrained(tmp_path / "kept")

    sent = {}

    def pushed(folder, hub_id, private, message):
        sent[hub_id] = (read_header(folder).type, private, message)
        return "https://somewhere"

    monkeypatch.setattr("foresight.core.hub.push", pushed)
    assert policy.push_to_hub("somebody/arm") == "https://somewhere"
    assert sent == {"somebody/arm": ("test-linear", True, "Upload")}

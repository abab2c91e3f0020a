"""Mistakes of the trial: the same orientation in other numbers, and other beginnings."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from foresight.core.observation import Observation
from foresight.core.spec import Axis, Spec
from foresight.envs.libero.placement import SETTLE
from foresight.envs.libero.simulation import STILL
from foresight.perception.config import EncoderConfig
from foresight.policies.chunk.config import ChunkConfig, NetworkConfig
from foresight.policies.chunk.network import ChunkNetwork
from foresight.policies.chunk.policy import ChunkActing, ChunkPolicy, save_network
from foresight.worldmodel.config import CameraInput
from studies.mistakes.acting import EulerFactory, Unplaced, Unsettled, euler_angles


def test_euler_angles_are_of_the_same_orientation():
    turns = Rotation.random(50, random_state=0)
    for turn in turns:
        assert euler_angles(turn.as_rotvec()) == pytest.approx(turn.as_euler("xyz"), abs=1e-9)
    assert np.array_equal(euler_angles(np.zeros(3)), np.zeros(3))
    down = np.array([3.0, 0.4, 0.1])  # a hand that points down: nothing alike is left
    assert np.abs(euler_angles(down) - down).max() > 0.1


def test_the_hands_orientation_alone_is_felt_otherwise(tmp_path, tiny_eyes):
    encoder, readout = EncoderConfig(tiny_eyes, "tubelet:stride=0").load()
    spec = Spec(
        {"front": (32, 32)},
        tuple(Axis(f"s{i}") for i in range(8)),
        (Axis("x", None, -1, 1),),
        20,
    )
    net = NetworkConfig(chunk=4, width=8, hidden=16, layers=1, state_history=3)
    config = ChunkConfig(
        (CameraInput("front", 16, encoder.dim),),
        1,
        8,
        net,
        spec=spec,
        encoder=tiny_eyes,
        readout="tubelet:stride=0",
        encoder_fingerprint=encoder.fingerprint,
        readout_fingerprint=readout.fingerprint,
        dataset_fingerprint="none",
    )
    save_network(ChunkNetwork(config), tmp_path)
    acting = ChunkActing(execute=2)
    right = ChunkPolicy.load(tmp_path, acting)
    wrong = EulerFactory(str(tmp_path), acting)(spec)
    states = np.random.default_rng(0).uniform(0.1, 1, (4, 8)).astype(np.float32)
    picture = np.zeros((32, 32, 3), np.uint8)
    moments = [Observation({"front": picture}, state) for state in states]
    for policy in (right, wrong):
        policy.reset(moments[0], 0)
        policy.watch(moments[0])
        policy.watch(moments[1])
    seen, felt = (policy.inputs(moments[2])["state"][0] for policy in (right, wrong))
    kept = [0, 1, 2, 6, 7]
    assert torch.equal(seen[:, kept], felt[:, kept])
    for t in range(3):  # what was only watched, too
        expected = Rotation.from_rotvec(seen[t, 3:6]).as_euler("xyz")
        assert felt[t, 3:6].numpy() == pytest.approx(expected, abs=1e-5)
    assert np.array_equal(moments[2].state, states[2])


class FakeSimulation:
    """Writes down what is done to it."""

    def __init__(self):
        self.told = []

    def restart(self):
        self.told.append(("restart", np.random.randint(1000)))

    def step(self, action):
        self.told.append(("step", tuple(action)))

    def set_row(self, row):
        self.told.append(("row", float(row[0])))


class FakeLibero:
    """As much of the environment as a beginning needs."""

    def __init__(self):
        self.simulation = FakeSimulation()
        self.beginning = SimpleNamespace(rows=np.arange(5.0)[:, None])
        self.unwrapped = self
        self.count = 0

    def reset(self, seed):
        self.simulation.told = [("reset", seed)]
        return {"state": "before"}, {"seed": seed, "state": "before"}

    def get_state(self):
        return f"after {len(self.simulation.told)}"

    def set_state(self, state):
        return {"state": state}


def began(start, seed):
    env = FakeLibero()
    before = np.random.get_state()[1].copy()
    observation, info = start(env, seed)
    assert np.array_equal(np.random.get_state()[1], before)
    assert observation["state"] == info["state"] == f"after {len(env.simulation.told)}"
    assert info["seed"] == seed
    return env.simulation.told


def test_without_settling_the_benchmarks_state_is_the_first_moment():
    told = began(Unsettled(), 7)
    assert [what for what, _ in told] == ["reset", "restart", "row"]
    assert told[-1] == ("row", 2.0)  # the state that seed 7 has of five
    assert began(Unsettled(), 8)[1] == told[1]  # fixtures stand where the benchmark has them


def test_without_states_the_seed_places_things_and_they_settle():
    told = began(Unplaced(), 7)
    assert [what for what, _ in told] == ["reset", "restart"] + ["step"] * SETTLE
    assert {action for what, action in told if what == "step"} == {tuple(STILL)}
    assert began(Unplaced(), 7) == told
    assert began(Unplaced(), 8)[1] != told[1]

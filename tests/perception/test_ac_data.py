"""What V-JEPA 2-AC is told of a robot's dataset."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from foresight.core.errors import ForesightError
from foresight.core.spec import Axis, Spec
from foresight.data.dataset import Dataset
from foresight.perception.ac import represent
from foresight.perception.ac_data import ACRobot, held_states, read_ac_episodes, robot_of
from foresight.perception.encoder import load_encoder
from foresight.perception.pose import integrate_pose

RECORDED = Path(__file__).parents[1] / "data" / "lerobot" / "two-cameras"
NAMES = ("x", "y", "z", "a", "b", "c", "grip")


def test_a_pose_and_the_actions_that_lead_along_it():
    state = np.random.default_rng(0).normal(0, 0.3, (9, 8)).astype(np.float32)
    order = ("grip", "x", "other", "y", "z", "a", "b", "c")
    spec = Spec(state=tuple(map(Axis, order)))
    robot = ACRobot("front", 2, NAMES)
    actions, states = robot.controls(np.zeros((9, 3), np.float32), state, spec)
    assert actions.shape == states.shape == (5, 7) and robot.names(spec) == NAMES
    np.testing.assert_array_equal(states[:, 0], state[::2, 1])
    np.testing.assert_array_equal(states[:, 6], state[::2, 0])
    torch.testing.assert_close(integrate_pose(states[:-1], actions[:-1]), states[1:])
    assert actions[-1].abs().max() < 1e-6


def test_own_numbers_are_standardised_and_filled_up():
    dataset = Dataset.open(RECORDED)
    robot = robot_of(dataset, "front", train=[0, 2])
    assert robot.every == 8 and robot.width == 6  # 30 frames a second
    rows = np.concatenate([np.arange(*dataset.offsets[i : i + 2]) for i in (0, 2)])
    taken = np.asarray(dataset.column("action"), np.float64)
    np.testing.assert_allclose(robot.action_mean, taken[rows].mean(0), rtol=1e-5)
    np.testing.assert_allclose(robot.action_scale, taken[rows].std(0), rtol=1e-4)
    short = ACRobot("front", 2, (), (1.0, 0.0), (2.0, 1.0), (0.5,), (0.1,))
    told = np.arange(6, dtype=np.float32).reshape(3, 2)
    actions, states = short.controls(told, np.float32([[0.5], [0.6], [0.7]]), dataset.spec)
    torch.testing.assert_close(actions, torch.tensor([[0.0, 2.0], [1.5, 5.0]]))
    torch.testing.assert_close(states, torch.tensor([[0.0, 0.0], [2.0, 0.0]]))
    assert torch.equal(held_states(states[None])[0], states[:1].expand(2, -1))


def test_tokens_are_those_of_the_kept_frames_alone(tmp_path):
    dataset, encoder = Dataset.open(RECORDED), load_encoder("random-small")
    robot = robot_of(dataset, "wrist", every=9)
    data = read_ac_episodes(dataset, encoder, robot, tmp_path, episodes=[1])
    kept = -(-dataset.lengths[1] // 9)
    frames = encoder.prepare(dataset.frames(1, "wrist"))[::9]
    expected = represent(encoder, frames[None])[0].view(kept, -1)
    found = torch.from_numpy(np.array(data.cache.episode(1), np.float32))
    torch.testing.assert_close(found, expected, atol=2e-3, rtol=1e-3)  # half precision
    assert list(data.cache.done) == [False, True, *[False] * 4]
    assert len(data.actions) == len(data.states) == data.cache.offsets[-1]


def test_bad_requests(tmp_path):
    dataset = Dataset.open(RECORDED)
    with pytest.raises(ForesightError, match="name seven numbers"):
        robot_of(dataset, "front", pose=("joint_0.pos",))
    with pytest.raises(ForesightError, match="no camera 'top'"):
        robot = ACRobot("top", 1, NAMES)
        read_ac_episodes(dataset, load_encoder("random-small"), robot, tmp_path)

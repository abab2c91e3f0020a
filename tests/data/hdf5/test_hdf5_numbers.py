"""Quaternions as axis-angles, the timing of rows, names in the order of their numbers."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from demo_files import Robot
from foresight.data.hdf5.files import by_number
from foresight.data.hdf5.layout import instruction
from foresight.data.hdf5.rotation import axis_angle
from foresight.data.hdf5.timing import measure


def test_axis_angles_are_the_same_rotations():
    quaternions = np.random.default_rng(0).normal(size=(500, 4))
    quaternions /= np.linalg.norm(quaternions, axis=1, keepdims=True)
    found = axis_angle(quaternions)
    again = Rotation.from_rotvec(found)
    assert (again * Rotation.from_quat(quaternions).inv()).magnitude().max() < 1e-7
    # As robosuite's formula has it: the angle is 2 acos(w), beyond half a turn for w < 0.
    angles = 2 * np.arccos(quaternions[:, 3])
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), angles, atol=1e-6)


def test_axis_angles_at_their_ends():
    ends = np.array([[0, 0, 0, 1.0], [0, 0, 0, -1.0], [1e-9, 0, 0, 1.0], [0, 1, 0, 0.0]])
    np.testing.assert_allclose(
        axis_angle(ends), [[0, 0, 0], [0, 0, 0], [2e-9, 0, 0], [0, np.pi, 0]], atol=1e-15
    )


def test_no_jump_where_a_gripper_points_down():
    half = np.linspace(np.pi - 0.05, np.pi + 0.05, 50) / 2
    quaternions = np.stack([np.sin(half), 0 * half, 0 * half, np.cos(half)], 1)
    assert np.abs(np.diff(axis_angle(quaternions), axis=0)).max() < 0.01


@pytest.mark.parametrize("noise", [0.0, 2e-3])
def test_timing_is_measured(noise):
    robot = Robot(30)
    joints = robot.joints + np.random.default_rng(1).normal(0, noise, robot.joints.shape)
    after = measure(robot.states[:-1], joints[1:])
    before = measure(robot.states[:-1], joints[:-1])
    assert after is not None and after.observed == "after" and after.later < after.same
    assert before is not None and before.observed == "before" and before.same < before.later


def test_timing_that_cannot_be_told():
    robot = Robot(30)
    still = np.repeat(robot.joints[:1], 30, 0)
    states = np.concatenate([np.zeros((30, 1)), still], 1)
    assert measure(states, still) is None, "an arm that stands still"
    assert measure(robot.states[:-1], robot.joints[:-1] + 1) is None, "joints of something else"
    assert measure(robot.states[:-1, :5], robot.joints[:-1]) is None, "a state without the arm"
    assert measure(robot.states[:1], robot.joints[:1]) is None


def test_names_in_the_order_of_their_numbers():
    names = ["demo_10", "demo_2", "demo_0", "ep", "demo_1b", "demo_1"]
    assert sorted(names, key=by_number) == [
        "demo_0", "demo_1", "demo_1b", "demo_2", "demo_10", "ep"
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("noted", "text"),
    [
        ("open it", "open it"),
        ('"open it"', "open it"),
        (list("open it"), "open it"),
        (["open", "it"], "open it"),
        (None, ""),
        (3, ""),
        ([], ""),
    ],
)
def test_instructions_as_files_hold_them(noted, text):
    assert instruction(noted) == text

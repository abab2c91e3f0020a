"""Poses against scipy's rotations."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from foresight.perception.pose import (
    euler_to_matrix,
    integrate_pose,
    matrix_to_euler,
    pose_difference,
)

angle = st.floats(-3.1, 3.1)
pose = st.lists(angle, min_size=7, max_size=7).map(
    lambda values: torch.tensor(values, dtype=torch.float64)
)


@given(pose, pose)
@settings(max_examples=50, deadline=None)
def test_integration_equals_scipy(state, action):
    turned = Rotation.from_euler("xyz", action[3:6]) * Rotation.from_euler("xyz", state[3:6])
    after = integrate_pose(state, action)
    np.testing.assert_allclose(after[:3], state[:3] + action[:3])
    np.testing.assert_allclose(after[6], state[6] + action[6])
    mine = Rotation.from_euler("xyz", after[3:6])
    assert (mine.inv() * turned).magnitude() < 1e-7
    assert abs(after[4]) <= np.pi / 2 + 1e-9


@given(pose, pose)
@settings(max_examples=50, deadline=None)
def test_difference_undoes_integration(state, action):
    again = integrate_pose(state, pose_difference(state, integrate_pose(state, action)))
    whole = integrate_pose(state, action)
    torch.testing.assert_close(again[[0, 1, 2, 6]], whole[[0, 1, 2, 6]])
    torch.testing.assert_close(
        euler_to_matrix(again[3:6]), euler_to_matrix(whole[3:6]), atol=1e-6, rtol=0
    )


def test_angles_equal_scipy_away_from_the_lock():
    angles = torch.rand(200, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    angles = (2 * angles - 1) * torch.tensor([3.1, 1.5, 3.1])
    matrix = Rotation.from_euler("xyz", angles).as_matrix()
    np.testing.assert_allclose(euler_to_matrix(angles), matrix, atol=1e-12)
    np.testing.assert_allclose(matrix_to_euler(torch.from_numpy(matrix)), angles, atol=1e-9)


@pytest.mark.parametrize("b", [np.pi / 2, -np.pi / 2])
def test_gimbal_lock_keeps_the_rotation(b):
    matrix = torch.from_numpy(Rotation.from_euler("xyz", [0.4, b, -0.9]).as_matrix())
    angles = matrix_to_euler(matrix)
    assert angles[2] == 0 or abs(angles[1] - b) < 1e-6
    torch.testing.assert_close(euler_to_matrix(angles), matrix, atol=1e-7, rtol=0)


def test_shapes_broadcast_over_samples():
    out = integrate_pose(torch.zeros(2, 1, 7), torch.ones(2, 5, 7))
    assert out.shape == (2, 5, 7)

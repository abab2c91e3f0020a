"""Robot poses: 7 numbers, and the 7-number actions that lead from one to the next.

A pose is (x, y, z, three Euler angles, gripper): metres, radians about the fixed axes x, then y,
then z, and the gripper's opening. An action is the change of position, the Euler angles of
``R_next @ R.T`` and the change of the gripper (V-JEPA 2-AC, arXiv 2506.09985, section 3).
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

WIDTH = 7


def integrate_pose(
    pose: Float[Tensor, "*batch 7"], action: Float[Tensor, "*batch 7"]
) -> Float[Tensor, "*batch 7"]:
    """The pose after an action: position and gripper add up, ``R_next = R(action) @ R``.

    Runs on the tensors' device; shapes broadcast.
    """
    turned = euler_to_matrix(action[..., 3:6]) @ euler_to_matrix(pose[..., 3:6])
    moved = pose + action
    return torch.cat([moved[..., :3], matrix_to_euler(turned), moved[..., 6:]], dim=-1)


def pose_difference(
    pose: Float[Tensor, "*batch 7"], following: Float[Tensor, "*batch 7"]
) -> Float[Tensor, "*batch 7"]:
    """The action that leads from ``pose`` to ``following``; undoes `integrate_pose`."""
    turn = euler_to_matrix(following[..., 3:6]) @ euler_to_matrix(pose[..., 3:6]).mT
    moved = following - pose
    return torch.cat([moved[..., :3], matrix_to_euler(turn), moved[..., 6:]], dim=-1)


def euler_to_matrix(angles: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 3 3"]:
    """``Rz(c) @ Ry(b) @ Rx(a)`` of angles (a, b, c) in radians."""
    (ca, cb, cc), (sa, sb, sc) = angles.cos().unbind(-1), angles.sin().unbind(-1)
    rows = (
        (cc * cb, cc * sb * sa - sc * ca, cc * sb * ca + sc * sa),
        (sc * cb, sc * sb * sa + cc * ca, sc * sb * ca - cc * sa),
        (-sb, cb * sa, cb * ca),
    )
    return torch.stack([torch.stack(row, dim=-1) for row in rows], dim=-2)


def matrix_to_euler(matrix: Float[Tensor, "*batch 3 3"]) -> Float[Tensor, "*batch 3"]:
    """Angles (a, b, c) in radians, b within ±π/2.

    Where b is ±π/2 only one combination of a and c is defined: c is set to zero there.
    """
    flat = torch.hypot(matrix[..., 0, 0], matrix[..., 1, 0])  # |cos b|
    b = torch.atan2(-matrix[..., 2, 0], flat)
    locked = flat < 10 * torch.finfo(matrix.dtype).eps
    a = torch.atan2(
        torch.where(locked, -matrix[..., 1, 2], matrix[..., 2, 1]),
        torch.where(locked, matrix[..., 1, 1], matrix[..., 2, 2]),
    )
    c = torch.atan2(matrix[..., 1, 0], matrix[..., 0, 0])
    return torch.stack([a, b, torch.where(locked, 0.0, c)], dim=-1)

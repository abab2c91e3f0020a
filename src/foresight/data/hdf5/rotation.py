"""Orientations as three numbers."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float64


def axis_angle(quaternions: Float64[np.ndarray, "T 4"]) -> Float64[np.ndarray, "T 3"]:
    """Axis times angle, in radians, of quaternions (x, y, z, w) of any length but zero.

    The angle is ``2 acos(w)``, from 0 to 2π, as robosuite has it for LIBERO's ``ee_ori``: a
    gripper that points down is near π, and there no jump is made. That q and -q are one rotation
    is left to what is learned from it, see ``--chunk.rotations``.
    """
    vector, scalar = quaternions[:, :3], quaternions[:, 3]
    length = np.linalg.norm(vector, axis=1)
    angle = 2 * np.arctan2(length, scalar)
    safe = np.where(length > 0, length, 1.0)
    found: np.ndarray = vector * (angle / safe)[:, None]
    return found

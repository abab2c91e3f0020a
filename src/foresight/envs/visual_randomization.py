"""Looks: colours, light and camera of a model, varied from episode to episode.

A perception that is trained on one look of a simulator knows that look only. Nothing that a task
means changes: bodies keep their shape and place, and a camera moves only so far that what it
showed stays in view.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import mujoco

TINT = (0.4, 1.6)
"""Range of a material's colour factors (red, green, blue each)."""
BRIGHTNESS = (0.7, 1.1)
"""Range of a further factor that all materials, and all geoms of their own colour, share."""
LIGHT = (0.5, 1.3)
"""Range of the lights' brightness, as a factor."""
LIGHT_SHIFT = 0.35
"""Largest turn of a light's direction, as a part of its length."""
CAMERA_SHIFT = 0.06
"""Largest move of a camera along its own axes, as a part of its distance from its body."""
CAMERA_TURN = 0.06
"""Largest turn of a camera about each of its axes, in radians."""
ZOOM = (0.9, 1.1)
"""Range of the field of view, as a factor."""

_FIELDS = (
    "mat_rgba",
    "geom_rgba",
    "light_diffuse",
    "light_dir",
    "cam_pos",
    "cam_pos0",
    "cam_poscom0",
    "cam_quat",
    "cam_mat0",
    "cam_fovy",
)


class Looks:
    """Draws looks for one model, always starting from its own.

    Args:
        model: the native model; `restore` leaves it as it was.
    """

    def __init__(self, model: mujoco.MjModel) -> None:
        self._model: Any = model
        self._own = {name: getattr(model, name).copy() for name in _FIELDS}

    def draw(self, seed: int) -> None:
        """Give the model the look of a seed."""
        self.restore()
        random = np.random.default_rng([seed, 7])
        model = self._model
        for colours in (model.mat_rgba, model.geom_rgba):
            factors = random.uniform(*TINT, (len(colours), 3)) * random.uniform(*BRIGHTNESS)
            colours[:, :3] = np.clip(colours[:, :3] * factors, 0.02, 1.0)
        model.light_diffuse[:] = np.clip(model.light_diffuse * random.uniform(*LIGHT), 0, 1)
        shift = random.uniform(-LIGHT_SHIFT, LIGHT_SHIFT, model.light_dir.shape)
        turned = model.light_dir + shift
        model.light_dir[:] = turned / np.linalg.norm(turned, axis=1, keepdims=True)
        self._move_cameras(random)

    def restore(self) -> None:
        """Give the model its own look back."""
        for name, value in self._own.items():
            getattr(self._model, name)[:] = value

    def _move_cameras(self, random: np.random.Generator) -> None:
        import mujoco

        model = self._model
        for camera in range(model.ncam):
            step = CAMERA_SHIFT * float(np.linalg.norm(model.cam_pos[camera]))
            move = random.uniform(-step, step, 3) * (1, 1, 0.5)
            frame = np.zeros(9)
            mujoco.mju_quat2Mat(frame, model.cam_quat[camera])
            model.cam_pos[camera] += frame.reshape(3, 3) @ move
            # What tracking cameras use is in the world's axes, not in the body's.
            first = model.cam_mat0[camera].reshape(3, 3)
            for field in (model.cam_pos0, model.cam_poscom0):
                field[camera] += first @ move
            turn, turned = np.zeros(4), np.zeros(4)
            angles = random.uniform(-CAMERA_TURN, CAMERA_TURN, 3)
            mujoco.mju_euler2Quat(turn, angles, "xyz")
            mujoco.mju_mulQuat(turned, model.cam_quat[camera], turn)
            model.cam_quat[camera] = turned
            # Tracking cameras keep their first orientation in the world: turn that too.
            spin = np.zeros(9)
            mujoco.mju_quat2Mat(spin, turn)
            model.cam_mat0[camera] = (first @ spin.reshape(3, 3)).ravel()
            model.cam_fovy[camera] *= random.uniform(*ZOOM)

"""Rendered scenes with one moving object: what an eye should tell about any object at all.

An object of one of ten shapes stands on a floor and glides in one of eight directions. Its place,
size, turn and colour, the floor, the wall behind and the light change from clip to clip. All
shapes live in one MuJoCo model that is compiled once: a clip moves, scales and colours the geoms
of its shape, where the renderer reads them, and hides the others. No physics runs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float, UInt8

from foresight.core.errors import ForesightError
from foresight.envs.dmc.scene_model import CAMERA, CLASSES, FLOORS, SHAPES, WALLS, scene_xml
from foresight.envs.gl import choose_gl
from foresight.envs.render import FrameRenderer, RenderSettings

if TYPE_CHECKING:
    import mujoco

choose_gl(required=False)  # before anything imports MuJoCo

DIRECTIONS = (
    "right",
    "right and away",
    "away",
    "left and away",
    "left",
    "left and near",
    "near",
    "right and near",
)
"""Directions of motion on the floor, as the camera sees them, in turns of 45 degrees."""

LABELS = ("object x", "object y", "object size", "object depth", "object class", "direction")
"""Columns of the labels. Place and depth are those in the last frame, the present one."""

SIZES = (0.4, 0.75)
"""Half the extent of the smallest and the largest object, in metres."""
SPEEDS = (0.07, 0.12)
"""Metres from one frame to the next."""
REACH = 0.5
"""The middle of a path lies within this share of the picture, so that all of it can be seen."""
MOST_TURN = 0.45
"""Radians that an object may be turned out of the camera's view: a T stays a T."""


@dataclass(frozen=True)
class Scene:
    """One clip before it is rendered.

    Attributes:
        shape: number of its class in `CLASSES`.
        direction: number in `DIRECTIONS`.
        size: half its extent in metres.
        turn: about the vertical axis, in radians.
        places: the object's middle in each frame, metres, ``[T, 3]``.
        colours: RGB of object, floor and wall, ``[3, 3]``.
        floor: which of the floors lies there.
        wall: which of the walls stands there.
        light: RGB-equal strength of the lamp, and of the light from everywhere.
        ray: unit vector along which the lamp shines, ``[3]``.
    """

    shape: int
    direction: int
    size: float
    turn: float
    places: np.ndarray
    colours: np.ndarray
    floor: int
    wall: int
    light: tuple[float, float]
    ray: np.ndarray


def draw_scene(seed: int, index: int, frames: int) -> Scene:
    """Scene ``index`` of the set ``seed``: the same whatever else is drawn, and by whom.

    Args:
        seed: of the whole set.
        index: number of the scene, from 0.
        frames: length of the clip.

    Raises:
        ForesightError: no frames, or a negative seed or index.
    """
    if frames < 1 or seed < 0 or index < 0:
        raise ForesightError(
            f"A scene of {frames} frames with seed {seed} and index {index} is not possible: ask "
            "for at least 1 frame, and numbers from 0."
        )
    random = np.random.default_rng([seed, index])
    size = random.uniform(*SIZES)
    shape = int(random.integers(len(CLASSES)))
    direction = int(random.integers(len(DIRECTIONS)))
    angle = direction * np.pi / 4
    step = random.uniform(*SPEEDS) * np.array([np.cos(angle), np.sin(angle), 0.0])
    # The middle of the path is drawn in the picture, so that every part of it is used alike.
    middle = unproject(random.uniform(-REACH, REACH, 2), SHAPES[shape].height * size)
    ray = np.array([random.uniform(-0.7, 0.7), random.uniform(-0.2, 0.9), -1.0])
    return Scene(
        shape=shape,
        direction=direction,
        size=float(size),
        turn=float(random.uniform(-MOST_TURN, MOST_TURN)),
        places=middle + np.arange(frames)[:, None] * step - step * (frames - 1) / 2,
        colours=_colours(random),
        floor=int(random.integers(len(FLOORS))),
        wall=int(random.integers(len(WALLS))),
        light=(float(random.uniform(0.5, 0.85)), float(random.uniform(0.2, 0.4))),
        ray=ray / np.linalg.norm(ray),
    )


def scene_labels(scene: Scene) -> Float[np.ndarray, "6"]:
    """What a probe should find, in the order of `LABELS`."""
    x, y, depth = project(scene.places[-1])
    return np.array([x, y, scene.size, depth, scene.shape, scene.direction], np.float64)


def project(point: Float[np.ndarray, "3"]) -> tuple[float, float, float]:
    """Where the camera sees a point.

    Args:
        point: metres, ``[3]``.

    Returns:
        x to the right and y upwards, from -1 to 1 over the picture, and the distance along the
        camera's axis in metres.
    """
    x, y, depth = CAMERA.axes @ (np.asarray(point) - CAMERA.position)
    half = -depth * np.tan(np.radians(CAMERA.fovy) / 2)
    return float(x / half), float(y / half), float(-depth)


def unproject(picture: Float[np.ndarray, "2"], height: float) -> Float[np.ndarray, "3"]:
    """The point at ``height`` above the floor that the camera sees at ``picture``.

    Args:
        picture: x to the right and y upwards, from -1 to 1, as `project` gives them.
        height: metres.

    Returns:
        The point in metres, ``[3]``.
    """
    slope = np.tan(np.radians(CAMERA.fovy) / 2)
    ray = CAMERA.axes.T @ np.array([picture[0] * slope, picture[1] * slope, -1.0])
    return CAMERA.position - ray * (CAMERA.position[2] - height) / ray[2]


class SceneRenderer:
    """Renders scenes; lives in the process that made it.

    Args:
        size: height and width of the frames in pixels.

    Raises:
        ForesightError: the size is not possible, or this machine cannot render.
    """

    def __init__(self, size: int = 64) -> None:
        settings = RenderSettings(size=size, quality="smooth")
        import mujoco

        self._model: mujoco.MjModel = mujoco.MjModel.from_xml_string(scene_xml())
        self._data: mujoco.MjData = mujoco.MjData(self._model)
        mujoco.mj_forward(self._model, self._data)
        self._base = self._model.geom_size.copy()
        self._turns = self._data.geom_xmat.reshape(-1, 3, 3).copy()
        self._offsets = self._data.geom_xpos.copy()
        self._parts = [self._ids(f"shape{n}_", mujoco) for n in range(len(SHAPES))]
        self._floors = self._ids("floor", mujoco)
        self._walls = self._ids("wall", mujoco)
        self._renderer = FrameRenderer(self._model, settings)

    def render(self, scene: Scene) -> UInt8[np.ndarray, "t h w 3"]:
        """The clip of a scene, uint8 RGB ``[T, H, W, 3]``."""
        self._dress(scene)
        cos, sin = np.cos(scene.turn), np.sin(scene.turn)
        turn = np.array([[cos, -sin, 0.0], [sin, cos, 0.0], [0.0, 0.0, 1.0]])
        parts = self._parts[scene.shape]
        self._data.geom_xmat[parts] = (turn @ self._turns[parts]).reshape(-1, 9)
        offsets = scene.size * self._offsets[parts] @ turn.T
        frames = []
        for place in scene.places:
            self._data.geom_xpos[parts] = place + offsets
            frames.append(self._renderer.render(self._data))
        return np.stack(frames)

    def close(self) -> None:
        """Free the renderer."""
        self._renderer.close()

    def _dress(self, scene: Scene) -> None:
        """Sizes, colours and light of a scene; what it does not use becomes invisible."""
        model, data = self._model, self._data
        model.geom_rgba[:, 3] = 0.0
        shown = (
            self._parts[scene.shape],
            self._floors[scene.floor],
            self._walls[scene.wall],
        )
        for geoms, colour in zip(shown, scene.colours, strict=True):
            model.geom_rgba[geoms] = [*colour, 1.0]
        parts = shown[0]
        model.geom_size[parts] = scene.size * self._base[parts]
        lamp, everywhere = scene.light
        model.light_diffuse[0] = lamp
        data.light_xdir[0] = scene.ray
        model.vis.headlight.ambient[:] = everywhere

    def _ids(self, prefix: str, mujoco: Any) -> np.ndarray:
        """Numbers of the geoms whose names begin so."""
        kind = mujoco.mjtObj.mjOBJ_GEOM
        names = [mujoco.mj_id2name(self._model, kind, i) for i in range(self._model.ngeom)]
        return np.array([i for i, name in enumerate(names) if name.startswith(prefix)])


def _colours(random: np.random.Generator) -> np.ndarray:
    """Colours of object, floor and wall; the object's differs clearly from what is behind it."""
    behind = random.uniform(0.15, 0.85, (2, 3))
    while True:
        own = random.uniform(0.1, 1.0, 3)
        if np.abs(own - behind).max(axis=1).min() > 0.4:
            return np.stack([own, *behind])

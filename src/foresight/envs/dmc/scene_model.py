"""The shapes, the room and the camera of the rendered scenes, as MuJoCo XML made in code."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Part:
    """One geom of a shape, for an object whose half extent is 1 metre.

    Attributes:
        kind: MuJoCo's geom type.
        size: MuJoCo's size numbers.
        place: relative to the object's middle; z is up, y points away from the camera.
        euler: turns about x, y and z in degrees.
    """

    kind: str
    size: tuple[float, ...]
    place: tuple[float, float, float] = (0.0, 0.0, 0.0)
    euler: tuple[float, float, float] = (0.0, 0.0, 0.0)


@dataclass(frozen=True)
class Shape:
    """A class of objects.

    Attributes:
        name: what it is called.
        height: of its middle above the floor that it stands on, for half extent 1.
        parts: its geoms.
    """

    name: str
    height: float
    parts: tuple[Part, ...]


def _ring(count: int = 10, radius: float = 0.8, thickness: float = 0.24) -> tuple[Part, ...]:
    """Spheres on an upright circle: a ring with a hole to look through."""
    angles = 2 * np.pi * np.arange(count) / count
    return tuple(
        Part("sphere", (thickness,), (float(radius * np.cos(a)), 0.0, float(radius * np.sin(a))))
        for a in angles
    )


# Chosen so that no two look alike from the camera at any turn that a scene draws: an ellipsoid
# lies where a capsule stands, a cylinder is flat where a box is not.
SHAPES = (
    Shape("box", 0.75, (Part("box", (0.75, 0.75, 0.75)),)),
    Shape("sphere", 0.9, (Part("sphere", (0.9,)),)),
    Shape("capsule", 1.2, (Part("capsule", (0.42, 0.78)),)),
    Shape("cylinder", 0.3, (Part("cylinder", (1.0, 0.3)),)),
    Shape("ellipsoid", 0.5, (Part("ellipsoid", (1.25, 0.5, 0.5)),)),
    Shape("cross", 1.0, (Part("box", (1.0, 0.28, 0.28)), Part("box", (0.28, 0.28, 1.0)))),
    Shape(
        "L",
        1.0,
        (
            Part("box", (0.28, 0.28, 1.0), (-0.6, 0.0, 0.0)),
            Part("box", (0.6, 0.28, 0.28), (0.28, 0.0, -0.72)),
        ),
    ),
    Shape(
        "T",
        1.0,
        (
            Part("box", (0.28, 0.28, 0.72), (0.0, 0.0, -0.28)),
            Part("box", (1.0, 0.28, 0.28), (0.0, 0.0, 0.72)),
        ),
    ),
    Shape(
        "dumbbell",
        0.5,
        (
            Part("sphere", (0.5,), (-0.85, 0.0, 0.0)),
            Part("sphere", (0.5,), (0.85, 0.0, 0.0)),
            Part("capsule", (0.16, 0.7), euler=(0.0, 90.0, 0.0)),
        ),
    ),
    Shape("ring", 1.04, _ring()),
)
CLASSES = tuple(shape.name for shape in SHAPES)


@dataclass(frozen=True)
class Camera:
    """A camera that looks down at the floor.

    Attributes:
        position: metres, ``[3]``.
        fovy: vertical field of view in degrees; pictures are square.
        axes: rows are the camera's right, up and backward directions, ``[3, 3]``.
    """

    position: np.ndarray
    fovy: float
    axes: np.ndarray


def _camera(distance: float, elevation: float, fovy: float) -> Camera:
    """A camera that sees the origin in its middle, from ``elevation`` degrees above the floor."""
    angle = np.radians(elevation)
    backward = np.array([0.0, -np.cos(angle), np.sin(angle)])
    right = np.array([1.0, 0.0, 0.0])
    return Camera(distance * backward, fovy, np.stack([right, np.cross(backward, right), backward]))


CAMERA = _camera(distance=5.0, elevation=42.0, fovy=34.0)

# Textures: first colour, second colour and pattern, and how often it is repeated over a metre.
FLOORS = (
    'builtin="flat" rgb1="1 1 1" rgb2="1 1 1"|1',
    'builtin="checker" rgb1="1 1 1" rgb2=".75 .75 .75"|.7',
    'builtin="checker" rgb1="1 1 1" rgb2=".85 .85 .85"|1.6',
    'builtin="flat" rgb1=".9 .9 .9" rgb2="1 1 1" mark="random" random=".03" markrgb="1 1 1"|.3',
    'builtin="flat" rgb1=".9 .9 .9" rgb2="1 1 1" mark="edge" markrgb=".65 .65 .65"|.9',
    'builtin="gradient" rgb1="1 1 1" rgb2=".7 .7 .7"|.15',
)
WALLS = (FLOORS[0], FLOORS[3], FLOORS[5])


def scene_xml() -> str:
    """The model that holds all shapes at the origin, every floor and every wall."""
    textures = _textures("floor", FLOORS) + _textures("wall", WALLS)
    axes = CAMERA.axes
    camera = f'pos="{_words(CAMERA.position)}" xyaxes="{_words(axes[0])} {_words(axes[1])}"'
    floors = "".join(
        f'<geom name="floor{n}" type="plane" size="12 12 1" material="floor{n}"/>'
        for n in range(len(FLOORS))
    )
    # The wall stands where the upper edge of the picture looks over it.
    walls = "".join(
        f'<geom name="wall{n}" type="plane" size="12 12 1" pos="0 2.4 0" euler="90 0 0" '
        f'material="wall{n}"/>'
        for n in range(len(WALLS))
    )
    parts = "".join(
        f'<geom name="shape{n}_{m}" type="{part.kind}" size="{_words(part.size)}" '
        f'pos="{_words(part.place)}" euler="{_words(part.euler)}"/>'
        for n, shape in enumerate(SHAPES)
        for m, part in enumerate(shape.parts)
    )
    return f"""
    <mujoco model="scenes">
      <visual>
        <headlight ambient=".3 .3 .3" diffuse=".15 .15 .15" specular="0 0 0"/>
        <map znear=".01" zfar="30"/>
      </visual>
      <asset>{textures}</asset>
      <worldbody>
        <light directional="true" dir="0 0 -1" diffuse=".6 .6 .6" specular=".2 .2 .2"/>
        <camera name="oblique" {camera} fovy="{CAMERA.fovy}"/>
        {floors}{walls}{parts}
      </worldbody>
    </mujoco>"""


def _textures(prefix: str, patterns: tuple[str, ...]) -> str:
    found = ""
    for n, pattern in enumerate(patterns):
        look, repeat = pattern.split("|")
        found += (
            f'<texture name="{prefix}{n}" type="2d" {look} width="128" height="128"/>'
            f'<material name="{prefix}{n}" texture="{prefix}{n}" texuniform="true" '
            f'texrepeat="{repeat} {repeat}" reflectance="0" specular="0"/>'
        )
    return found


def _words(numbers: object) -> str:
    return " ".join(f"{float(number):.6g}" for number in np.ravel(np.asarray(numbers)))

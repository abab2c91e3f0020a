"""Spot as a MuJoCo model: Playground's physics, and what frames need on top of it."""

from __future__ import annotations

import re
from typing import Any, Literal

import numpy as np
from jaxtyping import Float64

from foresight.envs.gl import choose_gl
from foresight.envs.spot.assets import MESHES, MODEL, SCENE, require_files

KP, KV, DAMPING = 300.0, 20.0, 1.0
"""Gains of the actuators (N m / rad, N m s / rad) and the joints' own damping, as Playground sets
them. kv it leaves as the model has it, so joints lag their targets by (kv + damping) / kp: 70 ms.
"""
CONTROL_STEP, SUBSTEPS = 0.02, 5
"""Seconds of a control step, and physics steps in it."""
LEGS = ("FL", "FR", "HL", "HR")
"""Front and hind, left and right, in the order of joints and sensors."""
JOINTS = tuple(f"{leg.lower()}_{joint}" for leg in LEGS for joint in ("hx", "hy", "kn"))
"""Hip sideways, hip forwards, knee."""
FOOT_RADIUS = 0.036
"""Metres."""
GROUND = (200.0, 200.0, 100.0)
"""Half the sides of the ground that is drawn, and how far its corners are apart, in metres. An
endless one is drawn with 40,000 squares and takes three quarters of a frame's time; feet stand on
an endless one anyway."""
GREY = 0.55
"""Of the ground between its lines; white, it would be as the sky is."""
LIGHT = (
    '<light name="sun" directional="true" mode="trackcom" pos="0 0 4" dir="-.4 .4 -.8" '
    'diffuse=".4 .4 .4"/>'
)
"""One for which few large squares are enough: it falls alike wherever Spot has come."""

CAMERAS = {
    "side": """
      <camera name="side" mode="trackcom" pos="0 -1.7 .45" xyaxes="1 0 0 0 .29 .96"/>""",
    "follow": """
      <camera name="follow" pos="-1.5 0 .75" xyaxes="0 -1 0 .37 0 .93"/>""",
    "wide": """
      <camera name="wide" pos="-1.5 0 .9" xyaxes="0 -1 0 .37 0 .93" fovy="75"/>""",
}
"""Camera name to how the model has it. ``side`` goes along and keeps its direction in the world;
``follow`` and ``wide``, which sees more of what lies aside, turn with Spot, and neither roll nor
pitch with its body (see `place_cameras`)."""
CHASE = "chase"
"""The body that carries ``follow`` and ``wide``."""
_WORLD = f"""
    <body name="{CHASE}" mocap="true">{CAMERAS["follow"]}{CAMERAS["wide"]}
    </body>
  </worldbody>"""
MARK = "mark"
MARK_SIZE = (0.25, 0.6)
"""Radius and half the height of the mark, in metres: some ten pixels of 64 at two metres."""
_MARK = f"""
    <body name="{MARK}" mocap="true">
      <geom type="cylinder" size="{MARK_SIZE[0]} {MARK_SIZE[1]}" pos="0 0 {MARK_SIZE[1]}"
       rgba=".9 .05 .5 1" contype="0" conaffinity="0"/>
    </body>
  </worldbody>"""
"""It is drawn, and nothing runs into it."""

SENSORS = ("local_linvel", "gyro", "upvector", *(f"{leg}_pos" for leg in LEGS))
"""What is felt and measured."""

MeshKind = Literal["hulls", "original"]


def load_model(meshes: MeshKind = "hulls", mark: bool = False) -> Any:
    """The ``mujoco.MjModel`` of Playground's joystick task, on flat ground.

    The meshes are drawn and nothing else: only the feet collide, and masses are written down.

    Args:
        meshes: convex hulls (about 2,000 faces), or the originals (127,509).
        mark: with a pole that is drawn only, the second body that is moved from outside.

    Raises:
        ForesightError: its files are missing.
    """
    folder = require_files()
    choose_gl(required=False)  # before anything imports MuJoCo
    import mujoco

    scene, robot = ((folder / "xmls" / name).read_text() for name in (SCENE, MODEL))
    # Contact sensors are not known to this MuJoCo; the feet's heights tell the same.
    scene = scene.replace('<include file="sensor.xml"/>', "").replace("</worldbody>", _WORLD)
    if mark:
        scene = scene.replace("</worldbody>", _MARK)
    robot = re.sub(r'meshdir="[^"]*"', "", robot)
    robot = re.sub(r"<light [^>]*/>", "", robot)
    robot = re.sub(r"<camera [^>]*/>", "", robot)
    robot = robot.replace("<freejoint", f"{LIGHT}{CAMERAS['side']}\n      <freejoint", 1)
    drawn = folder / ("meshes" if meshes == "original" else "hulls")
    files = {f"{name}.obj": (drawn / f"{name}.obj").read_bytes() for name in MESHES}
    model = mujoco.MjModel.from_xml_string(scene, {**files, MODEL: robot.encode()})
    floor = model.geom("floor").id
    model.geom_size[floor] = GROUND
    paint = model.geom_matid[floor]
    model.mat_rgba[paint, :3] = GREY
    model.mat_specular[paint] = 0.0  # else the horizon shines in a low camera
    model.opt.timestep = CONTROL_STEP / SUBSTEPS
    model.dof_damping[6:] = DAMPING
    model.actuator_gainprm[:, 0] = KP
    model.actuator_biasprm[:, 1] = -KP
    return model


def heading(quaternion: Float64[np.ndarray, "4"]) -> float:
    """The yaw of a body in radians; ``w, x, y, z``."""
    w, x, y, z = quaternion
    return float(np.arctan2(2 * (w * z + x * y), 1 - 2 * (y * y + z * z)))


def place_cameras(data: Any) -> None:
    """Put the camera that follows behind Spot, as the next kinematics will show it; the physics
    knows nothing of it.
    """
    turn = heading(data.qpos[3:7]) / 2
    data.mocap_pos[0] = (*data.qpos[:2], 0.0)
    data.mocap_quat[0] = (np.cos(turn), 0.0, 0.0, np.sin(turn))


def sensor_slice(model: Any, name: str) -> slice:
    """Where a sensor's numbers stand among all of them."""
    sensor = model.sensor(name)
    return slice(int(sensor.adr[0]), int(sensor.adr[0] + sensor.dim[0]))


def state_kind() -> int:
    """What of MuJoCo's state decides how it goes on: positions, velocities, time, warm start."""
    from mujoco import mjtState

    return int(mjtState.mjSTATE_FULLPHYSICS.value | mjtState.mjSTATE_WARMSTART.value)

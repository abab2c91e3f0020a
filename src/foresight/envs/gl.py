"""The OpenGL backend for off-screen rendering, chosen before anything imports MuJoCo.

MuJoCo and dm_control read ``MUJOCO_GL`` once, when they are imported. Every module of this
package that imports one of them calls :func:`choose_gl` first.
"""

from __future__ import annotations

import ctypes
import os
import sys

from foresight.core.errors import ForesightError

DEBIAN_PACKAGES = (
    "libegl1 libgl1 libgles2 libegl-mesa0 libgl1-mesa-dri libosmesa6"  # as `apt-get install` wants
)
OFF = ("off", "disable", "disabled", "false", "0")
WINDOWED = ("glfw", "glx", "on", "enable", "enabled", "true", "1", "")

# A backend works when one library of every group loads.
LIBRARIES: dict[str, tuple[tuple[str, ...], ...]] = {
    "egl": (("libEGL.so.1", "libEGL.so"), ("libOpenGL.so.0", "libGL.so.1")),
    "osmesa": (("libOSMesa.so.8", "libOSMesa.so.6", "libOSMesa.so"),),
}


def choose_gl(required: bool = True) -> str:
    """Settle ``MUJOCO_GL`` and ``PYOPENGL_PLATFORM`` and return the backend's name.

    A value that the user has set is kept and checked. Without one, Linux gets ``egl``, or else
    ``osmesa``; other systems keep their native backend, which needs no variable.

    Args:
        required: False where only physics is needed: without a usable library rendering is then
            switched off instead of refused.

    Raises:
        ForesightError: no usable OpenGL library, or a ``MUJOCO_GL`` that MuJoCo does not know.
    """
    if not sys.platform.startswith("linux"):
        return os.environ.get("MUJOCO_GL", "native")
    wanted = os.environ.get("MUJOCO_GL")
    backend = _detect(required) if wanted is None else _check(wanted.lower().strip(), required)
    if backend in LIBRARIES:
        platform = os.environ.setdefault("PYOPENGL_PLATFORM", backend)
        if platform != backend:
            raise ForesightError(
                f"PYOPENGL_PLATFORM={platform} contradicts MUJOCO_GL={backend}: unset one of them."
            )
    os.environ["MUJOCO_GL"] = backend
    return backend


def missing_gl(reason: str) -> ForesightError:
    """The error of a machine that cannot render, with the packages that mend it."""
    return ForesightError(
        f"Off-screen rendering is not possible ({reason}): install the Debian packages "
        f"{DEBIAN_PACKAGES}."
    )


def _detect(required: bool) -> str:
    hint = os.environ.get("PYOPENGL_PLATFORM")
    candidates = [hint] if hint in LIBRARIES else list(LIBRARIES)
    for backend in candidates:
        if backend and _usable(backend):
            return backend
    if required:
        raise missing_gl("neither EGL nor OSMesa is installed")
    return "disable"


def _check(wanted: str, required: bool) -> str:
    if wanted in LIBRARIES:
        if required and not _usable(wanted):
            raise missing_gl(f"MUJOCO_GL={wanted}, but its library does not load")
        return wanted if _usable(wanted) else "disable"
    if wanted in OFF:
        if not required:
            return "disable"
        if not any(_usable(backend) for backend in LIBRARIES):
            raise missing_gl("neither EGL nor OSMesa is installed")
        raise ForesightError(
            f"MUJOCO_GL={wanted} switches rendering off: unset it, or set it to egl or osmesa."
        )
    if wanted in WINDOWED:
        return wanted or "glfw"
    raise ForesightError(f"MUJOCO_GL={wanted} is not a backend: set it to egl, osmesa or glfw.")


def _usable(backend: str) -> bool:
    return all(any(_loads(name) for name in group) for group in LIBRARIES[backend])


def _loads(library: str) -> bool:
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True

"""Choosing the OpenGL backend, on machines with and without the libraries."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from foresight.core.errors import ForesightError
from foresight.envs import gl

linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="other systems are native")
pytestmark = linux


@pytest.fixture(autouse=True)
def clean(monkeypatch):
    monkeypatch.delenv("MUJOCO_GL", raising=False)
    monkeypatch.delenv("PYOPENGL_PLATFORM", raising=False)


def with_libraries(monkeypatch, *names):
    monkeypatch.setattr(gl, "_loads", lambda library: any(library.startswith(n) for n in names))


def test_egl_comes_first_and_both_variables_are_set(monkeypatch):
    with_libraries(monkeypatch, "libEGL", "libGL", "libOSMesa")
    assert gl.choose_gl() == "egl"
    assert os.environ["MUJOCO_GL"] == os.environ["PYOPENGL_PLATFORM"] == "egl"


def test_osmesa_is_next(monkeypatch):
    with_libraries(monkeypatch, "libOSMesa")
    assert gl.choose_gl() == "osmesa"


def test_egl_without_an_opengl_library_is_not_enough(monkeypatch):
    with_libraries(monkeypatch, "libEGL")
    with pytest.raises(ForesightError, match="libgl1"):
        gl.choose_gl()


def test_no_library_names_the_debian_packages_in_one_sentence(monkeypatch):
    with_libraries(monkeypatch)
    with pytest.raises(ForesightError) as caught:
        gl.choose_gl()
    message = str(caught.value)
    assert gl.DEBIAN_PACKAGES.split()[:3] == ["libegl1", "libgl1", "libgles2"]
    for package in gl.DEBIAN_PACKAGES.split():
        assert f" {package}" in message
    assert "\n" not in message


def test_physics_alone_needs_no_library_but_rendering_then_does(monkeypatch):
    with_libraries(monkeypatch)
    assert gl.choose_gl(required=False) == "disable"
    with pytest.raises(ForesightError, match="libegl1"):
        gl.choose_gl()


@pytest.mark.parametrize("value", ["egl", "osmesa"])
def test_a_wish_that_cannot_be_met_is_refused(monkeypatch, value):
    with_libraries(monkeypatch)
    monkeypatch.setenv("MUJOCO_GL", value)
    with pytest.raises(ForesightError, match=f"MUJOCO_GL={value}.*libosmesa6"):
        gl.choose_gl()


def test_rendering_switched_off_by_the_user(monkeypatch):
    with_libraries(monkeypatch, "libEGL", "libGL")
    monkeypatch.setenv("MUJOCO_GL", "off")
    with pytest.raises(ForesightError, match="unset it"):
        gl.choose_gl()


def test_contradicting_variables(monkeypatch):
    with_libraries(monkeypatch, "libEGL", "libGL")
    monkeypatch.setenv("MUJOCO_GL", "egl")
    monkeypatch.setenv("PYOPENGL_PLATFORM", "osmesa")
    with pytest.raises(ForesightError, match="contradicts"):
        gl.choose_gl()


def run(code, **variables):
    environment = {**os.environ, **variables}
    return subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False
    )


def test_an_unknown_backend_in_a_fresh_process():
    code = """
from foresight.core.errors import ForesightError
try:
    from foresight.envs.dmc.environment import DMControlEnv
    DMControlEnv("reacher-easy")
except ForesightError as error:
    print(error)
"""
    done = run(code, MUJOCO_GL="vulkan")
    assert "MUJOCO_GL=vulkan is not a backend" in done.stdout
    assert done.stdout.count("\n") == 1


def test_physics_runs_in_a_process_without_opengl():
    code = """
from foresight.envs import gl
gl._loads = lambda library: False
from foresight.envs.dmc.environment import DMControlEnv
from foresight.core.errors import ForesightError
env = DMControlEnv("reacher-easy", render=None)
env.reset(seed=0)
env.step(env.action_space.sample())
try:
    DMControlEnv("reacher-easy")
except ForesightError as error:
    print(error)
"""
    done = run(code)
    assert "libegl-mesa0" in done.stdout, done.stderr


def test_mujoco_imported_too_early_is_told_from_a_missing_library():
    code = """
import mujoco
mujoco.gl_context._MUJOCO_GL = "osmesa"  # as if the variable had been another at the import
def broken(*_):
    raise RuntimeError("gladLoadGL error")
mujoco.Renderer = broken
from foresight.envs.dmc.environment import DMControlEnv
from foresight.core.errors import ForesightError
try:
    DMControlEnv("reacher-easy")
except ForesightError as error:
    print(error)
"""
    done = run(code)
    assert "before MUJOCO_GL=" in done.stdout, done.stderr


def test_a_driver_that_fails_is_reported_with_the_packages(monkeypatch):
    monkeypatch.undo()
    gl.choose_gl()
    import mujoco

    from foresight.envs.dmc.environment import DMControlEnv

    def broken(*_):
        raise RuntimeError("Cannot create an EGL context.")

    monkeypatch.setattr(mujoco, "Renderer", broken)
    with pytest.raises(ForesightError, match=r"Cannot create an EGL context.*libgl1-mesa-dri"):
        DMControlEnv("reacher-easy")

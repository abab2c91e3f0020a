"""Frames: what they show, that they repeat, and that renderers leave each other alone."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from foresight.core.errors import ForesightError
from foresight.envs import gl
from foresight.envs.dmc.environment import DMControlEnv
from foresight.envs.registry import make
from foresight.envs.render import FrameRenderer, RenderSettings

gl.choose_gl()
import mujoco  # noqa: E402 (only now does it know how to draw)


def first_frame(task, settings, seed=0):
    env = DMControlEnv(task, render=settings)
    observation, _ = env.reset(seed=seed)
    env.close()
    return observation["images"]["camera"]


@pytest.mark.parametrize("task", ["reacher-easy", "quadruped-escape", "cup-catch"])
def test_full_quality_is_dm_controls_picture(task):
    env = DMControlEnv(task, render=RenderSettings(size=48, quality="full"))
    frame = env.reset(seed=1)[0]["images"]["camera"]
    assert np.array_equal(frame, env.physics.render(48, 48, camera_id=0))
    env.close()


def test_fast_frames_are_upright_rgb_and_show_the_scene():
    frame = first_frame("reacher-easy", RenderSettings(size=64))
    assert frame.shape == (64, 64, 3)
    assert frame.dtype == np.uint8
    env = DMControlEnv("reacher-easy", render=None)
    env.reset(seed=0)
    x, y = env.physics.named.data.geom_xpos["target", :2]
    red = (frame[..., 0] > 180) & (frame[..., 2] < 160)  # the target is the one red thing
    rows, columns = np.nonzero(red & (frame[..., 1] < 160))
    assert np.sign(columns.mean() - 31.5) == np.sign(x)
    assert np.sign(31.5 - rows.mean()) == np.sign(y)


def test_a_camera_has_a_number_and_a_name():
    by_number = first_frame("walker-walk", RenderSettings(size=32, camera=1))
    by_name = first_frame("walker-walk", RenderSettings(size=32, camera="back"))
    other = first_frame("walker-walk", RenderSettings(size=32, camera=0))
    free = first_frame("walker-walk", RenderSettings(size=32, camera=-1))
    assert np.array_equal(by_number, by_name)
    assert not np.array_equal(by_number, other)
    assert not np.array_equal(free, other)


def test_renderers_in_one_process_leave_each_other_alone():
    one, two = DMControlEnv("cartpole-swingup"), DMControlEnv("walker-walk")
    one.reset(seed=0)
    frame = two.reset(seed=0)[0]["images"]["camera"]
    theirs = two.physics.render(32, 32)
    one.render()
    assert np.array_equal(two.physics.render(32, 32), theirs)
    one.close()
    assert np.array_equal(two.render(), frame)
    two.close()
    assert np.array_equal(two.render(), frame)  # a closed renderer is made again
    two.close()


@pytest.mark.skipif(gl.choose_gl(required=False) != "egl", reason="others' contexts have a size")
def test_a_closed_renderers_context_is_taken_again_and_shows_the_same(monkeypatch):
    wanted = first_frame("walker-walk", RenderSettings(size=48, quality="full"))
    made = []
    real = mujoco.egl.GLContext.__init__
    monkeypatch.setattr(
        mujoco.egl.GLContext, "__init__", lambda self, *size: made.append(real(self, *size))
    )
    for size, quality in ((32, "fast"), (48, "full"), (64, "smooth")):
        first_frame("quadruped-escape", RenderSettings(size=size, quality=quality))
        again = first_frame("walker-walk", RenderSettings(size=48, quality="full"))
        assert np.array_equal(again, wanted)
    assert not made
    with ThreadPoolExecutor(1) as other:  # a context is current in one thread at a time
        frame = other.submit(first_frame, "walker-walk", RenderSettings(size=48, quality="full"))
        assert np.array_equal(frame.result(), wanted)
    assert len(made) == 1


def test_new_terrain_reaches_the_renderer():
    env = DMControlEnv("quadruped-escape", render=RenderSettings(size=48))
    env.reset(seed=1)
    again = env.reset(seed=2)[0]["images"]["camera"]
    env.close()
    assert np.array_equal(again, first_frame("quadruped-escape", RenderSettings(size=48), seed=2))


def test_rendering_leaves_the_model_as_it_was():
    env, plain = (
        DMControlEnv("reacher-easy", render=RenderSettings(size=800)),
        DMControlEnv("reacher-easy", render=None),
    )
    for field in ("offwidth", "offheight"):
        ours = getattr(env.physics.model.vis.global_, field)
        assert ours == getattr(plain.physics.model.vis.global_, field)
    assert env.physics.model.vis.quality.shadowsize == plain.physics.model.vis.quality.shadowsize
    assert env.reset(seed=0)[0]["images"]["camera"].shape == (800, 800, 3)
    env.close()


@pytest.mark.parametrize("size", [0, 8, -64, 64.0, "64", True, 100_000])
def test_a_bad_size_is_refused(size):
    with pytest.raises(ForesightError, match="Frame size"):
        RenderSettings(size=size)


def test_other_bad_settings_are_refused():
    with pytest.raises(ForesightError, match=r"'best'.*smooth or full"):
        RenderSettings(quality="best")
    with pytest.raises(ForesightError, match="Camera None"):
        RenderSettings(camera=None)


@pytest.mark.parametrize("camera", [7, -2, "front"])
def test_an_unknown_camera_is_refused_with_the_ones_there_are(camera):
    with pytest.raises(ForesightError, match=rf"{camera!r}.*0 \(fixed\), 1 \(hand\)"):
        DMControlEnv("reacher-easy", render=RenderSettings(camera=camera))


def test_coarse_meshes_look_alike_and_leave_the_model_as_it_was():
    env = make("metaworld/push", cameras=[])
    env.reset(seed=0)
    model, data = env._upstream.model, env._upstream.data
    names = ("mesh_facenum", "mesh_face", "mesh_facenormal", "mesh_facetexcoord")
    before = [getattr(model, name).copy() for name in names]
    frames = []
    for coarse in (0.0, 0.008, 0.1):
        renderer = FrameRenderer(model, RenderSettings(size=64, camera="corner2", coarse=coarse))
        frames.append(renderer.render(data).astype(int))
        renderer.close()
        for name, values in zip(names, before, strict=True):
            assert np.array_equal(getattr(model, name), values)
    apart = [np.abs(frame - frames[0]).mean() for frame in frames]
    assert 0 < apart[1] < 1 < apart[2]

"""Varied looks: repeatable, undone without a trace, and nothing that a task means changes."""

from __future__ import annotations

import copy

import numpy as np
import pytest

from foresight.core.errors import ForesightError
from foresight.envs.dmc.environment import DMControlEnv
from foresight.envs.render import RenderSettings
from foresight.envs.visual_randomization import Looks

VARIED = RenderSettings(size=32, look="varied")
CHANGED = {
    *("mat_rgba", "geom_rgba", "light_diffuse", "light_dir", "cam_fovy"),
    *("cam_pos", "cam_quat", "cam_pos0", "cam_poscom0", "cam_mat0"),
}


@pytest.fixture(scope="module")
def env():
    found = DMControlEnv("walker-walk", render=VARIED)
    yield found
    found.close()


def arrays(model):
    """All arrays of a model, copied."""
    names = [name for name in dir(model) if not name.startswith("_")]
    values = {name: getattr(model, name) for name in names}
    return {name: v.copy() for name, v in values.items() if isinstance(v, np.ndarray)}


def first(env, seed):
    return env.reset(seed=seed)[0]["images"]["camera"]


def test_a_look_changes_what_is_seen_and_restore_takes_it_back_bit_for_bit():
    model = DMControlEnv("cheetah-run", render=None).physics.model.ptr
    own, looks = arrays(model), Looks(model)
    for seed in (0, 1):
        looks.draw(seed)
        drawn = arrays(model)
        different = {name for name in own if not np.array_equal(own[name], drawn[name])}
        assert {"cam_pos", "cam_quat", "cam_fovy"} < different <= CHANGED
        assert np.array_equal(drawn["mat_rgba"][:, 3], own["mat_rgba"][:, 3])  # what hides, hides
    looks.restore()
    assert all(np.array_equal(value, own[name]) for name, value in arrays(model).items())


def test_one_seed_is_one_look_and_another_seed_another(env):
    frames = [first(env, seed) for seed in (3, 4, 3)]
    assert np.array_equal(frames[0], frames[2])
    assert (frames[0] != frames[1]).mean() > 0.5
    plain = DMControlEnv("walker-walk", render=RenderSettings(size=32))
    assert (first(plain, 3) != frames[0]).mean() > 0.5
    plain.close()


@pytest.mark.parametrize("camera", [0, 1])
def test_the_first_frame_does_not_know_the_episode_before(camera):
    settings = RenderSettings(size=32, camera=camera, look="varied")
    used, fresh = (
        DMControlEnv("reacher-easy", render=settings),
        DMControlEnv("reacher-easy", render=settings),
    )
    first(used, 3)
    assert np.array_equal(first(used, 4), first(fresh, 4))
    # Nor does a frame that is drawn once more: the camera has its place at once.
    assert np.array_equal(used.render(), fresh.render())
    used.close()
    fresh.close()


def test_a_look_lasts_for_the_episode_and_another_renderer_of_it_has_it_too(env):
    frame = first(env, 5)
    env.close()
    assert np.array_equal(env.render(), frame)


def test_physics_rewards_and_observations_are_those_without_looks(env):
    blind, action = DMControlEnv("walker-walk", render=None), np.full(6, 0.3)
    assert np.array_equal(blind.reset(seed=2)[1]["state"], env.reset(seed=2)[1]["state"])
    for _ in range(10):
        (seen, reward, *_, info), (same, as_much, *_, also) = env.step(action), blind.step(action)
        assert np.array_equal(seen["state"], same["state"])
        assert (reward, info["time"]) == (as_much, also["time"])
        assert np.array_equal(info["state"], also["state"])


def test_plain_frames_do_not_know_of_looks():
    plain, varied = RenderSettings(size=32), RenderSettings(size=32, look="varied")
    env = DMControlEnv("cartpole-swingup", render=plain)
    frame = first(env, 1)
    own = arrays(env.physics.model.ptr)
    assert np.array_equal(first(env, 1), frame)
    env.close()
    env.render_settings = varied  # the same simulator, seen otherwise and then plain again
    assert not np.array_equal(env.render(), frame)
    env.close()
    found = arrays(env.physics.model.ptr)
    assert all(np.array_equal(value, own[name]) for name, value in found.items())
    env.render_settings = plain
    assert np.array_equal(first(env, 1), frame)
    env.close()


@pytest.mark.parametrize("task", ["walker-walk", "reacher-easy", "fish-swim", "quadruped-walk"])
def test_moved_cameras_are_as_if_the_model_had_been_made_so(task):
    import mujoco

    model = DMControlEnv(task, render=None).physics.model.ptr
    Looks(model).draw(1)
    made = copy.deepcopy(model)
    mujoco.mj_setConst(made, mujoco.MjData(made))  # derives the three from place and turn
    for name in ("cam_pos0", "cam_poscom0", "cam_mat0"):
        np.testing.assert_allclose(getattr(model, name), getattr(made, name), atol=1e-9)


def test_smooth_frames_are_means_of_four_pixels():
    smooth = DMControlEnv("walker-walk", render=RenderSettings(size=32, quality="smooth"))
    double = DMControlEnv("walker-walk", render=RenderSettings(size=64, quality="fast"))
    frame, large = first(smooth, 1), first(double, 1).astype(float)
    assert frame.shape == (32, 32, 3)
    assert frame.dtype == np.uint8
    means = large.reshape(32, 2, 32, 2, 3).mean(axis=(1, 3))
    assert np.array_equal(frame, np.floor(means + 0.5))
    smooth.close()
    double.close()


def test_an_unknown_look_is_refused():
    with pytest.raises(ForesightError, match=r"Unknown look 'odd'.*plain or varied"):
        RenderSettings(look="odd")

"""Spot's environment against plain MuJoCo with Playground's own numbers, and what is ours."""

from __future__ import annotations

import numpy as np
import pytest

from foresight.core.errors import ForesightError
from foresight.core.simulator import Simulator
from foresight.envs import EnvConfig, env_ids, limit_of, make, spec_of
from foresight.envs.check import check, fits
from foresight.envs.spot import tasks
from foresight.envs.spot.assets import MODEL, folder
from foresight.envs.spot.environment import SpotEnv
from foresight.envs.spot.model import LEGS, heading, load_model
from foresight.envs.spot.tasks import POSE, asked_command, get_protocol, tracking_reward
from spot_files import needs_spot

pytestmark = needs_spot


def bare(task="joints", **options):
    return make(f"spot/{task}", cameras=[], **options)


def acted(env, count, seed=0):
    spec = spec_of(env)
    actions = np.random.default_rng(seed).uniform(spec.low, spec.high, (count, len(spec.action)))
    found = []
    for action in actions:
        raw, reward, fell, over, info = env.step(0.3 * action)
        found.append(np.concatenate([raw["state"], [reward], info["state"]]))
        if fell or over:
            break
    return np.array(found)


def test_both_ids_have_playgrounds_81_numbers_and_their_own_actions():
    assert {"spot/joints", "spot/command"} <= set(env_ids())
    joints, command = spec_of(bare()), spec_of(bare("command"))
    assert len(joints.state) == 81 and joints.state == command.state
    assert len({axis.name for axis in joints.state}) == 81
    assert (len(joints.action), joints.fps) == (12, 50)
    assert (command.fps, limit_of(bare("command")), limit_of(bare())) == (10, 200, 1000)
    assert command.high == pytest.approx([0.6, 0.48, 0.6])
    assert spec_of(bare("command", reach=1.0)).high == pytest.approx([1.0, 0.8, 1.0])


@pytest.mark.parametrize("task", ["joints", "command", "mark"])
def test_it_fits(task):
    found = check(EnvConfig.of(f"spot/{task}", size=32, protocol="walk4"), episodes=1, steps=15)
    assert fits(found), found


def test_the_physics_are_those_of_playgrounds_model():
    """A second model, from the same file, set up here as Playground sets it up."""
    import re

    import mujoco

    text = re.sub(
        r"<mesh [^>]*/>|<geom [^>]*mesh=[^>]*/>", "", (folder() / "xmls" / MODEL).read_text()
    )
    ground = '<geom name="floor" type="plane" size="0 0 .01" contype="1" conaffinity="0" '
    ground += 'priority="1" friction="0.6" condim="3"/></worldbody>'
    model = mujoco.MjModel.from_xml_string(text.replace("</worldbody>", ground))
    model.opt.timestep, model.dof_damping[6:] = 0.004, 1.0
    model.actuator_gainprm[:, 0], model.actuator_biasprm[:, 1] = 300.0, -300.0
    data = mujoco.MjData(model)
    env = bare()
    env.reset(seed=4)
    data.qpos[:], data.qvel[:] = env._data.qpos, env._data.qvel
    for action in np.random.default_rng(0).uniform(-0.4, 0.4, (20, 12)):
        state = env.step(action)[0]["state"]
        data.ctrl[:] = np.clip(POSE + 0.6 * action, *model.actuator_ctrlrange.T)
        mujoco.mj_step(model, data, 5)
    mujoco.mj_forward(model, data)
    assert env._data.qpos == pytest.approx(data.qpos, abs=1e-9)
    gyro, up = data.sensor("gyro").data, data.sensor("upvector").data
    feet = np.concatenate([data.sensor(f"{leg}_pos").data for leg in LEGS])
    assert state[:3] == pytest.approx(gyro, abs=1e-5)
    assert state[3:6] == pytest.approx(up, abs=1e-5)
    assert state[6:18] == pytest.approx(data.qpos[7:] - POSE, abs=1e-5)
    assert state[18:30] == pytest.approx(data.qpos[7:] - data.ctrl, abs=1e-5)
    assert state[54:66] == pytest.approx(feet, abs=1e-5)
    assert state[66:78] == pytest.approx(action, abs=1e-6)


@pytest.mark.slow  # the original meshes take five seconds to read
def test_masses_and_motion_do_not_depend_on_what_is_drawn():
    hulls, original = load_model("hulls"), load_model("original")
    assert hulls.nmeshface < 2500 < original.nmeshface == 127_509
    for name in ("body_mass", "body_inertia", "body_ipos", "jnt_range", "dof_damping"):
        assert np.array_equal(getattr(hulls, name), getattr(original, name))


@pytest.mark.parametrize("task", ["joints", "command", "mark"])
def test_a_seed_decides_the_episode_and_a_state_goes_on_as_it_did(task):
    fresh, used = bare(task), bare(task)
    assert isinstance(fresh.unwrapped, Simulator)
    used.reset(seed=5)
    acted(used, 7)
    for env in (fresh, used):
        env.reset(seed=7)
    assert np.array_equal(acted(fresh, 30), acted(used, 30))
    saved = fresh.get_state()
    ahead = acted(fresh, 30, seed=1)
    fresh.set_state(saved)
    assert np.array_equal(fresh.get_state(), saved)
    assert np.array_equal(acted(fresh, 30, seed=1), ahead)
    with pytest.raises(ForesightError, match="finite numbers"):
        fresh.set_state(saved[1:])


def test_another_command_is_asked_every_two_seconds():
    env = bare("command", switch=2.0)
    seen = [env.reset(seed=3)[0]["state"][-3:]]
    for _ in range(60):
        seen.append(env.step(np.zeros(3))[0]["state"][-3:])
    for number in range(3):
        part = seen[20 * number : 20 * number + 20]
        assert all(command == pytest.approx(asked_command(3, number, 0.6)) for command in part)
    still = bare("command", switch=0.0)
    still.reset(seed=3)
    for _ in range(45):
        raw = still.step(np.zeros(3))[0]
    assert raw["state"][-3:] == pytest.approx(asked_command(3, 0, 0.6))


def test_asked_commands_fill_the_range_and_a_tenth_of_them_is_to_stand():
    drawn = np.array([asked_command(seed, 0, 0.5) for seed in range(1000)])
    assert np.abs(drawn).max(axis=0) == pytest.approx([0.5, 0.4, 0.5], rel=0.02)
    assert (drawn == 0).all(axis=1).mean() == pytest.approx(0.1, abs=0.03)
    assert drawn.mean(axis=0) == pytest.approx(np.zeros(3), abs=0.03)


def test_the_reward_is_playgrounds_tracking_of_velocity_and_turning():
    asked = np.array([0.5, 0.0, -0.2])
    assert tracking_reward(asked, asked) == 1.0
    apart = tracking_reward(asked, np.array([0.1, 0.3, 0.3]))
    assert apart == pytest.approx((1.5 * np.exp(-0.25 / 0.25) + 0.8 * np.exp(-1.0)) / 2.3)


def test_rewards_of_a_decision_are_those_of_its_control_steps():
    once, held = bare(), bare(action_repeat=4)
    for env in (once, held):
        env.reset(seed=0)
    action = np.full(12, 0.1)
    singles = [once.step(action)[1] for _ in range(8)]
    assert [held.step(action)[1] for _ in range(2)] == pytest.approx(
        [sum(singles[:4]), sum(singles[4:])]
    )


def test_a_chunk_holds_a_target_for_each_control_step():
    single, chunk = bare(), bare(chunk=5)
    assert (spec_of(chunk).fps, len(spec_of(chunk).action), limit_of(chunk)) == (10, 60, 200)
    for env in (single, chunk):
        env.reset(seed=0)
    actions = np.random.default_rng(0).uniform(-0.3, 0.3, (5, 12))
    for action in actions:
        raw = single.step(action)[0]
    assert np.array_equal(chunk.step(actions.ravel())[0]["state"], raw["state"])


def test_spot_falls_and_that_ends_the_episode():
    env = bare()
    env.reset(seed=0)
    for _ in range(100):
        _, _, fell, over, _ = env.step(np.where(np.arange(12) < 6, 1.0, -1.0))
        if fell:
            break
    assert fell and not over
    with pytest.raises(ForesightError, match="No episode is running"):
        env.step(np.zeros(12))


def test_truth_says_which_feet_stand():
    env = bare()
    env.reset(seed=0)
    for _ in range(50):
        env.step(np.zeros(12))
    truth = env.truth()
    assert all(truth[f"{leg} stands"] == 1 for leg in LEGS)
    assert 0.4 < truth["height"] < 0.5 and abs(truth["forward speed"]) < 0.02
    env._data.qpos[2] += 0.2
    env._look()
    assert all(env.truth()[f"{leg} stands"] == 0 for leg in LEGS)


def test_cameras_go_along_and_one_of_them_turns():
    env = make("spot/joints", cameras=("side", "follow"), size=(48, 64))
    env.reset(seed=0)
    sides, behind = [], []
    for turn in (0.3, 2.0):
        state = env.get_state()
        state[1:4] += (5.0, -3.0, 0.0)  # time stands first
        state[4:8] = (np.cos(turn / 2), 0, 0, np.sin(turn / 2))
        raw = env.set_state(state)
        assert raw["images"]["side"].shape == (48, 64, 3)
        sides.append(env._data.camera("side").xmat.copy())
        ahead = -env._data.camera("follow").xmat.reshape(3, 3)[:, 2]
        behind.append(np.arctan2(ahead[1], ahead[0]))
        place = env._data.camera("follow").xpos - env._data.qpos[:3]
        assert place[:2] @ [np.cos(turn), np.sin(turn)] == pytest.approx(-1.5)
    assert np.array_equal(*sides)
    assert behind == pytest.approx([0.3, 2.0], abs=1e-6)
    assert heading(env._data.qpos[3:7]) == pytest.approx(2.0)
    env.close()


def test_pictures_do_not_change_the_physics_and_look_the_same_anywhere():
    seen, blind = make("spot/joints", cameras=("side", "follow"), size=16), bare()
    for env in (seen, blind):
        env.reset(seed=2)
    assert np.array_equal(acted(seen, 5), acted(blind, 5))
    near = seen.set_state(seen.get_state())["images"]
    far = seen.get_state()
    far[1:3] += 20.0  # a whole number of the ground's squares
    there = seen.set_state(far)["images"]
    for camera in near:
        apart = np.abs(near[camera].astype(int) - there[camera])
        assert apart.mean() < 2
    seen.close()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"protocol": "dmc1000"}, "Unknown protocol"),
        ({"cameras": ["above"]}, "no camera 'above'"),
        ({"reach": 1.5}, "A reach of 1.5"),
        ({"switch": -1.0}, "A switch every -1"),
        ({"chunk": 0}, "A chunk of 0"),
        ({"action_repeat": 0}, "held for 0 steps"),
    ],
)
def test_what_cannot_be_is_said(options, words):
    with pytest.raises(ForesightError, match=words):
        make("spot/joints", **options)


def test_a_command_comes_without_chunks():
    with pytest.raises(ForesightError, match="spot/joints alone"):
        make("spot/command", chunk=5)
    assert get_protocol("walk20").name == tasks.DEFAULT
    assert SpotEnv("command", get_protocol("walk4"), None).time_limit == 200

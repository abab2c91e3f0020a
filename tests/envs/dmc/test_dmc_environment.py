"""Environments against dm_control itself, and against Gymnasium's checker."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from foresight.core.errors import ForesightError
from foresight.core.simulator import Simulator
from foresight.envs.dmc.environment import DMControlEnv
from foresight.envs.dmc.quantities import measure
from foresight.envs.dmc.tasks import resolve, task_ids
from foresight.envs.registry import EnvConfig, spec_of
from foresight.envs.render import RenderSettings
from foresight.envs.wrappers import ActionRepeat, TimeLimit


def flat(observation):
    return np.concatenate([np.ravel(part) for part in observation.values()], dtype=np.float32)


def test_environments_that_share_a_compiled_model_do_not_share_its_numbers():
    """What one changes in its model is neither in another that is there nor in the next one."""
    before, changed = (DMControlEnv("point_mass-easy", render=None) for _ in range(2))
    own = before.physics.model.ptr.body_mass.copy()
    changed.physics.model.ptr.body_mass[:] = 7.0
    after = DMControlEnv("point_mass-easy", render=None)
    for env in (before, after):
        np.testing.assert_array_equal(env.physics.model.ptr.body_mass, own)


@pytest.mark.parametrize("task", task_ids())
def test_a_seed_gives_dm_controls_own_episode(task):
    """Also when the environment has lived through another episode before."""
    from dm_control import suite

    env = DMControlEnv(task, render=None)
    actions = np.random.default_rng(0).uniform(-1, 1, (10, *env.action_space.shape))
    env.reset(seed=3)
    for action in actions:
        env.step(-action)
    observation, info = env.reset(seed=7)
    domain, name = resolve(task)
    theirs = suite.load(domain, name, task_kwargs={"random": 7})
    step = theirs.reset()
    assert np.array_equal(info["state"], theirs.physics.get_state())
    assert np.array_equal(observation["state"], flat(step.observation))
    for action in actions:
        observation, reward, *_, info = env.step(action)
        step = theirs.step(action)
        assert np.array_equal(info["state"], theirs.physics.get_state())
        assert np.array_equal(observation["state"], flat(step.observation))
        assert reward == step.reward


@pytest.mark.parametrize("task", ["reacher-easy", "cup-catch", "lqr-lqr_2_1"])
@pytest.mark.parametrize("render", [None, RenderSettings(size=32)])
def test_gymnasium_finds_nothing_wrong(task, render):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        # An unregistered environment, unbounded proprioception, lqr's unbounded forces are meant.
        for allowed in (".*infinity.*", ".*spec.*", ".*symmetric and normalized.*"):
            warnings.filterwarnings("ignore", allowed)
        env = DMControlEnv(task, render=render)
        check_env(env, skip_render_check=render is None)
        env.close()


def test_protocols_sum_rewards_and_end_episodes():
    once, twice = (
        DMControlEnv("cartpole-balance", render=None),
        DMControlEnv("cartpole-balance", "dmc1000", None),
    )
    once.reset(seed=1)
    twice.reset(seed=1)
    action = np.array([0.1])
    rewards = [once.step(action)[1] for _ in range(2)]
    assert twice.step(action)[1] == pytest.approx(sum(rewards), abs=1e-12)
    ends = [once.step(action)[2:4] for _ in range(198)]
    assert ends[-1] == (False, True)
    assert set(ends[:-1]) == {(False, False)}
    assert not any(twice.step(action)[3] for _ in range(498))
    assert twice.step(action)[3]


def test_the_suites_own_time_limit_does_not_cut_a_protocol_short():
    env = DMControlEnv(
        "quadruped-run", "dmc1000", None
    )  # dm_control ends it after 1000 steps of .02 s
    env.reset(seed=0)
    assert env._environment._step_limit == float("inf")


def test_a_state_put_back_continues_alike():
    env = DMControlEnv("walker-walk", render=None)
    env.reset(seed=0)
    action = np.full(6, 0.3)
    for _ in range(20):
        *_, info = env.step(action)
    saved, futures = info["state"], []
    for _ in range(2):
        env.set_state(saved)
        futures.append([env.step(action)[4]["state"] for _ in range(5)])
        env.step(-action)
    assert np.array_equal(futures[0], futures[1])


def test_reset_without_a_seed_goes_on_from_the_last_one():
    env = DMControlEnv("reacher-easy", render=None)
    states = []
    for _ in range(2):
        env.reset(seed=5)
        states.append([env.reset()[1]["state"] for _ in range(2)])
    assert np.array_equal(states[0], states[1])
    assert not np.array_equal(*states[0])


def test_actions_beyond_the_bounds_count_as_the_bounds():
    env = DMControlEnv("reacher-easy", render=None)
    ends = []
    for size in (1.0, 50.0):
        env.reset(seed=0)
        ends.append(env.step(np.array([size, -size]))[4]["state"])
    assert np.array_equal(*ends)


@pytest.mark.parametrize(
    ("action", "words"),
    [
        ([np.nan, 0.0], "not finite"),
        ([np.inf, 0.0], "not finite"),
        ([0.0], "has shape"),
        ([[0.0, 0.0]], "has shape"),
        (0.0, "has shape"),
        ("left", "has shape"),
        (None, "has shape"),
    ],
)
def test_a_bad_action_is_refused_in_one_sentence(action, words):
    env = DMControlEnv("reacher-easy", render=None)
    env.reset(seed=0)
    with pytest.raises(ForesightError, match=words) as caught:
        env.step(action)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("seed", [-1, 2**32, 1.5, "one", True])
def test_a_bad_seed_is_refused(seed):
    with pytest.raises(ForesightError, match="Seed"):
        DMControlEnv("reacher-easy", render=None).reset(seed=seed)


@pytest.mark.parametrize("state", [np.zeros(3), np.full(4, np.nan)])
def test_a_bad_state_is_refused(state):
    env = DMControlEnv("reacher-easy", render=None)
    env.reset(seed=0)
    with pytest.raises(ForesightError, match="4 finite numbers"):
        env.set_state(state)


def test_a_step_needs_a_running_episode():
    env = DMControlEnv("reacher-easy", render=None)
    with pytest.raises(ForesightError, match="call reset"):
        env.step(np.zeros(2))


def test_an_unstable_simulation_is_one_sentence(monkeypatch):
    env = DMControlEnv("reacher-easy", render=None)
    env.reset(seed=0)
    env.physics.data.qvel[:] = 1e30
    with pytest.raises(ForesightError, match="unstable"):
        env.step(np.zeros(2))


def test_unknown_names_are_refused():
    with pytest.raises(ForesightError, match="Unknown task"):
        DMControlEnv("reacher-medium")
    with pytest.raises(ForesightError, match="Unknown protocol"):
        DMControlEnv("reacher-easy", "seed100")


def test_the_spec_says_what_the_task_shows_feels_and_takes():
    env = DMControlEnv("reacher-easy", render=RenderSettings(size=(24, 32)))
    spec = env.interface
    assert dict(spec.cameras) == {"camera": (24, 32)}
    assert [axis.name for axis in spec.state] == [
        *("position_0", "position_1", "to_target_0", "to_target_1", "velocity_0", "velocity_1")
    ]
    assert [(axis.name, axis.low, axis.high) for axis in spec.action] == [
        ("shoulder", -1, 1),
        ("wrist", -1, 1),
    ]
    assert (spec.fps, spec.tasks) == (50, ("reacher-easy",))
    assert DMControlEnv("reacher-easy", "dmc1000", None).interface.fps == 25
    walker = [axis.name for axis in DMControlEnv("walker-walk", render=None).interface.state]
    assert walker[13:16] == ["orientations_13", "height", "velocity_0"]


@pytest.mark.parametrize("task", task_ids())
def test_every_number_of_every_task_has_a_name_of_its_own(task):
    env = DMControlEnv(task, render=None)
    spec = env.interface
    for axes, length in (
        (spec.state, env.observation_space["state"].shape[0]),
        (spec.action, env.action_space.shape[0]),
    ):
        assert len({axis.name for axis in axes}) == length
    env.reset(seed=0)
    found = env.truth()
    assert found
    assert np.isfinite(list(found.values())).all()


def test_several_cameras_show_what_each_alone_shows():
    env = DMControlEnv("cartpole-swingup", cameras=["lookatcart", "camera"])
    both = env.reset(seed=2)[0]["images"]
    assert list(both) == ["lookatcart", "camera"]
    for name, camera in (("lookatcart", 1), ("camera", 0)):
        alone = DMControlEnv("cartpole-swingup", render=RenderSettings(camera=camera))
        np.testing.assert_array_equal(alone.reset(seed=2)[0]["images"]["camera"], both[name])
    assert not np.array_equal(both["camera"], both["lookatcart"])
    np.testing.assert_array_equal(env.render(), both["lookatcart"])
    with pytest.raises(ForesightError, match=r"Unknown camera 'side'.*lookatcart"):
        DMControlEnv("cartpole-swingup", cameras=["side"])


def test_a_picture_that_is_not_square_shows_more_at_its_sides():
    wide = DMControlEnv("reacher-easy", render=RenderSettings(size=(32, 64))).reset(seed=0)[0]
    square = DMControlEnv("reacher-easy", render=RenderSettings(size=32)).reset(seed=0)[0]
    middle = wide["images"]["camera"][:, 16:48].astype(int)
    assert np.abs(middle - square["images"]["camera"]).mean() < 4


def test_it_is_a_simulator_whose_state_goes_in_and_out():
    env = DMControlEnv("walker-walk", render=None)
    assert isinstance(env, Simulator)
    *_, info = env.reset(seed=0)
    np.testing.assert_array_equal(env.get_state(), info["state"])
    env.step(np.full(6, 0.5))
    saved, true = env.get_state(), env.truth()
    position, velocity = measure("walker-walk", env.physics)
    assert true == {**position, **velocity}
    env.step(np.full(6, -0.5))
    assert env.truth() != true
    env.set_state(saved)
    np.testing.assert_array_equal(env.get_state(), saved)
    assert env.truth() == pytest.approx(true)


def test_tasks_without_written_quantities_tell_their_joints():
    env = DMControlEnv("manipulator-bring_ball", render=None)
    env.reset(seed=0)
    found, physics = env.truth(), env.physics
    assert found["ball_x"] == physics.named.data.qpos["ball_x"].item()
    assert found["ball_x speed"] == physics.named.data.qvel["ball_x"].item()
    dog = DMControlEnv("dog-walk", render=None)
    dog.reset(seed=0)
    assert len(dog.truth()) == dog.physics.model.nq + dog.physics.model.nv


def test_a_held_action_draws_one_picture_and_earns_the_same():
    held = EnvConfig("reacher-easy", size=32, action_repeat=3, time_limit=7).make()
    plain = EnvConfig("reacher-easy", size=32).make()
    around = TimeLimit(ActionRepeat(plain, 3), 7)
    drawn = []
    inside = held.unwrapped
    view = inside._view
    inside._view = lambda name: (drawn.append(name), view(name))[1]
    assert spec_of(held).difference(spec_of(around)) is None
    for env in (held, around):
        env.reset(seed=3)
    drawn.clear()
    for step in range(7):
        action = np.array([0.4, -0.7]) * (-1) ** step
        one, other = held.step(action), around.step(action)
        np.testing.assert_array_equal(one[0]["images"]["camera"], other[0]["images"]["camera"])
        assert one[1:4] == other[1:4]
    assert len(drawn) == 7 and one[3]

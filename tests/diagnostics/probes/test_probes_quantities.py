"""Quantities agree with dm_control's own accessors, with naive formulas and with the picture."""

from __future__ import annotations

import numpy as np
import pytest

from foresight.core.errors import ForesightError
from foresight.diagnostics.probes.state_probe import StateProbe
from foresight.envs.dmc.environment import DMControlEnv
from foresight.envs.dmc.quantities import MEASURES
from foresight.envs.dmc.tasks import MEASURED_TASKS
from foresight.envs.registry import EnvConfig
from foresight.envs.render import RenderSettings
from foresight.rollout.episode import EpisodeSpec, run_episode

SEED = 31


def measured(task, steps=12, behaviour="ar1:0.9"):
    """An episode with what the probe says, name to values over time."""
    episode = run_episode(EpisodeSpec(EnvConfig(task, cameras=()), SEED, behaviour, steps))
    probe = StateProbe(task)
    values = probe.measure(SEED, episode.columns["sim.state"])
    assert values.shape == (steps, len(probe.position + probe.velocity))
    assert np.isfinite(values).all()
    return episode, dict(zip(probe.position + probe.velocity, values.T, strict=True))


def at(task, state):
    env = DMControlEnv(task, render=None)
    env.reset(seed=SEED)
    env.set_state(state)
    return env.physics


def test_every_source_task_has_quantities():
    assert set(MEASURES) == set(MEASURED_TASKS)


@pytest.mark.parametrize("task", MEASURED_TASKS)
def test_names_are_distinct_and_states_give_the_same_numbers_again(task):
    probe = StateProbe(task)
    names = probe.position + probe.velocity
    assert len(set(names)) == len(names)
    episode = run_episode(EpisodeSpec(EnvConfig(task, cameras=()), SEED, "random", 3))
    first = probe.measure(SEED, episode.columns["sim.state"])
    probe.measure(
        SEED + 1, episode.columns["sim.state"]
    )  # another episode in between leaves no trace
    np.testing.assert_array_equal(probe.measure(SEED, episode.columns["sim.state"]), first)


def test_reacher_from_its_geometry():
    episode, found = measured("reacher-easy")
    env = DMControlEnv("reacher-easy", render=None)
    env.reset(seed=SEED)
    target = env.physics.named.data.geom_xpos["target"]
    np.testing.assert_allclose(found["target x"], target[0])
    np.testing.assert_allclose(found["target y"], target[1])
    # Two links in the plane; the fingertip is the origin of the finger's body.
    model = env.physics.named.model
    upper = model.body_pos["hand", "x"]
    lower = model.body_pos["finger", "x"]
    shoulder, elbow = (
        episode.columns["sim.state"][:, 0],
        episode.columns["sim.state"][:, 0] + episode.columns["sim.state"][:, 1],
    )
    np.testing.assert_allclose(
        found["fingertip x"], upper * np.cos(shoulder) + lower * np.cos(elbow), atol=1e-9
    )
    np.testing.assert_allclose(
        found["fingertip y"], upper * np.sin(shoulder) + lower * np.sin(elbow), atol=1e-9
    )


@pytest.mark.parametrize("axis", ["x", "y"])
def test_fingertip_speed_is_the_derivative_of_its_place(axis):
    env = DMControlEnv("reacher-easy", render=None)
    env.reset(seed=SEED)
    state, step = env.physics.get_state(), 1e-6
    state[2:] = [1.5, -2.0]
    later = state.copy()
    later[:2] += step * state[2:]
    probe = StateProbe("reacher-easy")
    values = probe.measure(SEED, np.stack([state, later]))
    names = probe.position + probe.velocity
    place = values[:, names.index(f"fingertip {axis}")]
    speed = values[0, names.index(f"fingertip speed {axis}")]
    assert (place[1] - place[0]) / step == pytest.approx(speed, abs=1e-4)


def test_simple_tasks_read_their_coordinates():
    episode, found = measured("point_mass-easy")
    np.testing.assert_allclose(list(found.values()), episode.columns["sim.state"].T)
    episode, found = measured("cartpole-swingup")
    np.testing.assert_allclose(found["cart x"], episode.columns["sim.state"][:, 0])
    np.testing.assert_allclose(found["pole speed"], episode.columns["sim.state"][:, 3])
    physics = at("cartpole-swingup", episode.columns["sim.state"][5])
    assert found["pole cos"][5] == pytest.approx(physics.pole_angle_cosine().item())
    assert found["pole sin"][5] == pytest.approx(np.ravel(physics.bounded_position())[2])


def test_walker_and_hopper_against_their_accessors():
    episode, found = measured("walker-walk")
    physics = at("walker-walk", episode.columns["sim.state"][7])
    assert found["torso height"][7] == pytest.approx(physics.torso_height())
    assert found["pitch cos"][7] == pytest.approx(physics.torso_upright())
    assert found["speed"][7] == pytest.approx(physics.horizontal_velocity())
    hips = physics.named.data.qpos["left_hip"] + physics.named.data.qpos["right_hip"]
    assert found["hip sum"][7] == pytest.approx(hips.item())
    episode, found = measured("hopper-hop")
    physics = at("hopper-hop", episode.columns["sim.state"][7])
    foot = physics.named.data.xipos["foot", "z"]
    torso = physics.named.data.xipos["torso", "z"]
    assert physics.height() == pytest.approx(torso - foot)  # what the accessor itself means
    assert found["forward speed"][7] == pytest.approx(physics.speed())
    assert found["knee"][7] == pytest.approx(physics.named.data.qpos["knee"].item())


def test_exchanging_the_walkers_legs_changes_nothing_that_is_asked():
    episode, _ = measured("walker-walk", steps=2)
    state = episode.columns["sim.state"][1].copy()
    mirrored = state.copy()
    mirrored[3:6], mirrored[6:9] = state[6:9], state[3:6]
    mirrored[12:15], mirrored[15:18] = state[15:18], state[12:15]
    probe = StateProbe("walker-walk")
    np.testing.assert_allclose(*probe.measure(SEED, np.stack([state, mirrored])), atol=1e-9)


def test_cheetah_and_cup_against_their_accessors():
    episode, found = measured("cheetah-run")
    physics = at("cheetah-run", episode.columns["sim.state"][9])
    assert found["speed"][9] == pytest.approx(physics.speed())
    np.testing.assert_allclose(found["ffoot"], episode.columns["sim.state"][:, 8])
    episode, found = measured("cup-catch")
    physics = at("cup-catch", episode.columns["sim.state"][9])
    target = physics.named.data.site_xpos["target", ["x", "z"]]
    ball = np.array([found["ball x"][9], found["ball z"][9]])
    np.testing.assert_allclose(target - ball, physics.ball_to_target())
    cup = physics.named.data.xpos["cup"]
    assert (found["cup x"][9], found["cup z"][9]) == pytest.approx((cup[0], cup[2]))


def test_half_a_turn_of_the_spinner_is_invisible_and_changes_no_quantity():
    env = DMControlEnv("finger-spin", render=RenderSettings(size=64))
    env.reset(seed=SEED)
    probe = StateProbe("finger-spin")
    state = env.physics.get_state()
    frames, states = [], []
    for turn in (0.0, np.pi, np.pi / 2):
        turned = state.copy()
        turned[2] += turn
        frames.append(env.set_state(turned)["images"]["camera"].astype(int))
        states.append(turned)
    env.close()
    half, quarter = (np.abs(frames[0] - other).mean() for other in frames[1:])
    assert quarter > 20 * half
    values = probe.measure(SEED, np.array(states))
    np.testing.assert_allclose(values[0], values[1], atol=1e-9)
    assert np.abs(values[0] - values[2]).max() > 0.5


def test_a_task_without_quantities_is_refused():
    with pytest.raises(ForesightError, match=r"acrobot-swingup.*reacher-easy"):
        StateProbe("acrobot-swingup")

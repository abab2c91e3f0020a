"""The gait's geometry and timing, without a simulator."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from foresight.envs.spot.gait import (
    HIPS,
    GaitConfig,
    Trot,
    feet,
    foot_places,
    joint_targets,
    leg_angles,
)
from foresight.envs.spot.model import CONTROL_STEP
from foresight.envs.spot.tasks import ACTION_SCALE, POSE

GAIT = GaitConfig()
COMMAND = np.array([0.5, -0.3, 0.4])


def test_inverse_kinematics_undo_forward_kinematics():
    spread = np.random.default_rng(0).uniform(-0.5, 0.5, (200, 4, 3))
    angles = POSE.reshape(1, 4, 3) + spread
    assert leg_angles(foot_places(angles)) == pytest.approx(angles, abs=1e-9)


def test_a_place_out_of_reach_is_approached_in_its_direction():
    far = HIPS[None] + np.array([0.1, 0.0, -3.0]) + [[0, s * 0.1108, 0] for s in (1, -1, 1, -1)]
    reached = foot_places(leg_angles(far))
    assert np.linalg.norm(reached - HIPS, axis=-1) == pytest.approx(
        np.full((1, 4), 0.666), abs=0.01
    )
    assert (reached - HIPS)[..., 0] / -(reached - HIPS)[..., 2] == pytest.approx(0.1 / 3, abs=0.01)


def test_feet_on_the_ground_carry_the_body_as_commanded():
    still = replace(GAIT, gain=(1.0, 1.0, 1.0), drift=0.0)
    early, late = feet(still, np.array([0.1, 0.1 + 1e-4 / still.stride]), COMMAND)
    velocity = (late - early) / 1e-4
    grounded = early[:, 2] == late[:, 2]
    assert grounded[0] and grounded[3]  # the pair that began to push at phase 0
    for foot in np.flatnonzero(grounded):
        x, y = _stand(still)[foot]
        wanted = -np.array([COMMAND[0] - COMMAND[2] * y, COMMAND[1] + COMMAND[2] * x])
        assert velocity[foot, :2] == pytest.approx(wanted, abs=1e-6)


def test_feet_move_without_a_jump_and_as_fast_as_the_ground_where_they_land():
    phases = np.linspace(0, 1, 2001)
    paths = feet(GAIT, phases, COMMAND)
    steps = np.abs(np.diff(paths, axis=0)) / np.diff(phases)[0] / GAIT.stride
    assert paths[0] == pytest.approx(paths[-1])
    assert steps.max() < 4.0  # metres a second
    acceleration = np.abs(np.diff(paths, 2, axis=0)) / np.diff(phases)[0] ** 2 / GAIT.stride**2
    assert acceleration.max() < 200.0  # a jump of velocity would give thousands


def test_diagonal_feet_swing_together_and_no_pair_leaves_before_the_other_has_landed():
    up = feet(GAIT, np.linspace(0, 1, 400, endpoint=False), COMMAND)[..., 2]
    up = up > up.min() + 1e-9
    assert (up[:, 0] == up[:, 3]).all() and (up[:, 1] == up[:, 2]).all()
    assert not (up[:, 0] & up[:, 1]).any()
    assert up[:, 0].mean() == pytest.approx(1 - GAIT.stance, abs=0.01)


def test_without_a_command_spot_stands():
    trot = Trot()
    targets = [trot.step(np.zeros(3)) for _ in range(30)]
    assert np.ptp(targets, axis=0) == pytest.approx(np.zeros(12), abs=1e-12)


def test_targets_lead_by_the_actuators_lag():
    """A joint that lags its target by a time constant is then where the plan wants it."""
    phases = np.arange(600) * 0.002 / GAIT.stride
    wanted = np.array([joint_targets(replace(GAIT, lead=0.0), p, COMMAND) for p in phases])
    targets = np.array([joint_targets(GAIT, p, COMMAND) for p in phases])
    followed = {}
    for name, asked in (("led", targets), ("late", wanted)):
        joints, path = wanted[0].copy(), []
        for target in asked:  # lag * joints' = target - joints
            joints = joints + 0.002 * (target - joints) / GAIT.lead
            path.append(joints)
        followed[name] = np.abs(np.array(path)[250:] - wanted[250:]).mean()
    assert followed["led"] < followed["late"] / 5


def test_the_followed_command_changes_at_a_bounded_rate():
    trot = Trot(replace(GAIT, slew=0.5))
    for step in range(1, 60):
        trot.step(np.array([0.2, -0.8, 0.0]))
        most = min(0.5 * step * CONTROL_STEP, 0.2)
        assert trot.memory[1] == pytest.approx(most)
    assert trot.memory[2] == pytest.approx(-0.5 * 59 * CONTROL_STEP)
    at_once = Trot(replace(GAIT, slew=0.0))
    at_once.step(COMMAND)
    assert at_once.memory[1:] == pytest.approx(COMMAND)


def test_targets_of_the_largest_commands_are_within_an_actions_reach():
    largest = np.array([0.6, 0.48, 0.6])
    for signs in np.ndindex(2, 2, 2):
        command = largest * (1 - 2 * np.array(signs))
        targets = [joint_targets(GAIT, phase, command) for phase in np.linspace(0, 1, 50)]
        beyond = np.abs(np.array(targets) - POSE) > ACTION_SCALE
        assert beyond.mean() < 0.1


def _stand(gait):
    ahead, out = gait.offset, 0.1108 + gait.spread
    sides = np.array([1, -1, 1, -1])
    return np.stack([HIPS[:, 0] + ahead, HIPS[:, 1] + sides * out], 1)

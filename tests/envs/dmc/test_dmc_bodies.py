"""Changed bodies: the simulator's own numbers, when they change, and what stays."""

from __future__ import annotations

import numpy as np
import pytest

from foresight.core.errors import ForesightError
from foresight.envs.dmc.bodies import BodyChange, ChangedBodyEnv
from foresight.envs.registry import make

PUSH = np.full(2, 0.5)


def numbers(env):
    model = env.unwrapped.physics.model
    names = ("body_mass", "body_inertia", "actuator_gear", "geom_friction", "dof_invweight0")
    return {name: np.array(getattr(model.ptr, name)) for name in names}


@pytest.mark.parametrize("part", ["mass", "gear", "friction"])
def test_factors_are_on_what_they_name_and_on_nothing_else(part):
    own = numbers(make("reacher-easy", cameras=()))
    other = numbers(make("reacher-easy", cameras=(), **{part: 1.5}))
    factors = {"mass": {"body_mass": 1.5, "body_inertia": 1.5, "dof_invweight0": 1 / 1.5}}
    factors |= {"gear": {"actuator_gear": 1.5}, "friction": {"geom_friction": 1.5}}
    for name, values in own.items():
        np.testing.assert_allclose(other[name], values * factors[part].get(name, 1.0), rtol=1e-6)


def test_half_the_gear_is_half_the_action():
    """The robot of half strength goes where the other goes with half the push, to the last bits."""
    weak, usual = make("reacher-easy", cameras=(), gear=0.5), make("reacher-easy", cameras=())
    for env in (weak, usual):
        env.reset(seed=3)
    for _ in range(5):
        there = [env.step(push)[4]["state"] for env, push in ((weak, PUSH), (usual, PUSH / 2))]
    np.testing.assert_allclose(there[0], there[1], atol=1e-12)


def test_a_changed_body_looks_as_it_did():
    """What changes cannot be seen: the same state gives the same picture, before and after."""
    shown = []
    for options in ({}, {"mass": 1.5}, {"gear": 0.5, "changes_at": 1}):
        env = make("walker-walk", size=64, quality="smooth", **options)
        start = env.reset(seed=0)[1]["state"]
        for _ in range(2):
            env.step(np.ones(6))
        shown.append(env.unwrapped.set_state(start)["images"]["camera"])
        env.close()
    assert shown[0].std() > 10
    for picture in shown[1:]:
        np.testing.assert_array_equal(picture, shown[0])


def test_the_body_changes_in_the_middle_and_is_the_own_one_again_after_a_reset():
    late, usual = (
        make("reacher-easy", cameras=(), **o) for o in ({"mass": 3.0, "changes_at": 2}, {})
    )
    for _ in range(2):
        states = [[env.reset(seed=1)[1]["state"]] for env in (late, usual)]
        changed = []
        for _ in range(4):
            for env, seen in zip((late, usual), states, strict=True):
                info = env.step(PUSH)[4]
                seen.append(info["state"])
                if env is late:
                    changed.append(info["changed"])
        assert changed == [False, False, True, True]
        same = [np.array_equal(*pair) for pair in zip(*states, strict=True)]
        assert same == [True, True, True, False, False]


def test_a_body_that_does_not_change_is_the_tasks_own_environment():
    assert not isinstance(make("reacher-easy", cameras=()).unwrapped, ChangedBodyEnv)
    env = make("lqr-lqr_2_1", cameras=(), mass=2.0)  # its model is drawn anew at each reset
    own = make("lqr-lqr_2_1", cameras=())
    for each in (env, own):
        each.reset(seed=5)
    np.testing.assert_allclose(numbers(env)["body_mass"], 2 * numbers(own)["body_mass"])


@pytest.mark.parametrize("factor", [0.0, -1.0, float("nan")])
def test_factors_that_are_none_are_refused(factor):
    with pytest.raises(ForesightError, match="on the mass is refused: give a number above 0"):
        BodyChange(mass=factor)

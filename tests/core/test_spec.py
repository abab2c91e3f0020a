import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from foresight.core.errors import ForesightError
from foresight.core.spec import Axis, Spec, numbered_axes

ARM = Spec(
    cameras={"front": (48, 64), "wrist": (32, 32)},
    state=(Axis("shoulder.pos", "rad"), Axis("gripper.pos", "mm")),
    action=(Axis("shoulder", "rad", -1, 1), Axis("gripper", "mm", 0, 80)),
    fps=20,
    tasks=("lift the cube",),
)

names = st.text(st.characters(codec="ascii", categories=("L", "N")), min_size=1, max_size=8)
bounds = st.one_of(
    st.just((-float("inf"), float("inf"))),
    st.tuples(st.floats(-1e6, 0), st.floats(0, 1e6)),
)
axes = st.lists(
    st.builds(
        lambda name, unit, bound: Axis(name, unit, *bound),
        names,
        st.none() | st.sampled_from(["rad", "m"]),
        bounds,
    ),
    max_size=4,
).map(tuple)
specs = st.builds(
    Spec,
    cameras=st.dictionaries(names, st.tuples(st.integers(1, 999), st.integers(1, 999)), max_size=3),
    state=axes,
    action=axes,
    fps=st.floats(0.1, 1000),
    tasks=st.lists(names, max_size=3).map(tuple),
)


@given(specs)
def test_json_brings_a_spec_back(spec):
    again = Spec.from_json(json.loads(json.dumps(spec.to_json(), allow_nan=False)))
    assert again == spec
    assert again.difference(spec) is None


@given(specs, specs)
def test_a_difference_is_seen_from_both_sides(one, other):
    assert (one.difference(other) is None) == (other.difference(one) is None)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"cameras": {"front": (48, 64)}}, "'front', 'wrist', the other 'front'"),
        ({"cameras": {"front": (48, 64), "wrist": (32, 30)}}, "32x32 pixels in the one and 32x30"),
        ({"action": ARM.action[:1]}, "2 numbers of action, the other 1"),
        ({"action": (ARM.action[0], Axis("grip", "mm", 0, 80))}, "'gripper' in the one and 'grip'"),
        ({"action": (ARM.action[0], Axis("gripper", "mm", 0, 90))}, "from 0 to 80 in the one"),
        ({"state": (ARM.state[0], Axis("gripper.pos", "m"))}, "in mm in the one and in m in the"),
        ({"fps": 30}, "decides 20 times a second, the other 30 times"),
    ],
)
def test_the_first_difference_is_named(change, words):
    other = Spec(**{**vars(ARM), **change})
    assert words in str(ARM.difference(other))
    with pytest.raises(ForesightError, match="the model and the robot do not fit"):
        ARM.expect(other, "the model", "the robot")


def test_parts_that_nobody_asks_about_may_differ():
    other = Spec(**{**vars(ARM), "fps": 30})
    assert ARM.difference(other, parts=("cameras", "action", "state")) is None


def test_a_unit_that_nobody_knows_fits_every_unit():
    action = (Axis("shoulder", None, -1, 1), ARM.action[1])
    assert ARM.difference(Spec(**{**vars(ARM), "action": action})) is None


def test_bounds_as_arrays():
    np.testing.assert_array_equal(ARM.low, np.array([-1, 0], np.float32))
    np.testing.assert_array_equal(ARM.high, np.array([1, 80], np.float32))
    free = numbered_axes("motor", 2)
    assert [axis.name for axis in free] == ["motor_0", "motor_1"]
    assert np.isinf(Spec(action=free).low).all()


@pytest.mark.parametrize(
    "make",
    [
        lambda: Axis(""),
        lambda: Axis("x", None, 1, -1),
        lambda: Axis("x", None, float("nan"), 1),
        lambda: Spec(fps=0),
        lambda: Spec(fps=float("inf")),
        lambda: Spec(cameras={"front": (0, 4)}),
        lambda: Spec.from_json({"cameras": {}}),
        lambda: Spec.from_json(None),
    ],
)
def test_nonsense_is_refused(make):
    with pytest.raises(ForesightError):
        make()

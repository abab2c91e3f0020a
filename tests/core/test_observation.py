import numpy as np
import pytest

from foresight.core.errors import ForesightError
from foresight.core.observation import Observation
from foresight.core.spec import Axis, Spec

SPEC = Spec(cameras={"front": (4, 6)}, state=(Axis("a"), Axis("b")))


def seen(shape=(4, 6, 3), dtype=np.uint8, state=(0.0, 1.0)):
    return Observation({"front": np.zeros(shape, dtype)}, np.array(state, np.float32))


def test_what_an_environment_gives():
    observation = Observation.of(
        {"images": {"front": np.zeros((4, 6, 3), np.uint8)}, "state": [1, 2]}, "lift", 0.5
    )
    observation.check(SPEC, "the robot")
    assert observation.state.dtype == np.float32
    assert (observation.task, observation.timestamp) == ("lift", 0.5)
    assert Observation.of({}).state.shape == (0,)


def test_what_was_done_and_how_old_it_is_are_told_beside():
    spec = Spec(cameras={}, action=(Axis("x"), Axis("y")))
    told = Observation.of({}, info={"executed_action": [1, 2], "observation_age": 3, "time": 1.0})
    told.check(spec, "the robot")
    assert told.executed.dtype == np.float32 and told.executed.tolist() == [1, 2]
    assert told.age == 3
    silent = Observation.of({}, info={"time": 1.0})
    assert silent.executed is None and silent.age is None
    with pytest.raises(ForesightError, match=r"executed an action of shape \[1\] where 2 numbers"):
        Observation.of({}, info={"executed_action": [1]}).check(spec, "the robot")


@pytest.mark.wrong_arrays
@pytest.mark.parametrize(
    ("made", "words"),
    [
        (Observation, "no picture of camera 'front' .it has none"),
        (lambda: seen(shape=(6, 4, 3)), r"\[6, 4, 3\] where uint8 \[4, 6, 3\]"),
        (lambda: seen(dtype=np.float32), "float32"),
        (lambda: seen(state=(0.0,)), "where 2 numbers"),
        (lambda: seen(state=(0.0, np.nan)), "nan as 'b'"),
    ],
)
def test_what_does_not_fit_is_named(made, words):
    with pytest.raises(ForesightError, match=words):
        made().check(SPEC, "the robot")

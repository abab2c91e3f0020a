"""Any Gymnasium environment behind Foresight's face, and sentences for what does not fit."""

from __future__ import annotations

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces
from hypothesis import given
from hypothesis import strategies as st

from fake_robot import FRONT, HIGH, LOW, TASK, WRIST, FakeRobot, fake_robot
from foresight.core.errors import ForesightError
from foresight.envs.interface import spec_of, task_of
from foresight.envs.wrap import wrap

PICTURE = spaces.Box(0, 255, (8, 12, 3), np.uint8)
JOINTS = spaces.Box(-2, 2, (3,), np.float64)
BOUNDED = spaces.Box(-1, 1, (2,), np.float32)


class Shown(gymnasium.Env):
    """Shows samples of a space."""

    metadata = {"render_modes": ["rgb_array"], "render_fps": 7}  # noqa: RUF012

    def __init__(self, shown, action=BOUNDED, render_mode=None):
        self.observation_space, self.action_space = shown, action
        self.render_mode = render_mode
        self.given = None

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.observation_space.seed(seed)
        return self.observation_space.sample(), {}

    def step(self, action):
        self.given = action
        return self.observation_space.sample(), np.float64(1), np.bool_(True), np.bool_(False), {}

    def render(self):
        return np.full((6, 10, 3), 5, np.uint8)


def test_the_automatic_choice():
    env = fake_robot()
    spec = spec_of(env)
    assert dict(spec.cameras) == {"front": FRONT, "wrist": WRIST}
    assert [axis.name for axis in spec.state] == [f"joints_{i}" for i in range(4)]
    np.testing.assert_array_equal(spec.low, LOW)
    np.testing.assert_array_equal(spec.high, HIGH)
    assert (spec.fps, spec.tasks, task_of(env)) == (10, (TASK,), TASK)
    raw, ours = FakeRobot(), env
    theirs, _ = raw.reset(seed=5)
    seen, info = ours.reset(seed=5)
    assert info["seed"] == 5
    np.testing.assert_array_equal(seen["images"]["front"], theirs["front"])
    np.testing.assert_array_equal(seen["images"]["wrist"], theirs["wrist"])
    np.testing.assert_array_equal(seen["state"], theirs["joints"])


def test_an_early_end_is_an_end():
    env = fake_robot()
    env.reset(seed=0)
    for _ in range(40):
        *_, terminated, truncated, info = env.step(env.unwrapped.towards_goal())
        if terminated or truncated:
            break
    assert (terminated, truncated, info["success"]) == (True, False, True)
    env.reset(seed=0)
    ends = [env.step(np.zeros(2))[2:4] for _ in range(40)]
    assert ends[-1] == (False, True)
    assert set(ends[:-1]) == {(False, False)}


def test_actions_are_clipped_and_have_the_robots_type():
    env = Shown(spaces.Dict({"joints": JOINTS}), spaces.Box(-1, 1, (2,), np.float64))
    ours = wrap(env)
    ours.reset(seed=0)
    _, reward, terminated, truncated, info = ours.step([0.25, 9])
    assert env.given.dtype == np.float64
    assert env.given.tolist() == info["executed_action"].tolist() == [0.25, 1]
    assert info["executed_action"].dtype == np.float32
    assert [type(value) for value in (reward, terminated, truncated)] == [float, bool, bool]


@pytest.mark.parametrize("action", [[np.nan, 0], [0], "left", [[0, 0]]])
def test_what_is_no_action_never_reaches_the_robot(action):
    env = Shown(spaces.Dict({"joints": JOINTS}))
    ours = wrap(env)
    ours.reset(seed=0)
    with pytest.raises(ForesightError, match="action"):
        ours.step(action)
    assert env.given is None


@given(
    sizes=st.lists(st.integers(0, 3), min_size=1, max_size=4),
    dtype=st.sampled_from([np.float32, np.float64, np.int64, np.uint8]),
)
def test_the_state_is_the_numbers_in_the_order_of_their_keys(sizes, dtype):
    """A size of 0 stands for a number without an axis."""
    parts = {
        f"part{i}": spaces.Box(0, 9, (size,) if size else (), dtype) for i, size in enumerate(sizes)
    }
    env = Shown(spaces.Dict(parts))
    ours = wrap(env)
    seen, _ = ours.reset(seed=1)
    env.observation_space.seed(1)
    expected = env.observation_space.sample()
    flat = np.concatenate([np.ravel(expected[key]) for key in sorted(parts)])
    np.testing.assert_array_equal(seen["state"], flat.astype(np.float32))
    assert len(spec_of(ours).state) == len(flat)
    assert spec_of(ours).state[0].name == ("part0_0" if sizes[0] else "part0")
    assert "images" not in seen


def test_keys_of_nested_observations_are_dotted():
    space = spaces.Dict(
        {"pixels": spaces.Dict({"left": PICTURE, "top": PICTURE}), "agent_pos": JOINTS}
    )
    assert list(spec_of(wrap(Shown(space))).cameras) == ["left", "top"]
    picked = wrap(Shown(space), cameras={"over": "pixels.top"}, state=["agent_pos"])
    assert list(spec_of(picked).cameras) == ["over"]
    both = spaces.Dict({"a": spaces.Dict({"rgb": PICTURE}), "b": spaces.Dict({"rgb": PICTURE})})
    assert list(spec_of(wrap(Shown(both))).cameras) == ["a_rgb", "b_rgb"]


def test_render_is_a_camera_where_there_is_no_other():
    env = wrap(Shown(JOINTS, render_mode="rgb_array"))
    assert dict(spec_of(env).cameras) == {"camera": (6, 10)}
    assert [axis.name for axis in spec_of(env).state] == ["state_0", "state_1", "state_2"]
    seen, _ = env.reset(seed=0)
    assert (seen["images"]["camera"] == 5).all()
    assert not spec_of(wrap(Shown(JOINTS))).cameras
    extra = wrap(
        Shown(spaces.Dict({"eye": PICTURE}), render_mode="rgb_array"), cameras=["render", "eye"]
    )
    assert dict(spec_of(extra).cameras) == {"camera": (6, 10), "eye": (8, 12)}


def test_names_rate_and_task_can_be_given():
    env = wrap(Shown(PICTURE), fps=12.5, task="look")
    assert (spec_of(env).fps, task_of(env)) == (12.5, "look")
    assert dict(spec_of(env).cameras) == {"camera": (8, 12)}
    assert spec_of(wrap(Shown(PICTURE))).fps == 7
    assert wrap(env) is env


def box(shape, dtype=np.float32, low=0, high=1):
    return spaces.Box(low, high, shape, dtype)


@pytest.mark.parametrize(
    ("shown", "words"),
    [
        (box((3, 8, 12), np.uint8, 0, 255), "colours first"),
        (box((3, 8, 12)), "colours first"),
        (box((8, 12, 3)), "picture of float32.*scale and round"),
        (box((8, 12, 1), np.uint8, 0, 255), "1 channels.*repeat grey"),
        (box((8, 12, 4), np.uint8, 0, 255), "4 channels"),
        (box((64, 8)), "neither a picture"),
        (spaces.Discrete(4), "neither a picture"),
        (spaces.Text(5), "neither a picture"),
    ],
)
def test_observations_that_do_not_fit_are_named(shown, words):
    for space in (shown, spaces.Dict({"joints": JOINTS, "odd": shown})):
        with pytest.raises(ForesightError, match=words) as caught:
            wrap(Shown(space))
        assert "\n" not in str(caught.value)
    # Who says what to use may leave the rest alone.
    env = wrap(Shown(spaces.Dict({"joints": JOINTS, "odd": shown})), cameras=[], state=["joints"])
    assert len(spec_of(env).state) == 3


@pytest.mark.parametrize(
    ("action", "words"),
    [
        (spaces.Discrete(3), "a list of bounded numbers"),
        (spaces.MultiDiscrete([2, 2]), "a list of bounded numbers"),
        (spaces.Dict({"a": BOUNDED}), "a list of bounded numbers"),
        (box((2, 2)), r"float32 \[2, 2\].*one dimension"),
        (spaces.Box(np.array([0, -np.inf]), np.array([1, 1]), dtype=np.float64), "number 1 goes"),
        (spaces.Box(-1, np.inf, (2,)), "unbounded: number 0 goes from -1 to inf"),
    ],
)
def test_actions_that_do_not_fit_are_named(action, words):
    with pytest.raises(ForesightError, match=words) as caught:
        wrap(Shown(JOINTS, action))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"cameras": ["eye"]}, r"no observation 'eye'.*'joints', 'view'"),
        ({"cameras": ["joints"]}, r"a camera's picture is uint8 \[H, W, 3\]"),
        ({"cameras": ["render"]}, 'render_mode="rgb_array"'),
        ({"state": ["feelings"]}, "no observation 'feelings'"),
        ({"fps": "fast"}, "how many decisions"),
        ({"fps": 0}, "rate of 0"),
    ],
)
def test_wishes_that_cannot_be_met_are_named(options, words):
    with pytest.raises(ForesightError, match=words):
        wrap(Shown(spaces.Dict({"joints": JOINTS, "view": PICTURE})), **options)


def test_a_robot_without_a_rate_is_asked_for_it():
    env = Shown(JOINTS)
    env.metadata = {}
    with pytest.raises(ForesightError, match="pass fps="):
        wrap(env)


@pytest.mark.parametrize("broken", ["nan", "size", "type", "missing"])
def test_an_observation_that_breaks_its_promise_is_named(broken):
    class Broken(FakeRobot):
        def _observe(self):
            seen = super()._observe()
            if broken == "nan":
                seen["joints"][2] = np.nan
            elif broken == "size":
                seen["wrist"] = seen["wrist"][1:]
            elif broken == "type":
                seen["wrist"] = seen["wrist"].astype(np.float32)
            else:
                del seen["wrist"]
            return seen

    words = {"nan": "nan as 'joints_2'", "missing": "'wrist'"}.get(broken, "picture of camera")
    with pytest.raises(ForesightError, match=words):
        wrap(Broken()).reset(seed=0)


def test_a_render_that_is_no_picture_is_named():
    class Grey(Shown):
        def render(self):
            return np.zeros((4, 4), np.float32)

    with pytest.raises(ForesightError, match=r"render\(\) of Grey gives float32 \[4, 4\]"):
        wrap(Grey(JOINTS, render_mode="rgb_array"))

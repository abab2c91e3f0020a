"""Ids, options and pickles of environments."""

from __future__ import annotations

import pickle
import subprocess
import sys
import warnings
from importlib.metadata import EntryPoint

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

import fake_robot
from fake_robot import FakeRobot
from foresight.core.errors import ForesightError
from foresight.core.spec import Spec
from foresight.envs import factories
from foresight.envs.dmc.tasks import task_ids
from foresight.envs.libero import tasks as libero
from foresight.envs.metaworld.tasks import TASKS
from foresight.envs.planar import tasks as planar
from foresight.envs.registry import (
    EnvConfig,
    env_ids,
    limit_of,
    make,
    register_env,
    spec_of,
    task_of,
)

ROBOT = "fake_robot:FakeRobot"


@pytest.fixture
def register(monkeypatch):
    """Registers for the time of a test."""
    monkeypatch.setattr(factories, "_registered", {})
    before = set(gymnasium.registry)
    yield register_env
    for name in set(gymnasium.registry) - before:
        del gymnasium.registry[name]


def episode(env, seed, steps=5):
    observation, _ = env.reset(seed=seed)
    found = [observation]
    rng = np.random.default_rng(seed)
    for _ in range(steps):
        found.append(env.step(rng.uniform(-0.5, 0.5, env.action_space.shape))[0])
    return found


def same(one, other):
    assert list(one) == list(other)
    for name, part in one.items():
        if isinstance(part, dict):
            same(part, other[name])
        else:
            np.testing.assert_array_equal(part, other[name])


def test_a_short_id_and_the_full_one_are_the_same():
    one, other = make("reacher-easy", size=16), make("dmc/reacher-easy", size=16)
    for a, b in zip(episode(one, 3), episode(other, 3), strict=True):
        same(a, b)
    assert make("dmc/ball_in_cup-catch", cameras=()).unwrapped.task_id == "cup-catch"


def test_the_list_has_every_task_of_the_suite_and_what_was_registered(register):
    register("acme/arm", FakeRobot)
    own = {f"dmc/{task}" for task in task_ids()} | {f"metaworld/{task}" for task in TASKS}
    own |= {f"libero/{task}" for task in libero.TASKS} | set(planar.TASKS)
    own |= {"spot/joints", "spot/command", "spot/mark"}
    assert own | {"acme/arm"} == set(env_ids())


def test_importing_the_room_imports_no_simulator_and_tells_gymnasium():
    code = """
import sys
import gymnasium
import foresight.envs
assert foresight.envs.env_ids()
assert gymnasium.spec("foresight/dmc-reacher-easy")
print(sorted({"mujoco", "dm_control", "torch"} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_missing_simulator_is_one_sentence_with_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "dm_control", None)
    with pytest.raises(ForesightError, match=r'pip install "foresight-robotics\[dmc\]"') as caught:
        make("reacher-easy")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("env_id", "words"),
    [
        ("reacher-eazy", "reacher-easy"),
        ("dmc/walker-wlak", "dmc/walker-walk"),
        ("", "Unknown environment"),
        ("gym/Nope-v3", "Gymnasium cannot make 'Nope-v3'"),
        ("gym/no_such_module:Nope-v3", "Gymnasium cannot make 'no_such_module:Nope-v3'"),
        ("no_such_module:Robot", "cannot be imported"),
        ("fake_robot:Robot", "no class or function 'Robot'"),
        ("fake_robot:FPS", "no class or function 'FPS'"),
    ],
)
def test_an_unknown_id_is_one_sentence(env_id, words):
    with pytest.raises(ForesightError, match=words) as caught:
        make(env_id)
    assert "\n" not in str(caught.value)


def test_a_registered_factory_gets_its_options(register):
    register("acme/arm", FakeRobot)
    env = make("acme/arm", limit=3)
    assert limit_of(env) is None  # the robot does not say it
    env.reset(seed=0)
    ends = [env.step(np.zeros(2))[3] for _ in range(3)]
    assert ends == [False, False, True]
    with pytest.raises(ForesightError, match=r"no option 'limits'.*limit, render_mode"):
        make("acme/arm", limits=3)


def test_an_id_is_given_once(register):
    register("acme/arm", FakeRobot)
    register("acme/arm", FakeRobot)
    with pytest.raises(ForesightError, match="is taken"):
        register("acme/arm", fake_robot.fake_robot)


@pytest.mark.parametrize("env_id", ["", "a/b/c", "dmc/my-task", "gym/mine", "with space", 3])
def test_what_is_no_id_is_refused(register, env_id):
    with pytest.raises(ForesightError, match="cannot be the id"):
        register(env_id, FakeRobot)


def test_a_factory_makes_environments(register):
    with pytest.raises(ForesightError, match="pass a class or a function"):
        register("acme/arm", "FakeRobot")
    register("acme/nothing", dict)
    with pytest.raises(ForesightError, match="a Gymnasium environment was expected"):
        make("acme/nothing")
    register("acme/picky", lambda port: FakeRobot())
    with pytest.raises(ForesightError, match="missing a required argument: 'port'"):
        make("acme/picky")


def test_installed_packages_offer_environments(register, monkeypatch):
    points = [
        EntryPoint("acme/offered", "fake_robot:FakeRobot", "foresight.envs"),
        EntryPoint("acme/broken", "fake_robot_that_is_missing:Robot", "foresight.envs"),
    ]
    monkeypatch.setattr(factories, "entry_points", lambda group: points)
    factories._offered.cache_clear()
    try:
        assert "acme/offered" in env_ids()
        assert list(spec_of(make("acme/offered")).cameras) == ["front", "wrist"]
        with pytest.raises(ForesightError, match=r"'acme/broken'.*does not load"):
            make("acme/broken")
    finally:
        factories._offered.cache_clear()


def test_gymnasium_makes_ours_and_finds_nothing_wrong(register):
    register("acme/arm", fake_robot.fake_robot)
    for name in ("foresight/dmc-reacher-easy", "foresight/acme-arm"):
        simulated = "dmc" in name
        env = gymnasium.make(name, **({"size": 16} if simulated else {}))
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            for allowed in (".*infinity.*", ".*symmetric and normalized.*", ".*unwrapped.*"):
                warnings.filterwarnings("ignore", allowed)
            check_env(env.unwrapped if simulated else env, skip_render_check=not simulated)
        assert spec_of(env).cameras
        env.close()


def test_gymnasiums_own_environments_are_made_too():
    env = make("gym/Pendulum-v1", cameras=(), fps=20, task="swing it up")
    spec = spec_of(env)
    assert (len(spec.state), spec.low.tolist(), spec.fps) == (3, [-2.0], 20)
    assert (task_of(env), limit_of(env)) == ("swing it up", 200)
    with pytest.raises(ForesightError, match="no option 'colour'"):
        make("fake_robot:FakeRobot", colour="red")


def test_a_module_that_brings_its_environments_to_gymnasium_is_imported(tmp_path, monkeypatch):
    code = "import gymnasium\ngymnasium.register('theirs/Arm-v0', 'fake_robot:FakeRobot')\n"
    (tmp_path / "their_arms.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    env = make("gym/their_arms:theirs/Arm-v0", limit=3)
    assert list(spec_of(env).cameras) == ["front", "wrist"]
    del gymnasium.registry["theirs/Arm-v0"]


def test_every_setting_reaches_the_environment():
    config = EnvConfig.of(
        "cartpole-balance",
        cameras=["lookatcart", "camera"],
        size=[16, 24],
        action_repeat=2,
        time_limit=3,
        action_delay=1,
        history=2,
    )
    env = config.make()
    spec = spec_of(env)
    assert dict(spec.cameras) == {"lookatcart": (16, 24), "camera": (16, 24)}
    assert (spec.fps, limit_of(env), len(spec.state)) == (50, 3, 10)
    observation, _ = env.reset(seed=0)
    assert observation["images"]["camera"].shape == (16, 24, 3)
    first, second, third = (env.step([1.0]) for _ in range(3))
    assert first[4]["executed_action"] == [0.0]
    assert second[4]["executed_action"] == [1.0]
    assert third[2:4] == (False, True)


def test_cameras_and_sizes_of_a_strangers_robot():
    env = make(ROBOT, cameras=("wrist",), size=12)
    assert dict(spec_of(env).cameras) == {"wrist": (12, 12)}
    assert env.reset(seed=0)[0]["images"]["wrist"].shape == (12, 12, 3)


def test_configurations_are_hashed_compared_and_pickled():
    one = EnvConfig.of(ROBOT, limit=5, cameras=["front"])
    other = EnvConfig.of(ROBOT, cameras=("front",), limit=5)
    assert one == other
    assert len({one, other, EnvConfig(ROBOT)}) == 2
    assert EnvConfig(ROBOT, cameras=["front"], size=[8, 9]) == EnvConfig.of(
        ROBOT, cameras="front", size=(8, 9)
    )
    again = pickle.loads(pickle.dumps(one))
    assert again == one
    for a, b in zip(episode(one.make(), 2), episode(again.make(), 2), strict=True):
        same(a, b)
    with pytest.raises(ForesightError, match="cannot be kept"):
        EnvConfig.of(ROBOT, limit={"a": 1})


def test_a_registered_id_travels_to_a_fresh_process(register, tmp_path):
    register("acme/arm", FakeRobot)
    path = tmp_path / "config"
    path.write_bytes(pickle.dumps(EnvConfig("acme/arm")))
    code = f"""
import pickle, sys
sys.path[:] = {sys.path!r}
config = pickle.loads(open({str(path)!r}, "rb").read())
print(config.make().reset(seed=4)[0]["state"].tolist())
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    here = EnvConfig("acme/arm").make().reset(seed=4)[0]["state"].tolist()
    assert done.stdout.strip() == str(here)


def test_an_id_that_a_script_registers_is_known_to_its_workers(tmp_path):
    path = tmp_path / "script.py"
    path.write_text(f"""
import multiprocessing, sys
sys.path[:] = {sys.path!r}
from fake_robot import FakeRobot
from foresight.envs import EnvConfig, register_env
def arm(): return FakeRobot(limit=7)
def limit(config): return config.make().unwrapped.limit
if __name__ == "__main__":
    register_env("acme/arm", arm)
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        print(pool.map(limit, [EnvConfig("acme/arm")]))
""")
    done = subprocess.run([sys.executable, path], check=False, capture_output=True, text=True)
    assert done.stdout == "[7]\n", done.stderr


def test_a_spec_is_asked_of_ours_only():
    assert isinstance(spec_of(make(ROBOT)), Spec)
    with pytest.raises(ForesightError, match="pass it to foresight"):
        spec_of(FakeRobot())


def test_the_command_line_reads_a_configuration():
    import tyro

    words = "--id acme/arm --cameras a b --size 8 9 --action-delay 2 --options port 7 fast True"
    found = tyro.cli(EnvConfig, args=[*words.split(), "name", "left"])
    options = (("port", 7), ("fast", True), ("name", "left"))
    assert found == EnvConfig(
        "acme/arm", cameras=("a", "b"), size=(8, 9), action_delay=2, options=options
    )


def test_with_a_delay_the_last_actions_join_the_state():
    env = make(ROBOT, action_delay=2, action_history=2)
    assert [axis.name for axis in spec_of(env).state[4:]] == [
        *("action_0@-2", "action_1@-2", "action_0@-1", "action_1@-1")
    ]
    env.reset(seed=0)
    env.step([0.5, 0.25])
    assert env.step([-0.5, 0.0])[0]["state"][4:].tolist() == [0.5, 0.25, -0.5, 0.0]

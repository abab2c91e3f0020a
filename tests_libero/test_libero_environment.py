"""LIBERO's tasks against the package's own environment, and what is ours around them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from foresight.core.errors import ForesightError
from foresight.core.simulator import Simulator
from foresight.envs import EnvConfig, limit_of, make, spec_of
from foresight.envs.check import check, fits
from foresight.envs.libero import packages
from foresight.envs.libero.init_states import read_init_states
from foresight.envs.libero.placement import REACH
from foresight.envs.libero.simulation import STATE_SIZE, STILL
from foresight.envs.libero.tasks import PROTOCOLS, SUITES, SWAPPED, TASKS, task_text

BOWL, PLATE = "akita_black_bowl_1", "plate_1"


def acted(env, count, seed=0):
    actions = np.random.default_rng(seed).uniform(-1, 1, (count, 7))
    return [env.step(action) for action in actions]


def states(found):
    return np.stack([info["state"] for *_, info in found])


def place(env, thing):
    truth = env.unwrapped.truth()
    return np.array([truth[f"{thing}_{axis}"] for axis in "xyz"])


def theirs(task):
    """LIBERO's own environment of a task."""
    suite, name = task.split("/")
    return packages.load().env_wrapper.ControlEnv(
        bddl_file_name=str(packages.bddl_file(suite, name)),
        use_camera_obs=False,
        has_offscreen_renderer=False,
    )


def test_tasks_are_those_of_the_package():
    packages.load()
    from libero.libero.benchmark import task_maps

    for suite, names in SUITES.items():
        told = task_maps[f"libero_{suite.removesuffix(SWAPPED)}"]
        assert list(names) == list(told)
        for name in names:
            assert task_text(f"{suite}/{name}") == told[name].language


# Of the swapped suites a few, one in each: the scenes are those of the others.
SOME = [task for task in TASKS if "-swap/" not in task] + [
    f"{suite}/{SUITES[suite][number]}"
    for suite, number in (("spatial-swap", 4), ("object-swap", 0), ("goal-swap", 8), ("10-swap", 2))
]


@pytest.mark.parametrize("task", SOME)
def test_every_task_loads_and_steps(task):
    """From the file's first row, with room for its state and something to be seen."""
    env = make(f"libero/{task}", size=32, quality="fast")
    rows = read_init_states(packages.init_file(*task.split("/")))
    assert len(rows) == 50
    raw, info = env.reset(seed=1)
    assert raw["state"].shape == (8,) and raw["state"].dtype == np.float32
    sim = env.unwrapped.simulation
    assert rows.shape[1] == len(sim.row()) and info["state"].shape == (STATE_SIZE,)
    raw, reward, terminated, truncated, info = env.step(STILL)
    assert (reward, terminated, truncated, info["success"]) == (0.0, False, False, False)
    for camera in ("front", "wrist"):
        frame = raw["images"][camera]
        assert frame.shape == (32, 32, 3) and frame.std() > 10
    assert set(env.unwrapped.simulation.upstream.obj_body_id) <= {
        key.rpartition("_")[0] for key in env.unwrapped.truth()
    }
    env.close()


@pytest.mark.parametrize("task", ["spatial/0", "10/2"])
def test_an_episode_is_liberos_own_number_for_number(task, kept):
    env = kept(task, cameras=())
    other = theirs(env.unwrapped.task_id)
    rows = read_init_states(packages.init_file(env.unwrapped.suite, env.unwrapped.name))
    env.reset(seed=3)
    other.seed(0)
    other.reset()
    other.set_init_state(rows[3])
    for _ in range(10):
        other.step(STILL)
    for action in np.random.default_rng(0).uniform(-1, 1, (25, 7)):
        seen, reward, _, _ = other.step(action)
        raw, gained, *_ = env.step(action)
        assert np.array_equal(other.get_sim_state(), env.unwrapped.simulation.row())
        assert reward == gained
    # LIBERO looks at its hand up to 4 ms earlier, within which this moved a little.
    assert np.abs(seen["robot0_eef_pos"] - raw["state"][:3]).max() < 3e-3
    from robosuite.utils.transform_utils import quat2axisangle

    turned = quat2axisangle(seen["robot0_eef_quat"])
    assert np.abs(turned - raw["state"][3:6]).max() < 0.02
    assert np.abs(seen["robot0_gripper_qpos"] - raw["state"][6:]).max() < 1e-3


def test_swapped_suites_have_their_aims_and_things_and_other_places(kept):
    """The thing to be picked up, or the one to put it on, begins where another did."""
    for suite in ("spatial", "object", "goal"):
        first, second = (kept(f"{name}/8", cameras=()) for name in (suite, f"{suite}{SWAPPED}"))
        assert first.unwrapped.task_text == second.unwrapped.task_text
        found = []
        for env in (first, second):
            problem = env.unwrapped.simulation.upstream.parsed_problem
            env.reset(seed=0)
            found.append((problem["goal_state"], problem["objects"], problem["obj_of_interest"]))
        assert found[0] == found[1]
        moved = [np.linalg.norm(place(first, x) - place(second, x)) for x in found[0][2]]
        assert max(moved) > 0.05, (suite, moved)


def test_rows_are_those_of_the_file(kept):
    env = kept("spatial/0", cameras=())
    path = packages.init_file(env.unwrapped.suite, env.unwrapped.name)
    rows = torch.load(path, weights_only=False)
    assert np.array_equal(read_init_states(path), rows)
    sim = env.unwrapped.simulation
    for number in (0, 49):
        sim.set_row(rows[number])
        assert np.array_equal(sim.row(), rows[number])
    one, other = (env.reset(seed=seed)[1]["state"] for seed in (1, 51))
    assert np.array_equal(one, other)  # as many rows as that, and then again the first
    with pytest.raises(ForesightError, match="different versions"):
        sim.set_row(rows[0][1:])


@pytest.mark.parametrize("protocol", ["fifty", "drawn", "wide"])
def test_a_seed_decides_the_episode_whatever_was_before(protocol, kept):
    env = kept("spatial/0", cameras=(), protocol=protocol)
    found = []
    for before in (5, 6):
        env.reset(seed=before)
        acted(env, 5 * (before - 5), seed=before)
        np.random.seed(before)
        _, info = env.reset(seed=7)
        found.append(np.concatenate([[info["state"]], states(acted(env, 5))]))
        assert np.random.randint(2**31) == np.random.RandomState(before).randint(2**31)
    assert np.array_equal(*found)


def test_a_state_put_back_continues_alike(kept):
    env = kept("spatial/0", cameras=())
    assert isinstance(env.unwrapped, Simulator)
    env.reset(seed=0)
    acted(env, 20)
    saved = env.unwrapped.get_state()
    ahead = states(acted(env, 5, seed=1))
    acted(env, 3)
    seen = env.unwrapped.set_state(saved)
    assert np.array_equal(env.unwrapped.get_state(), saved)
    assert seen["state"].shape == (8,)
    assert np.array_equal(ahead, states(acted(env, 5, seed=1)))
    for wrong in (saved[1:], np.full(STATE_SIZE, np.nan)):
        with pytest.raises(ForesightError, match="finite numbers"):
            env.unwrapped.set_state(wrong)


def test_drawn_places_differ_and_are_at_rest(kept):
    env = kept("spatial/0", cameras=(), protocol="drawn")
    bowls = []
    for seed in range(4):
        env.reset(seed=seed)
        before = place(env, BOWL)
        for _ in range(5):
            env.step(STILL)
        assert np.abs(place(env, BOWL) - before).max() < 2e-3
        bowls.append(before)
    assert len({tuple(bowl) for bowl in bowls}) == 4
    assert np.std(bowls, axis=0)[:2].max() < 0.02  # within the region that the task names


@pytest.mark.parametrize("task", ["spatial/0", "object/0", "goal/8"])
def test_widened_places_differ_and_stay_on_the_table(task, kept):
    env = kept(task, cameras=(), protocol="wide", spread=0.08)
    sim, found = env.unwrapped.simulation, []
    thing = sim.upstream.obj_of_interest[0]
    for seed in range(8):
        env.reset(seed=seed)
        found.append(place(env, thing))
        base = sim.data.body(sim.robot.robot_model.root_body).xpos
        assert np.linalg.norm(found[-1][:2] - base[:2]) < REACH + 0.01
        for _ in range(5):
            env.step(STILL)
        assert np.abs(place(env, thing) - found[-1]).max() < 3e-3
        assert not sim.success
    spread = np.ptp(found, axis=0)
    assert (spread[:2] > 0.05).all(), "one of eight is far from another"
    assert spread[2] < 0.01, "all stand on one table"


def test_what_lies_in_a_drawer_stays_there_and_the_plate_moves(kept):
    env = kept("spatial/4", cameras=(), protocol="wide")
    bowls, plates = [], []
    for seed in range(4):
        env.reset(seed=seed)
        bowls.append(place(env, BOWL))
        plates.append(place(env, PLATE))
    assert np.ptp(bowls, axis=0).max() < 0.04 and np.ptp(plates, axis=0)[:2].max() > 0.04


def test_an_episode_ends_with_its_success(kept):
    """The bowl, laid on the plate."""
    env = kept("spatial/0", cameras=())
    env.reset(seed=0)
    sim = env.unwrapped.simulation
    row = sim.row()
    first = 1 + sim.model.joint(sim.objects()[BOWL].joints[-1]).qposadr[0]
    row[first : first + 3] = place(env, PLATE) + np.array([0, 0, 0.02])
    sim.set_row(row)
    ends = []
    for _ in range(20):
        _, reward, terminated, truncated, info = env.step(STILL)
        ends.append((reward, terminated, truncated, info["success"]))
        if terminated or truncated:
            break
    assert ends[-1] == (1.0, True, False, True) and len(ends) < 20
    assert set(ends[:-1]) <= {(0.0, False, False, False)}
    with pytest.raises(ForesightError, match="reset"):
        env.step(STILL)


def test_an_episode_without_success_is_truncated(kept):
    limits = {suite: limit_of(kept(f"{suite}/0", cameras=())) for suite in ("spatial", "object")}
    assert limits == {"spatial": 220, "object": 280}
    assert PROTOCOLS["lerobot"].most("spatial") == 280 and PROTOCOLS["fifty"].most("10") == 520
    env = kept("spatial/0", cameras=(), action_repeat=100)
    assert limit_of(env) == 3 and spec_of(env).fps == 0.2
    env.reset(seed=0)
    assert [env.step(STILL)[2:4] for _ in range(3)] == [(False, False)] * 2 + [(False, True)]


@pytest.mark.parametrize("quality", ["full", "fast"])
def test_pictures_are_those_of_robosuite_the_right_way_up(quality, kept):
    """Robosuite's own renderer draws upside-down."""
    env = kept("spatial/0", size=(64, 96), quality=quality)
    raw, _ = env.reset(seed=0)
    sim = env.unwrapped.simulation.upstream.sim
    from robosuite.utils.binding_utils import MjRenderContextOffscreen

    context = MjRenderContextOffscreen(sim, device_id=-1)
    context.vopt.geomgroup[0] = 0
    for name, theirs in (("front", "agentview"), ("wrist", "robot0_eye_in_hand")):
        frame = sim.render(height=64, width=96, camera_name=theirs)[::-1].astype(int)
        ours = raw["images"][name].astype(int)
        assert ours.shape == (64, 96, 3)
        others = (ours[::-1], ours[:, ::-1], ours[::-1, ::-1])
        near = np.abs(ours - frame).mean()
        assert near < (1 if quality == "full" else 8)
        assert all(np.abs(turned - frame).mean() > 2 * near + 5 for turned in others)
    env.close()


def test_pictures_do_not_change_the_physics(kept):
    seen, blind = kept("spatial/0", size=16, quality="fast"), kept("spatial/0", cameras=())
    for env in (seen, blind):
        env.reset(seed=2)
    assert np.array_equal(states(acted(seen, 5)), states(acted(blind, 5)))


def test_pictures_are_drawn_when_somebody_looks(kept, monkeypatch):
    env = kept("spatial/0", size=16, quality="fast").unwrapped
    drawn, view = [], env._view
    monkeypatch.setattr(env, "_view", lambda name: drawn.append(name) or view(name))
    monkeypatch.setattr(env, "on_demand", True)
    first, _ = env.reset(seed=0)
    assert first["images"]["wrist"].shape == (16, 16, 3) and drawn == ["wrist"]
    env.step(STILL)
    with pytest.raises(ForesightError, match="when its moment was over"):
        first["images"]["front"]


def test_what_a_robot_would_feel_and_do(kept):
    spec = spec_of(kept("spatial/0", cameras=()))
    assert len(spec.state) == 8 and [axis.name for axis in spec.action] == [
        *("move_x", "move_y", "move_z", "turn_x", "turn_y", "turn_z", "grip")
    ]
    assert spec.fps == 20 and spec.tasks[0].startswith("pick up the black bowl between")
    env = kept("spatial/0", cameras=())
    before, _ = env.reset(seed=0)
    for _ in range(6):
        after, *_ = env.step([0, 0, -1, 0, 0, 0, 1])
    assert after["state"][2] < before["state"][2] - 0.05  # down
    assert after["state"][6] < before["state"][6] - 0.005  # and closing
    assert np.pi - 0.3 < np.linalg.norm(after["state"][3:6]) < np.pi + 0.3  # the hand looks down


def test_checkers_find_nothing_wrong():
    """Ours, and Gymnasium's within it."""
    config = EnvConfig("libero/goal/7", size=16, quality="fast")
    findings = check(config, episodes=2, steps=4)
    assert fits(findings), [finding.text for finding in findings]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"cameras": ["gripper"]}, "no camera 'gripper'.*front, wrist"),
        ({"protocol": "seed200"}, "fifty, lerobot, drawn, wide"),
        ({"cameras": [], "action_repeat": 0}, "0 steps"),
        ({"cameras": [], "spread": 0.5}, "spread of 0.5 m"),
    ],
)
def test_what_is_not_there_is_told(options, words):
    with pytest.raises(ForesightError, match=words):
        make("libero/spatial/0", **options)

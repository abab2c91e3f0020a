"""Demonstrations in HDF5 become episodes: rows paired, pictures upright, tasks told."""

from __future__ import annotations

import json

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from demo_files import INSTRUCTION, NAME, LiberoFile, ReplayedFile, RobomimicFile, step_level
from foresight.core.errors import ForesightError
from foresight.data.check import check
from foresight.data.dataset import Dataset
from foresight.data.hdf5.importing import Planned, import_demonstrations, make_plan
from foresight.data.hdf5.options import ImportOptions

PLACE = ["x", "y", "z", "rx", "ry", "rz"]
STATE = [*PLACE, "gripper_0", "gripper_1", *(f"joint_{i}" for i in range(7))]
ACTION = ["delta_x", "delta_y", "delta_z", "delta_rx", "delta_ry", "delta_rz", "gripper"]


def bring(source, out, **options) -> tuple[Dataset, str]:
    """The dataset, opened afresh, and what was told."""
    lines: list[str] = []
    import_demonstrations(source, out, ImportOptions(workers=1, **options), lines.append)
    return Dataset.open(out), "\n".join(lines)


def look(source, **options) -> Planned:
    """The first demonstration as it would be imported."""
    plan = make_plan(source, ImportOptions(**options))
    assert not plan.faults
    return plan.demos[0]


def expect_rows(dataset: Dataset, index: int, robot, seen: slice, acted: slice) -> None:
    """An episode's observations and actions are those steps of the robot's life."""
    episode = dataset.episode(index)
    np.testing.assert_allclose(episode.action, robot.action[acted], atol=1e-6)
    np.testing.assert_allclose(episode.state[:, :3], robot.places[seen], atol=1e-6)
    turns = Rotation.from_rotvec(episode.state[:, 3:6])
    assert (turns * robot.turns[seen].inv()).magnitude().max() < 1e-5
    np.testing.assert_allclose(episode.state[:, 6:8], robot.grippers[seen], atol=1e-6)
    np.testing.assert_allclose(episode.state[:, 8:], robot.joints[seen], atol=1e-6)
    levels = step_level(np.arange(robot.steps + 1))[seen]
    for camera, (name, frames) in enumerate(episode.images.items()):
        assert name in dataset.cameras
        assert (frames[:, 0, 0, 0] == levels).all(), "upright: the upper half tells the step"
        assert (frames[:, -1] == 10 + 40 * camera).all()


def test_libero_pairs_each_observation_with_the_action_chosen_by_it(tmp_path):
    made = LiberoFile()
    dataset, told = bring(made.write(tmp_path / NAME), tmp_path / "out")
    for index, robot in enumerate(made.robots()):
        steps = robot.steps
        # obs[t] came of actions[t]: the last one shows the end, after which nothing was done.
        expect_rows(dataset, index, robot, slice(1, steps), slice(1, steps))
    assert dataset.lengths == [5, 8, 6]
    spec = dataset.spec
    assert [axis.name for axis in spec.state] == STATE
    assert [axis.unit for axis in spec.state] == [
        *["m"] * 3,
        *["rad"] * 3,
        None,
        None,
        *["rad"] * 7,
    ]
    assert [axis.name for axis in spec.action] == ACTION
    assert (spec.low == -1).all() and (spec.high == 1).all()
    assert spec.fps == 20 and dict(spec.cameras) == {"agentview": (16, 24), "eye_in_hand": (16, 24)}
    assert dataset.tasks == [INSTRUCTION]
    assert "after their row's action" in told and "turned upright" in told
    assert check(tmp_path / "out", decode=True) == []


def test_robomimic_keeps_rows_together_and_quaternions_become_axis_angles(tmp_path):
    made = RobomimicFile()
    dataset, told = bring(made.write(tmp_path / "image.hdf5"), tmp_path / "out")
    for index, robot in enumerate(made.robots()):
        steps = robot.steps
        expect_rows(dataset, index, robot, slice(0, steps), slice(0, steps))
    assert [axis.name for axis in dataset.spec.state] == STATE
    assert dataset.cameras == ["agentview", "robot0_eye_in_hand"]
    assert dataset.spec.fps == 10, "the file's own control rate"
    assert dataset.tasks == ["Lift"], "the environment's name where nothing else is said"
    assert "before their row's action" in told and "upright and stay so" in told


def test_timing_follows_the_files_own_numbers_and_not_its_keys(tmp_path):
    made = ReplayedFile()
    dataset, told = bring(made.write(tmp_path / NAME), tmp_path / "out")
    expect_rows(dataset, 0, made.robot(0), slice(0, 6), slice(0, 6))
    assert "before their row's action (observed joints are 0 rad" in told


@pytest.mark.parametrize(
    ("kind", "observed"),
    [(LiberoFile, "after"), (RobomimicFile, "before")],
)
def test_where_nothing_can_be_measured_the_layout_decides(tmp_path, kind, observed):
    class Blind(kind):
        def arrays(self, robot):
            return {k: v for k, v in super().arrays(robot).items() if k != "states"}

    layout = look(Blind([6], [0]).write(tmp_path / NAME)).layout
    assert layout.observed == observed and layout.timing is None


def test_a_choice_against_the_file_is_honoured_and_told(tmp_path):
    path = LiberoFile([6], [0]).write(tmp_path / NAME)
    dataset, told = bring(path, tmp_path / "out", observed="before", upside_down="no")
    assert dataset.lengths == [6] and "the file itself says otherwise" in told
    assert dataset.frames(0, "agentview")[0, -1, 0, 0] == step_level(np.array(1)), "as it lies"
    turned, told = bring(
        RobomimicFile([6], [0]).write(tmp_path / "image.hdf5"), tmp_path / "b", upside_down="yes"
    )
    assert turned.frames(0, "agentview")[0, -1, 0, 0] == step_level(np.array(0))


def test_libero_files_that_note_upright_pictures_are_not_turned(tmp_path):
    made = LiberoFile([6], [0], attrs={"macros_image_convention": "opencv"})
    assert not look(made.write(tmp_path / NAME)).layout.turned


def test_numbers_decide_the_order(tmp_path):
    made = LiberoFile(numbers=[0, 2, 10])
    plan = make_plan(made.write(tmp_path / NAME), ImportOptions())
    assert [demo.demo for demo in plan.demos] == ["demo_0", "demo_2", "demo_10"]


def test_rewards_success_and_end(tmp_path):
    dataset, _ = bring(LiberoFile([6], [0]).write(tmp_path / NAME), tmp_path / "out")
    episode = dataset.episode(0)
    assert episode.reward.tolist() == [0, 0, 0, 0, 1], "rewards go with their actions"
    assert episode.success and episode.terminated


def test_a_folder_brings_several_tasks(tmp_path):
    folder = tmp_path / "libero"
    LiberoFile([6], [0], seed=1, attrs={"problem_info": None}).write(
        folder / "KITCHEN_SCENE3_turn_on_the_stove_demo.hdf5"
    )
    quoted = json.dumps({"language_instruction": ['"', "o", "k", '"']})
    LiberoFile([5, 6], [0, 1], seed=2, attrs={"problem_info": quoted}).write(
        folder / "b" / "more_demo.h5"
    )
    LiberoFile(seed=3).write(folder / NAME)
    (folder / "notes.txt").write_text("no demonstrations")
    dataset, told = bring(folder, tmp_path / "out", limit=2)
    assert dataset.tasks == ["turn on the stove", "ok", INSTRUCTION]
    assert [meta.task for meta in dataset.metas] == [
        "turn on the stove", "ok", "ok", INSTRUCTION, INSTRUCTION
    ]  # fmt: skip
    assert "3 files from KITCHEN_SCENE3" in told and "5 episodes, 27 steps, 3 tasks" in told
    assert check(tmp_path / "out") == []


def test_a_task_that_was_given_and_one_of_a_demonstration(tmp_path):
    made = LiberoFile([6], [0])
    assert look(made.write(tmp_path / NAME), task="Lift the cube.").task == "Lift the cube."
    import h5py

    with h5py.File(tmp_path / NAME, "r+") as file:
        file["data/demo_0"].attrs["ep_meta"] = json.dumps({"lang": "close the drawer"})
    assert look(tmp_path / NAME).task == "close the drawer"


def test_cameras_rate_and_state_that_were_asked_for(tmp_path):
    path = LiberoFile([6], [0], size=(20, 14)).write(tmp_path / NAME)
    dataset, _ = bring(
        path, tmp_path / "out", cameras=("eye_in_hand",), fps=5.0, joints=False, sim_state=True
    )
    assert dict(dataset.spec.cameras) == {"eye_in_hand": (20, 14)} and dataset.spec.fps == 5
    assert [axis.name for axis in dataset.spec.state] == STATE[:8]
    robot = LiberoFile([6], [0]).robot(0)
    assert np.array_equal(dataset.column("sim.state"), robot.states[1:6]), "when it was seen"
    with pytest.raises(ForesightError, match="no camera 'front': it holds agentview, eye_in_hand"):
        bring(path, tmp_path / "no", cameras=("front",))


@pytest.mark.parametrize("codec", ["av1", "h264"])
def test_codecs(tmp_path, codec):
    path = LiberoFile([6], [0], size=(64, 64)).write(tmp_path / NAME)
    dataset, _ = bring(path, tmp_path / "out", codec=codec)
    assert dataset.schema.codec == codec
    assert (
        np.abs(dataset.frames(0, "agentview")[:, 2, 2, 0] - step_level(np.arange(1, 6))).max() < 6
    )


def test_a_file_without_pictures(tmp_path):
    class Low(RobomimicFile):
        def arrays(self, robot):
            return {k: v for k, v in super().arrays(robot).items() if "image" not in k}

    dataset, told = bring(Low([6], [0]).write(tmp_path / "low_dim.hdf5"), tmp_path / "out")
    assert dataset.cameras == [] and "cameras none" in told and "  pictures" not in told


def test_two_arms_and_other_controllers(tmp_path):
    class Arms(RobomimicFile):
        def arrays(self, robot):
            found = super().arrays(robot)
            twin = {k.replace("robot0", "robot1"): v for k, v in found.items() if "robot0" in k}
            return found | twin | {"actions": np.tile(robot.action, 2)}

    spec = look(Arms([6], [0]).write(tmp_path / "two.hdf5")).layout.spec
    state = [axis.name for axis in spec.state]
    assert len(state) == 30 and state[0] == "robot0_x" and state[15] == "robot1_x"
    assert spec.action[7].name == "robot1_delta_x"
    joints = {"env_kwargs": {"controller_configs": [{"type": "JOINT_POSITION"}]}}
    made = RobomimicFile([6], [0], attrs={"env_args": json.dumps(joints)})
    spec = look(made.write(tmp_path / "joints.hdf5")).layout.spec
    assert spec.action[0].name == "action_0" and spec.fps == 20
    parts = {"body_parts": {"right": {"type": "OSC_POSE"}, "torso": {"type": "JOINT_POSITION"}}}
    newer = {"env_kwargs": {"controller_configs": parts}}
    made = RobomimicFile([6], [0], attrs={"env_args": json.dumps(newer)})
    assert look(made.write(tmp_path / "newer.hdf5")).layout.spec.action[0].name == "delta_x"


def test_failed_and_empty_demonstrations_are_told(tmp_path):
    class Some(LiberoFile):
        def arrays(self, robot):
            found = super().arrays(robot)
            if robot.steps == 9:
                found["rewards"] = np.zeros(9)
            return found

    made = Some([6, 9, 1, 0, 7], [0, 1, 2, 3, 4])
    dataset, told = bring(made.write(tmp_path / NAME), tmp_path / "out")
    assert [meta.success for meta in dataset.metas] == [True, False, True]
    assert dataset.episode(1).terminated is False, "it ran out of time"
    assert "too short for a step: " in told and f"{NAME} demo_3, {NAME} demo_2" in told
    assert f"not successful and kept (--successful leaves them out): {NAME} demo_1" in told
    kept, told = bring(tmp_path / NAME, tmp_path / "kept", successful=True, limit=2)
    assert kept.lengths == [5, 6] and "not successful and left out" in told


def test_shaped_rewards_do_not_tell_of_success_but_marks_do(tmp_path):
    shaped = json.dumps({"env_kwargs": {"reward_shaping": True}})
    made = RobomimicFile([6], [0], attrs={"env_args": shaped})
    dataset, _ = bring(made.write(tmp_path / "dense.hdf5"), tmp_path / "a")
    assert dataset.metas[0].success is None and not dataset.has("next.success")
    with pytest.raises(ForesightError, match="does not say which demonstrations succeeded"):
        look(tmp_path / "dense.hdf5", successful=True)

    class Marked(LiberoFile):
        def arrays(self, robot):
            return super().arrays(robot) | {"success": np.array(robot.steps == 6)}

    marked = Marked([6, 7], [0, 1]).write(tmp_path / NAME)
    dataset, told = bring(marked, tmp_path / "b")
    assert [meta.success for meta in dataset.metas] == [True, False] and "demo_1" in told

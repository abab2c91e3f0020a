"""Probes of datasets that know no truth: another program's, of any lengths, sizes and cameras."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from foresight import cli
from foresight.core.episode import Episode
from foresight.core.errors import ForesightError
from foresight.core.spec import Spec, numbered_axes
from foresight.data.dataset import Dataset
from foresight.diagnostics.probes.data import Windows
from foresight.diagnostics.probes.recorded import recorded_data
from foresight.evaluation.results import load
from foresight.perception.preprocess import PicturePreparation

LEROBOT = Path(__file__).parents[2] / "data" / "lerobot"
PREPARE = PicturePreparation(16)


def record(folder, states, width=24):
    """A dataset with these states, one array ``[T, P]`` for each episode."""
    axes = numbered_axes("joint", states[0].shape[1])
    spec = Spec({"front": (16, width)}, axes, numbered_axes("a", 1), fps=10)
    with Dataset.create(folder, spec) as dataset:
        for state in states:
            steps = len(state)
            frames = np.zeros((steps, 16, width, 3), np.uint8)
            frames[:] = 3 * np.arange(steps)[:, None, None, None]  # the step
            action = np.zeros((steps, 1), np.float32)
            dataset.append(Episode({"front": frames}, state, action, None, False, "x", 10))
    return Dataset.open(folder)


def moving(steps, width=2, seed=0):
    return np.random.default_rng([seed, steps]).normal(size=(steps, width)).astype(np.float32)


@pytest.mark.parametrize("camera", ["front", "wrist"])
def test_windows_end_at_the_step_whose_state_is_asked_for(camera):
    dataset = Dataset.open(LEROBOT / "two-cameras")
    data = recorded_data(dataset, PREPARE, camera, Windows(count=3, frames=4, stride=2, seed=1))
    assert len(data) == 18 and data.measures == ["state-r2"]
    names = [axis.name for axis in dataset.spec.state]
    assert set(target.name for target in data.targets) <= set(names)
    columns = [names.index(target.name) for target in data.targets]
    for number, clips in enumerate(data.clips()):
        assert clips.shape == (3, 4, 16, 16, 3)
        state = dataset.episode(number).state[:, columns]
        frames = PREPARE(dataset.frames(number, camera))
        for clip, label in zip(clips, data.labels[data.episodes == number], strict=True):
            (step,) = np.flatnonzero((state == label.astype(np.float32)).all(axis=1))
            assert step >= 6
            assert np.array_equal(clip, frames[[step - 6, step - 4, step - 2, step]])
    first = recorded_data(dataset, PREPARE, None, Windows(count=3, frames=4, stride=2, seed=1))
    assert (first.fingerprint == data.fingerprint) == (camera == "front")


def test_episodes_shorter_than_a_window_begin_with_their_first_frame(tmp_path):
    lengths = (1, 3, 20, 2, 9, 5) * 4
    dataset = record(tmp_path / "d", [moving(n, seed=i) for i, n in enumerate(lengths)])
    data = recorded_data(dataset, PREPARE, None, Windows(count=4, frames=4, stride=3))
    per_episode = np.bincount(data.episodes)
    assert per_episode.tolist() == [1, 1, 4, 1, 1, 1] * 4  # the last step where no window is whole
    for number, clips in enumerate(data.clips()):
        steps = clips[:, :, 0, 0, 0] // 3
        assert (np.diff(steps, axis=1) >= 0).all()
        if lengths[number] != 20:
            assert steps[0].tolist() == [
                max(0, dataset.lengths[number] - 1 - back) for back in (9, 6, 3, 0)
            ]


def test_numbers_that_do_not_vary_are_left_out(tmp_path):
    states = [np.hstack([moving(9), np.full((9, 1), 4, np.float32)]) for _ in range(6)]
    data = recorded_data(record(tmp_path / "d", states), PREPARE, None, Windows())
    assert [target.name for target in data.targets] == ["joint_0", "joint_1"]
    still = record(tmp_path / "still", [np.ones((9, 2), np.float32)] * 6)
    with pytest.raises(ForesightError, match=r"No number of the state of .*still varies"):
        recorded_data(still, PREPARE, None, Windows())


def test_what_cannot_be_probed_is_said(tmp_path):
    few = Dataset.open(LEROBOT / "images-in-parquet")
    with pytest.raises(ForesightError, match="3 episodes are too few to probe"):
        recorded_data(few, PREPARE, None, Windows())
    with pytest.raises(ForesightError, match="no camera 'front': choose one of top"):
        recorded_data(few, PREPARE, "front", Windows())
    blank = record(tmp_path / "blank", [np.zeros((4, 0), np.float32)] * 6)
    with pytest.raises(ForesightError, match=r"has no observation\.state"):
        recorded_data(blank, PREPARE, None, Windows())


def test_the_command_on_another_programs_dataset(tmp_path, capsys):
    data = ["--data", str(tmp_path)]
    words = ["probe", "--dataset", str(LEROBOT / "two-cameras"), "--preset", "smoke", *data]
    assert cli.main([*words, "--camera", "wrist", "--fit", "pad"]) == 0
    assert "state-r2" in capsys.readouterr().out
    result = load(tmp_path / "smoke" / "probes.json")
    assert result.protocol == "none"
    for prefix in ("", "random-weights:", "pixel-pca:"):
        entry = result.summary[f"{prefix}state-r2/two-cameras"]
        assert entry["low"] <= entry["mean"] <= entry["high"]
    made = sorted((tmp_path / "readings").iterdir())
    assert cli.main([*words, "--camera", "wrist", "--fit", "pad"]) == 0  # nothing is made again
    assert sorted((tmp_path / "readings").iterdir()) == made
    assert cli.main([*words, "reacher-easy"]) == cli.USER_ERROR
    assert "one at a time" in capsys.readouterr().err


def test_a_recorded_dataset_is_probed_without_a_simulator(tmp_path):
    """In a process that can import neither MuJoCo nor transformers."""
    script = (
        "import sys\n"
        "class Block:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.split('.')[0] in ('mujoco', 'dm_control', 'transformers'):\n"
        "            raise ModuleNotFoundError(name, name=name)\n"
        "sys.meta_path.insert(0, Block())\n"
        "from foresight.cli import main\n"
        "sys.exit(main(sys.argv[1:]))\n"
    )
    words = ["probe", "--dataset", str(LEROBOT / "two-cameras"), "--preset", "smoke"]
    done = subprocess.run(
        [sys.executable, "-c", script, *words, "--data", str(tmp_path), "--windows", "2"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "state-r2" in done.stdout

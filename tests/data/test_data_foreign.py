"""Datasets of other programs: read by their features, checked for real damage only, mended."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from foreign_data import RATE, SIZE, TASKS, Foreign, film
from foresight.core.errors import ForesightError
from foresight.data.check import check, examine, info, repair
from foresight.data.dataset import Dataset
from made_up import make_episode, make_spec, open_or_create, tree

LEROBOT = Path(__file__).parent / "lerobot"


def bars(frames: np.ndarray) -> list[int]:
    """Length of the bar in each frame, in steps."""
    return [int((frame[3].mean(1) > 150).sum() + 1) // 2 for frame in frames]


@pytest.mark.parametrize(
    "made",
    [
        Foreign(),
        Foreign(cameras=("front", "wrist"), files=2, task_column="task"),
        Foreign(codec="libsvtav1"),
        Foreign(version="v2.1"),
        Foreign(version="v2.0", numbers=[0, 3, 7]),
        Foreign(numbers=[0, 2, 5], files=3),
        Foreign(image="PNG"),
        Foreign(image="JPEG", version="v2.1"),
    ],
    ids=["v3", "two-files", "av1", "v2.1", "v2.0-gaps", "v3-gaps", "png", "jpeg-v2.1"],
)
def test_any_dataset_reads_as_it_was_filmed(tmp_path, made):
    dataset = Dataset.open(made.write(tmp_path / "d"))
    assert dataset.lengths == made.lengths
    assert [meta.index for meta in dataset.metas] == made.numbers
    assert dataset.spec.cameras == dict.fromkeys(made.cameras, SIZE)
    assert dataset.spec.fps == RATE
    assert [axis.name for axis in dataset.spec.action] == ["pan", "lift"]
    assert [axis.name for axis in dataset.spec.state] == ["state_0", "state_1"]
    assert [dataset.task(i) for i in range(3)] == [TASKS[0], TASKS[1], TASKS[0]]
    assert np.array_equal(dataset.column("action"), made.actions())
    for i, length in enumerate(made.lengths):
        for camera in made.cameras:
            frames = dataset.frames(i, camera)
            assert bars(frames) == list(range(1, length + 1))
            assert abs(int(frames[0, -1, -1, 0]) - (20 + 30 * i)) < 8
            for step in (0, 2, length - 1):
                assert np.array_equal(dataset.frames(i, camera, step, step + 1)[0], frames[step])
    episode = dataset.episode(1)
    assert episode.reward is None and episode.success is None and not episode.terminated
    assert dataset.fingerprint == Dataset.open(tmp_path / "d").fingerprint
    assert examine(tmp_path / "d").problems == []
    before = tree(tmp_path / "d")
    assert repair(tmp_path / "d") == []
    assert tree(tmp_path / "d") == before
    json.dumps(info(tmp_path / "d"))


def test_columns_of_any_type(tmp_path):
    made = Foreign()
    n = made.rows
    made.columns = {
        "action": np.arange(n),  # a single whole number
        "observation.state": made.actions().astype(np.float64),
        "next.reward": np.ones(n, np.float64),
        "next.done": np.arange(n) % 2 == 0,
        "observation.effort": np.ones((n, 1), np.float32),
        "note": np.array(["a"] * n),
    }
    made.features = {
        "action": {"dtype": "int64", "shape": [1], "names": ["button"]},
        "observation.state": {"dtype": "float64", "shape": [2], "names": ["x", "y"]},
        "next.reward": {"dtype": "float64", "shape": [1], "names": None},
        "next.done": {"dtype": "bool", "shape": [1], "names": None},
        "observation.effort": {"dtype": "float32", "shape": [1], "names": None},
        "note": {"dtype": "string", "shape": [1], "names": None},
    }
    dataset = Dataset.open(made.write(tmp_path / "d"))
    assert dataset.column("action").shape == (n, 1)
    assert dataset.column("action").dtype == np.int64
    assert dataset.column("observation.state").dtype == np.float64
    assert dataset.column("next.done").dtype == bool
    assert dataset.column("observation.effort").shape == (n, 1)
    assert dataset.column("note").tolist() == ["a"] * n
    episode = dataset.episode(0)
    assert (episode.action.dtype, episode.state.dtype) == (np.float32, np.float32)
    assert episode.return_ == 7
    assert set(episode.columns) == {"observation.effort"}
    assert check(tmp_path / "d") == []


def test_numbers_that_are_not_finite_are_named(tmp_path):
    made = Foreign()
    wrong = made.actions()
    wrong[9, 1] = np.inf  # row 2 of episode 1
    made.columns = {"action": wrong}
    dataset = Dataset.open(made.write(tmp_path / "d"))
    says = r"episode 1 has inf in row 2 of action \(lift\)"
    with pytest.raises(ForesightError, match=says):
        dataset.column("action")
    with pytest.raises(ForesightError, match=says):
        dataset.episode(1)
    dataset.episode(0)
    assert np.isinf(dataset.column("action", finite=False)).sum() == 1
    assert len([p for p in check(tmp_path / "d") if "row 2 of action (lift)" in p]) == 1


def test_what_is_no_damage_is_a_note(tmp_path):
    made = Foreign(numbers=[0, 2, 3])
    same = made.actions()
    same[:, 1] = 0.5
    made.columns = {"action": same}
    report = examine(made.write(tmp_path / "d"))
    assert report.problems == []
    notes = " ".join(report.notes)
    for words in ("action lift is 0.5 in all rows", "no episode 1", "no statistics", "no names"):
        assert words in notes


@pytest.mark.parametrize("name", ["two-cameras", "many-short-episodes", "images-in-parquet"])
def test_real_recordings_are_sound(name):
    assert examine(LEROBOT / name, decode=True).problems == []
    assert info(LEROBOT / name)["robot"] == "so101_follower"


def cut_video(root: Path) -> None:
    path = next(root.glob("videos/**/*.mp4"))
    path.write_bytes(path.read_bytes()[:-400])


def lose_video(root: Path) -> None:
    next(root.glob("videos/**/*.mp4")).unlink()


def cut_data(root: Path) -> None:
    path = next(root.glob("data/**/*.parquet"))
    path.write_bytes(path.read_bytes()[:-100])


def promise_more_rows(root: Path) -> None:
    path = root / "meta/episodes/chunk-000/file-000.parquet"
    table = pq.read_table(path)
    at = table.column_names.index("length")
    pq.write_table(table.set_column(at, "length", pa.array([7, 12, 10])), path)


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (cut_video, "cannot be decoded|frames of episode"),
        (lose_video, "does not exist"),
        (cut_data, "not a whole parquet file"),
        (promise_more_rows, "holds 9 rows of episode 2 but 10"),
    ],
)
def test_damage_is_found_and_nobody_is_told_to_collect_again(tmp_path, damage, says):
    root = Foreign().write(tmp_path / "d")
    damage(root)
    problems = check(root)
    assert any(re.search(says, problem) for problem in problems)
    assert not any("collect" in problem for problem in problems)


def test_frozen_cameras_and_times_that_go_back(tmp_path):
    made = Foreign(frozen=(1,))
    times = made.table()["timestamp"].copy()
    times[[23, 24]] = times[[24, 23]]
    made.columns = {"timestamp": times}
    problems = check(made.write(tmp_path / "d"))
    assert len(problems) == 2
    assert "timestamps of episode 2 go back" in " ".join(problems)
    assert "Camera front is frozen" in " ".join(problems)
    assert "12 frames of episode 1" in " ".join(problems)


def test_fewer_frames_than_rows(tmp_path):
    made = Foreign(files=3)
    root = made.write(tmp_path / "d")
    film(
        root / "videos/observation.images.front/chunk-000/file-006.mp4",
        made.frames(1)[:8],
        "libx264",
    )
    (problem,) = check(root)
    assert "8 frames of episode 1" in problem and "12" in problem


@pytest.mark.parametrize("files", [1, 3])
def test_repair_takes_an_episode_out_and_loses_nothing(tmp_path, files):
    made = Foreign(files=files, stats=True)
    wrong = made.actions()
    wrong[9] = np.nan
    made.columns = {"action": wrong}
    root = made.write(tmp_path / "d")
    before = tree(root)
    actions = repair(root)
    assert any("Took out episode 1" in action for action in actions)
    dataset = Dataset.open(root)
    assert check(root) == []
    assert dataset.lengths == [7, 9]
    assert dataset.column("episode_index").tolist() == [0] * 7 + [1] * 9
    assert dataset.column("index").tolist() == list(range(16))
    assert bars(dataset.frames(1)) == list(range(1, 10))
    assert np.array_equal(dataset.column("action"), np.delete(wrong, np.s_[7:19], 0))
    ordered = [pq.read_table(p)["index"].to_pylist() for p in sorted(root.glob("data/*/*"))]
    assert [i for part in ordered for i in part] == list(range(16))  # as a reader joins the files
    raw = json.loads((root / "meta/info.json").read_text())
    assert (raw["total_episodes"], raw["total_frames"]) == (2, 16)
    stats = json.loads((root / "meta/stats.json").read_text())["action"]
    rest = np.delete(wrong, np.s_[7:19], 0).astype(float)
    np.testing.assert_allclose(stats["mean"], rest.mean(0), rtol=1e-6)
    np.testing.assert_allclose(stats["std"], rest.std(0), rtol=1e-6)
    assert stats["count"] == [16]
    assert set(before.values()) <= set(tree(root).values())  # every byte is still there
    assert repair(root) == []


def test_a_dataset_of_version_2_is_not_rewritten(tmp_path):
    made = Foreign(version="v2.1")
    root = made.write(tmp_path / "d")
    next(root.glob("videos/**/episode_000001.mp4")).unlink()
    before = tree(root)
    with pytest.raises(ForesightError, match=r"convert it to v3\.0"):
        repair(root)
    assert tree(root) == before


def append_as_another_program(root: Path) -> None:
    """An episode behind ours as LeRobot's recorder appends it: files of its own, no footer."""
    data, meta = root / "data/chunk-000", root / "meta/episodes/chunk-000"
    table = pq.read_table(data / "file-000.parquet")
    rows = len(table)
    for name, values in (("episode_index", [2] * rows), ("index", range(24, 24 + rows))):
        at = table.column_names.index(name)
        table = table.set_column(at, table.schema.field(at), pa.array(values, pa.int64()))
    pq.write_table(table.replace_schema_metadata(None), data / "file-002.parquet")
    video = root / "videos/observation.images.camera/chunk-000"
    (video / "file-002.mp4").write_bytes((video / "file-000.mp4").read_bytes())
    row = pq.read_table(meta / "file-000.parquet").slice(0, 1).to_pylist()[0]
    own = ("return", "success", "terminated", "info", "data_hash")
    row = {n: v for n, v in row.items() if n not in own and not n.startswith(("video_hash", "lev"))}
    row |= {"episode_index": 2, "dataset_from_index": 24, "dataset_to_index": 24 + rows}
    row |= {"data/file_index": 2, "videos/observation.images.camera/file_index": 2}
    pq.write_table(pa.Table.from_pylist([row]), meta / "file-001.parquet")
    raw = json.loads((root / "meta/info.json").read_text())
    raw |= {"total_episodes": 3, "total_frames": 36}
    (root / "meta/info.json").write_text(json.dumps(raw))


def test_episodes_that_another_program_appended_are_kept(tmp_path):
    root = tmp_path / "d"
    with open_or_create(root) as dataset:
        for seed in range(2):
            dataset.append(make_episode(seed))
    append_as_another_program(root)
    mixed = Dataset.open(root)
    assert [meta.own for meta in mixed.metas] == [True, True, False]
    assert np.array_equal(mixed.frames(2), make_episode(0).images["camera"])
    assert check(root) == []
    before = tree(root)
    assert repair(root) == []
    assert tree(root) == before
    with mixed, pytest.raises(ForesightError, match="episodes of another program"):
        mixed.append(make_episode(5))
    # An episode of ours is damaged: it goes, the other program's stays and moves up.
    path = root / "data/chunk-000/file-001.parquet"
    path.write_bytes(path.read_bytes()[:-40])
    damaged = tree(root)
    assert any("Took out episode 1" in action for action in repair(root))
    mended = Dataset.open(root)
    assert [meta.own for meta in mended.metas] == [True, False]
    assert np.array_equal(mended.frames(1), make_episode(0).images["camera"])
    assert mended.column("index").tolist() == list(range(24))
    assert check(root) == []
    assert set(damaged.values()) <= set(tree(root).values())


def test_files_of_another_program_are_moved_and_never_deleted(tmp_path):
    root = tmp_path / "d"
    with Dataset.create(root, make_spec()) as dataset:
        dataset.append(make_episode(0))
    (root / "data/chunk-000/file-007.parquet").write_bytes(b"of another program")
    assert any("belongs to no episode" in problem for problem in check(root))
    repair(root)
    moved = root / "removed/data/chunk-000/file-007.parquet"
    assert moved.read_bytes() == b"of another program"
    assert check(root) == []


def test_what_cannot_be_read_is_told(tmp_path):
    made = Foreign()
    root = made.write(tmp_path / "d")
    path = root / "meta/info.json"
    raw = json.loads(path.read_text())
    path.write_text(json.dumps(raw | {"features": {}}))
    with pytest.raises(ForesightError, match="no feature 'action'"):
        Dataset.open(root)
    path.write_text(json.dumps({"fps": 3}))
    with pytest.raises(ForesightError, match="does not describe a dataset"):
        Dataset.open(root)


def test_small_files_of_ours_are_looked_at_too(tmp_path):
    """Hashes say that a lossy video is the one that was written, not that the camera saw much."""
    episode = make_episode(0)
    still = replace(episode, images={"camera": np.full((12, 16, 16, 3), 90, np.uint8)})
    with Dataset.create(tmp_path / "d", make_spec(), codec="h264") as dataset:
        dataset.append(episode)
        dataset.append(still)
    (problem,) = check(tmp_path / "d")
    assert "Camera camera is frozen" in problem and "episode 1" in problem
    repair(tmp_path / "d")
    assert check(tmp_path / "d") == []
    assert len(Dataset.open(tmp_path / "d")) == 1


def test_keys_of_other_forms(tmp_path):
    """One camera as ``observation.image``, channels first, as old recorders name it."""
    made = Foreign(version="v2.1")
    root = made.write(tmp_path / "d")
    raw = json.loads((root / "meta/info.json").read_text())
    camera = raw["features"].pop("observation.images.front")
    camera |= {"shape": [3, *SIZE], "names": ["channels", "height", "width"]}
    raw["features"]["observation.image"] = camera
    (root / "meta/info.json").write_text(json.dumps(raw))
    videos = root / "videos/chunk-000"
    (videos / "observation.images.front").rename(videos / "observation.image")
    dataset = Dataset.open(root)
    assert dataset.spec.cameras == {"image": SIZE}
    assert bars(dataset.frames(2)) == list(range(1, 10))

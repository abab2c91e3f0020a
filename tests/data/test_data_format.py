"""Walk a dataset as a stranger would: pyarrow, PyAV and the rules of LeRobotDataset v3.0."""

from __future__ import annotations

import json
from pathlib import Path

import av
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

ARROW = {"float32": pa.float32(), "float64": pa.float64(), "int64": pa.int64(), "bool": pa.bool_()}
STATS = {"min", "max", "mean", "std", "count", "q01", "q10", "q50", "q90", "q99"}
QUANTILES = {"q01": 0.01, "q10": 0.1, "q50": 0.5, "q90": 0.9, "q99": 0.99}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    from made_up import make_episode, open_or_create

    root = tmp_path_factory.mktemp("format") / "d"
    tasks = ["cup-catch", "reacher-hard", "cup-catch", "cup-catch"]
    episodes = [make_episode(i, steps=20 + i, actions=1, task=t) for i, t in enumerate(tasks)]
    with open_or_create(root, actions=1) as store:
        for episode in episodes[:2]:
            store.append(episode)
    with open_or_create(root, actions=1) as store:
        for episode in episodes[2:]:
            store.append(episode)
    return root, episodes


@pytest.fixture(scope="module")
def root(made) -> Path:
    return made[0]


@pytest.fixture(scope="module")
def info(root):
    return json.loads((root / "meta/info.json").read_text())


@pytest.fixture(scope="module")
def rows(root):
    return pq.read_table(root / "meta/episodes/chunk-000/file-000.parquet").to_pylist()


@pytest.fixture(scope="module")
def data(root):
    """All data files in the order of their names, as a reader of the format joins them."""
    return pa.concat_tables([pq.read_table(p) for p in sorted((root / "data").glob("*/*.parquet"))])


def test_info(info, made):
    assert info["codebase_version"] == "v3.0"
    assert info["fps"] == 50
    assert isinstance(info["fps"], int)
    assert info["chunks_size"] == 1000
    assert info["total_episodes"] == 4
    assert info["total_frames"] == 20 + 21 + 22 + 23
    assert info["total_tasks"] == 2
    assert info["splits"] == {"train": "0:4"}
    assert info["data_path"] == "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"
    assert info["video_path"] == (
        "videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4"
    )
    for name, feature in info["features"].items():
        assert "/" not in name
        assert {"dtype", "shape", "names"} <= set(feature)
    video = info["features"]["observation.images.camera"]
    assert video["dtype"] == "video"
    assert video["shape"] == [16, 16, 3]
    assert video["names"] == ["height", "width", "channels"]
    assert info["foresight"]["codec"] == "lossless"
    assert info["foresight"]["spec"]["cameras"] == {"camera": [16, 16]}


def test_no_stray_files(root):
    names = {str(p.relative_to(root)) for p in root.rglob("*") if p.is_file()}
    expected = {"meta/info.json", "meta/stats.json", "meta/tasks.parquet"}
    expected.add("meta/episodes/chunk-000/file-000.parquet")
    for i in range(4):
        expected.add(f"data/chunk-000/file-{i:03d}.parquet")
        expected.add(f"videos/observation.images.camera/chunk-000/file-{i:03d}.mp4")
    assert names == expected


def test_tasks(root, data, rows):
    table = pq.read_table(root / "meta/tasks.parquet")
    assert table["task"].to_pylist() == ["cup-catch", "reacher-hard"]
    assert table["task_index"].to_pylist() == [0, 1]
    assert table.schema.field("task_index").type == pa.int64()
    assert json.loads(table.schema.metadata[b"pandas"])["index_columns"] == ["task"]
    expected = [int(row["tasks"] == ["reacher-hard"]) for row in rows for _ in range(row["length"])]
    assert data["task_index"].to_pylist() == expected


def test_columns_are_the_features(info, data):
    wanted = {n: f for n, f in info["features"].items() if f["dtype"] != "video"}
    assert data.column_names == list(wanted)
    for name, feature in wanted.items():
        kind, width = ARROW[feature["dtype"]], feature["shape"][0]
        # LeRobot reads a feature of shape [1] as a plain column.
        assert data.schema.field(name).type == (kind if width == 1 else pa.list_(kind, width))
        assert data[name].null_count == 0
    assert {"timestamp", "frame_index", "episode_index", "index", "task_index"} <= set(wanted)
    assert wanted["timestamp"]["dtype"] == "float32"
    assert wanted["sim.state"]["dtype"] == "float64"
    assert {wanted[f"next.{name}"]["dtype"] for name in ("done", "success", "terminated")} == {
        "bool"
    }


def test_episodes_lie_where_the_table_says(root, info, rows, data, made):
    start = 0
    for i, (row, episode) in enumerate(zip(rows, made[1], strict=True)):
        assert row["episode_index"] == i
        assert row["dataset_from_index"] == start
        assert row["dataset_to_index"] == start + row["length"]
        assert row["meta/episodes/chunk_index"] == row["meta/episodes/file_index"] == 0
        assert json.loads(row["info"]) == {"seed": i, "policy": "random", "protocol": "seed200"}
        place = {"chunk_index": row["data/chunk_index"], "file_index": row["data/file_index"]}
        file = pq.ParquetFile(root / info["data_path"].format(**place))
        assert file.num_row_groups == 1
        own = file.read()
        assert own.equals(data.slice(start, row["length"]))
        length = row["length"]
        assert own["frame_index"].to_pylist() == list(range(length))
        assert own["index"].to_pylist() == list(range(start, start + length))
        assert own["episode_index"].to_pylist() == [i] * length
        times = (np.arange(length) / info["fps"]).astype(np.float32)
        assert np.array_equal(own["timestamp"].to_numpy(), times)
        assert own["next.done"].to_pylist() == [False] * (length - 1) + [True]
        assert own["next.success"].to_pylist() == [False] * (length - 1) + [episode.success]
        assert own["next.terminated"].to_pylist() == [False] * length
        assert np.array_equal(own["action"].to_numpy(), episode.action[:, 0])
        assert np.array_equal(np.stack(own["sim.state"].to_pylist()), episode.columns["sim.state"])
        start += length


def test_videos_lie_where_the_table_says(root, info, rows, made):
    key = "observation.images.camera"
    for row, episode in zip(rows, made[1], strict=True):
        place = {
            "chunk_index": row[f"videos/{key}/chunk_index"],
            "file_index": row[f"videos/{key}/file_index"],
        }
        path = root / info["video_path"].format(video_key=key, **place)
        assert row[f"videos/{key}/from_timestamp"] == 0.0
        assert row[f"videos/{key}/to_timestamp"] == row["length"] / info["fps"]
        with av.open(str(path)) as container:
            pictures = list(container.decode(video=0))
        for k, picture in enumerate(pictures):  # LeRobot looks a frame up by its time stamp
            assert abs(picture.time - k / info["fps"]) < 1e-4
        frames = np.stack([picture.to_ndarray(format="rgb24") for picture in pictures])
        assert np.array_equal(frames, episode.images["camera"])


def test_statistics_are_those_of_the_data(root, info, data, rows, made):
    stats = json.loads((root / "meta/stats.json").read_text())
    assert set(stats) == set(info["features"])
    pixels = np.concatenate([episode.images["camera"] for episode in made[1]]).reshape(-1, 3) / 255
    for name, found in stats.items():
        assert set(found) == STATS
        assert found["count"] == [info["total_frames"]]
        picture = name.startswith("observation.images")
        values = pixels if picture else np.stack(data[name].to_pylist()).astype(float)
        values = values.reshape(len(values), -1)
        shape = (3, 1, 1) if picture else (values.shape[1],)
        expected = {n: np.quantile(values, q, axis=0) for n, q in QUANTILES.items()}
        expected |= {"min": values.min(0), "max": values.max(0), "mean": values.mean(0)}
        expected["std"] = values.std(0)
        for stat, value in expected.items():
            assert np.shape(found[stat]) == shape
            np.testing.assert_allclose(np.ravel(found[stat]), value, atol=1e-9)
    for row in rows:
        part = np.stack(data["observation.state"].to_pylist()).astype(float)
        part = part[row["dataset_from_index"] : row["dataset_to_index"]]
        np.testing.assert_allclose(row["stats/observation.state/mean"], part.mean(0))
        np.testing.assert_allclose(
            row["stats/observation.state/q90"], np.quantile(part, 0.9, axis=0)
        )
        assert row["stats/observation.state/count"] == [row["length"]]
        assert np.shape(row["stats/observation.images.camera/mean"]) == (3, 1, 1)
    names = {f"stats/{feature}/{stat}" for feature in info["features"] for stat in STATS}
    assert names <= set(rows[0])

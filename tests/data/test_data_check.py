from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from foresight.core.errors import ForesightError
from foresight.data.check import check, info, repair
from foresight.data.dataset import Dataset
from made_up import kept, make_episode, make_spec, open_or_create, tree

DATA = "data/chunk-000/file-001.parquet"
VIDEO = "videos/observation.images.camera/chunk-000/file-001.mp4"
TABLE = "meta/episodes/chunk-000/file-000.parquet"


@pytest.fixture(scope="module")
def sound(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("check") / "d"
    with open_or_create(root) as store:
        for seed in range(3):
            store.append(make_episode(seed))
    return root


@pytest.fixture
def root(sound, tmp_path) -> Path:
    return Path(shutil.copytree(sound, tmp_path / "d"))


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flip(path: Path) -> None:
    """Change one byte in the middle: of the actions in a data file, of the pictures in a video."""
    content = bytearray(path.read_bytes())
    at = len(content) // 3
    if path.suffix == ".parquet":
        chunk = pq.read_metadata(path).row_group(0).column(0)
        at = chunk.data_page_offset + chunk.total_compressed_size // 3
    content[at] ^= 0x55
    path.write_bytes(content)


def empty(path: Path) -> None:
    path.write_bytes(b"")


def change_column(path: Path, name: str, change) -> None:
    """Rewrite a data file with one column changed and everything else, also the footer, kept."""
    table = pq.read_table(path)
    footer = pq.read_metadata(path).metadata[b"foresight"]
    column = change(table[name])
    at = table.column_names.index(name)
    table = table.set_column(at, pa.field(name, column.type), column)
    with pq.ParquetWriter(path, table.schema.remove_metadata()) as writer:
        writer.write_table(table.replace_schema_metadata(None))
        writer.add_key_value_metadata({"foresight": footer.decode()})


def seeds(root: Path) -> list[int]:
    return [meta.info["seed"] for meta in Dataset.open(root).metas]


def test_a_sound_dataset_has_no_problems_and_repair_changes_nothing(root):
    before = tree(root)
    assert check(root, decode=True) == []
    assert repair(root) == []
    assert tree(root) == before


@pytest.mark.parametrize("damage", [cut, flip, empty, Path.unlink])
@pytest.mark.parametrize("name", [DATA, VIDEO])
def test_damaged_episodes_are_found_and_dropped(root, damage, name):
    damage(root / name)
    assert any(name in problem for problem in check(root))
    actions = repair(root)
    assert any("Took out episode 1" in action for action in actions)
    assert check(root, decode=True) == []
    assert seeds(root) == [0, 2]
    store = Dataset.open(root)
    assert np.array_equal(store.frames(1), make_episode(2).images["camera"])
    assert np.array_equal(store.column("index"), np.arange(24))
    assert np.array_equal(np.unique(store.column("episode_index")), [0, 1])
    info = json.loads((root / "meta/info.json").read_text())
    assert (info["total_episodes"], info["total_frames"]) == (2, 24)
    assert repair(root) == []


@pytest.mark.parametrize("damage", [cut, flip, empty, Path.unlink])
def test_reading_damaged_files_says_so(root, damage):
    damage(root / DATA)
    damage(root / VIDEO)
    store = Dataset.open(root)
    for read in (lambda: store.column("action"), lambda: store.episode(1)):
        with pytest.raises(ForesightError, match=r"file-001\.parquet.*foresight data repair"):
            read()
    with pytest.raises(ForesightError, match=r"file-001\.mp4.*foresight data repair"):
        store.frames(1)
    assert len(store.frames(0)) == 12


@pytest.mark.parametrize("damage", [cut, empty, Path.unlink])
@pytest.mark.parametrize("name", ["meta/info.json", TABLE, "meta/stats.json", "meta/tasks.parquet"])
def test_damaged_metadata_are_made_again(root, sound, damage, name):
    damage(root / name)
    if name in ("meta/info.json", TABLE):
        with pytest.raises(ForesightError):
            Dataset.open(root)
    assert any(name in problem for problem in check(root))
    assert repair(root)
    assert kept(root) == tree(sound)


def test_everything_in_meta_can_be_lost(root, sound):
    shutil.rmtree(root / "meta")
    repair(root)
    assert kept(root) == tree(sound)


def test_wrong_timestamps_are_found_and_mended(root):
    change_column(root / DATA, "timestamp", lambda c: pc.add(c, pa.scalar(0.01, pa.float32())))
    assert any("timestamp 0.0" in p and "step 0" in p for p in check(root))
    repair(root)
    assert check(root) == []
    assert seeds(root) == [0, 1, 2]
    assert np.array_equal(Dataset.open(root).frames(1), make_episode(1).images["camera"])


def test_wrong_types_and_numbers_are_found(root):
    change_column(root / DATA, "next.reward", lambda c: c.cast(pa.float64()))
    assert any("next.reward is double instead of float" in p for p in check(root))
    repair(root)
    assert seeds(root) == [0, 2]
    other = next((root / "data/chunk-000").glob("*.parquet"))
    change_column(other, "next.reward", pc.negate)
    assert any("numbers that were written" in p for p in check(root))
    nan = pa.chunked_array([pa.array(np.full(12, np.nan, np.float32))])
    change_column(other, "next.reward", lambda c: nan)
    assert any("not finite" in p for p in check(root))


def test_wrong_counts_are_found_and_mended(root, sound):
    path = root / "meta/info.json"
    path.write_text(path.read_text().replace('"total_frames": 36', '"total_frames": 35'))
    assert any("total_frames 35 but 36" in p for p in check(root))
    repair(root)
    assert kept(root) == tree(sound)
    table = pq.read_table(root / TABLE)
    at = table.column_names.index("dataset_to_index")
    wrong = pa.array([12, 25, 36])
    pq.write_table(table.set_column(at, table.schema.field(at), wrong), root / TABLE)
    assert any("dataset_to_index 25" in p for p in check(root))
    repair(root)
    assert kept(root) == tree(sound)


def test_files_without_an_episode_are_found_and_removed(root, sound):
    shutil.copy(root / VIDEO, root / VIDEO.replace("001", "007"))
    (root / "meta/.info.json.7.tmp").write_text("{")
    assert sum("belongs to no episode" in p for p in check(root)) == 2
    repair(root)
    assert kept(root) == tree(sound)


def test_an_unfinished_dataset_is_finished(tmp_path, sound):
    store = Dataset.create(tmp_path / "d", make_spec())
    for seed in range(3):
        store.append(make_episode(seed))
    store.release()
    assert check(tmp_path / "d")
    assert repair(tmp_path / "d") == ["Finished the metadata that a killed writer had left."]
    assert kept(tmp_path / "d") == tree(sound)


def test_repaired_datasets_go_on_growing(root):
    cut(root / DATA)
    repair(root)
    with Dataset.open(root) as store:
        store.append(make_episode(9))
    assert seeds(root) == [0, 2, 9]
    assert check(root, decode=True) == []
    names = sorted(p.name for p in (root / "data/chunk-000").iterdir())
    order = [pq.read_table(root / "data/chunk-000" / name)["index"][0].as_py() for name in names]
    assert order == [0, 12, 24]  # readers join the data files in the order of their names


def test_nothing_left_to_rescue(root):
    for path in [*root.glob("data/*/*"), root / "meta/info.json"]:
        cut(path)
    assert check(root)
    with pytest.raises(ForesightError, match=r"No data file in .* describes its episode"):
        repair(root)
    for function in (check, repair, info):
        with pytest.raises(ForesightError, match="not a dataset"):
            function(root / "meta")


def test_all_episodes_damaged(root):
    for path in root.glob("data/*/*"):
        cut(path)
    repair(root)
    assert check(root) == []
    assert seeds(root) == []
    with Dataset.open(root) as store:
        store.append(make_episode(5))
    assert check(root) == []


def test_other_versions_are_refused(root):
    path = root / "meta/info.json"
    path.write_text(path.read_text().replace("v3.0", "v1.6"))
    with pytest.raises(ForesightError, match=r"v1\.6.*v3\.0"):
        Dataset.open(root)


def test_info_says_what_is_there(root):
    found = info(root)
    assert found["episodes"] == 3
    assert found["steps"] == 36
    assert found["tasks"] == {"reacher-easy": 3}
    assert found["info.seed"] == [0, 2]
    assert found["info.policy"] == {"random": 3}
    assert found["cameras"] == {"camera": "16x16x3 h264 gbrp"}
    assert found["successes"] == 2
    assert found["complete"]
    assert found["fingerprint"] == Dataset.open(root).fingerprint
    json.dumps(found)

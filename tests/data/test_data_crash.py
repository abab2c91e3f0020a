from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import tempfile
import time
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
import sys
from foresight.rollout.collect import collect
from foresight.rollout.episode import EpisodeSpec
from foresight.envs.registry import EnvConfig

if __name__ == "__main__":
    specs = [
        EpisodeSpec(EnvConfig("reacher-easy", size=32), seed, "random", 40)
        for seed in range(12)
    ]
    print(collect(sys.argv[1], specs, int(sys.argv[2])).fingerprint)
"""


@pytest.mark.slow
def test_a_collection_killed_at_random_moments_ends_the_same(folder):
    script = folder / "script.py"
    script.write_text(COLLECT)

    def run(name: str, workers: int) -> subprocess.Popen:
        command = [sys.executable, str(script), str(folder / name), str(workers)]
        return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)

    undisturbed = run("undisturbed", 1)
    rng = random.Random(0)
    for goal in (1, 5):
        process = run("killed", 1)
        deadline = time.monotonic() + 60
        while process.poll() is None and time.monotonic() < deadline:
            if len(list((folder / "killed").glob("data/*/file*"))) >= goal:
                time.sleep(rng.uniform(0, 0.05))
                process.send_signal(signal.SIGKILL)
                break
            time.sleep(0.005)
        process.communicate()
    assert len(Dataset.open(folder / "killed")) >= 1
    last = run("killed", 2)
    assert last.communicate()[0] == undisturbed.communicate()[0]
    assert tree(folder / "killed") == tree(folder / "undisturbed")

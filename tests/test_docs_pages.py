"""The pages about a user's own data and policy do what they say, from top to bottom.

Python blocks of a page are one program, in order; lines that begin with ``foresight`` are run where
they stand, after the Python before them; one that ends with ``&`` goes on beside the rest. All
of it happens in an empty folder, in a process of its own that is forked from one that has imported
what all of them import, and done nothing.
"""

from __future__ import annotations

import multiprocessing
import os
import re
import runpy
import shutil
import sys
import textwrap
from pathlib import Path

import psutil
import pytest

from spot_files import needs_spot

ROOT = Path(__file__).parents[1]
PAGES = (
    "README",
    "your-dataset",
    "your-policy",
    "your-robot",
    "demonstrations",
    "metaworld",
    "spot",
)
RECORDED = "tests/data/lerobot/two-cameras"
TWO_CAMERAS = {"recordings/two-cameras": RECORDED}
RECORDINGS = dict.fromkeys(("your-dataset", "your-robot", "demonstrations"), TWO_CAMERAS)
RECORDINGS["README"] = {"recordings/pick-up": RECORDED}
"""What lies in the folder before a page is read."""
DEMONSTRATIONS = {
    "your-dataset": "demonstrations/pick_up_the_black_bowl_and_place_it_on_the_plate_demo.hdf5"
}
"""Files of demonstrations that are made there."""
NETWORK = "facebook/"
"""Commands that would fetch gigabytes are not run."""
APART = (
    "foresight reproduce mistakes --preset smoke",
    "foresight run metaworld/reach metaworld/button-press --preset smoke",
)
"""Their own tests run them and look at what comes of it: ``tests/studies/mistakes`` and
``tests/pipelines/test_pipelines_demonstrated.py``."""
IMPORTED = (
    "torch._dynamo",  # what the first optimiser imports, too
    "matplotlib.backends.backend_svg",
    "foresight.cli.train",
    "foresight.pipelines.drift",
    "foresight.pipelines.imagine",
    "foresight.pipelines.inspection",
    "foresight.experts.simulator_rollouts",  # MuJoCo
    "foresight.report.plots",
)

BEGIN = """
import atexit, os, shlex, subprocess, sys
os.cpu_count = lambda: 1  # to import torch in workers costs more than such small work
import foresight.pipelines.drift as _drift
# What a model knows of actions is asked from two beginnings instead of sixteen: here it is the
# command that counts, and tests/diagnostics that hold the numbers to account.
_plan = _drift.ActionPlan
_drift.ActionPlan = lambda horizons, starts, *more: _plan(horizons, min(starts, 2), *more)
def _beside(line):
    started = subprocess.Popen([sys.executable, "-m", *shlex.split(line)])
    atexit.register(started.kill)
"""


def program(page: str) -> str:
    """A page as one script; commands become calls that end it when they fail."""
    text = (ROOT / ("README.md" if page == "README" else f"docs/{page}.md")).read_text()
    parts = [BEGIN, "from foresight.cli import main as _verb"]
    for language, code in re.findall(r"^```(\w*)\n(.*?)^```$", text, re.DOTALL | re.M):
        if language == "python":
            parts.append(code)
        elif language in ("", "bash"):
            lines = [line for line in code.splitlines() if line.startswith("foresight ")]
            lines = [line for line in lines if NETWORK not in line and line not in APART]
            parts += [
                f"_beside({line.removesuffix('&')!r})"
                if line.endswith("&")
                else f"assert not _verb(shlex.split({line!r}, comments=True)[1:])"
                for line in lines
            ]
    # Workers import the script once more, and are not to run it.
    return 'if __name__ == "__main__":\n' + textwrap.indent("\n".join(parts), "    ")


def read_page(folder: Path) -> None:
    """Run ``page.py`` of a folder there, in the process that calls this, which is changed by it."""
    import torch

    os.chdir(folder)
    printed = os.open("printed.txt", os.O_WRONLY | os.O_CREAT)
    os.dup2(printed, 1)
    os.dup2(printed, 2)
    torch.set_num_threads(1)
    sys.path[:0] = [str(ROOT / "src"), str(folder)]
    os.environ |= {"PYTHONPATH": f"{ROOT / 'src'}:{folder}", "OMP_NUM_THREADS": "1"}
    try:
        runpy.run_path("page.py", run_name="__main__")
    finally:
        for beside in psutil.Process().children(recursive=True):
            beside.kill()


@pytest.mark.slow
@pytest.mark.parametrize(
    "page", [pytest.param(p, marks=needs_spot) if p == "spot" else p for p in PAGES]
)
def test_the_page_runs(page: str, tmp_path: Path) -> None:
    for name, source in RECORDINGS.get(page, {}).items():
        shutil.copytree(ROOT / source, tmp_path / name)
    if page in DEMONSTRATIONS:
        from demo_files import LiberoFile  # which needs h5py

        LiberoFile([12, 15, 11, 13], [0, 1, 2, 3]).write(tmp_path / DEMONSTRATIONS[page])
    (tmp_path / "page.py").write_text(program(page))
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([*IMPORTED])
    reader = context.Process(target=read_page, args=(tmp_path,))
    reader.start()
    reader.join(600)
    reader.kill()
    reader.join()
    assert reader.exitcode == 0, (tmp_path / "printed.txt").read_text()[-6000:]

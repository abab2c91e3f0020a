"""The pages about a user's own data and policy do what they say, from top to bottom.

Python blocks of a page are one program, in order; lines that begin with ``foresight`` are run where
they stand, after the Python before them; one that ends with ``&`` goes on beside the rest. All
of it happens in an empty folder.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = ("README", "your-dataset", "your-policy", "your-robot", "demonstrations", "metaworld")
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

BESIDE = """
import atexit, shlex, subprocess, sys
def _beside(line):
    started = subprocess.Popen([sys.executable, "-m", *shlex.split(line)])
    atexit.register(started.kill)
"""


def program(page: str) -> str:
    """A page as one script; commands become calls that end it when they fail."""
    text = (ROOT / ("README.md" if page == "README" else f"docs/{page}.md")).read_text()
    parts = [BESIDE, "from foresight.cli import main as _verb"]
    for language, code in re.findall(r"^```(\w*)\n(.*?)^```$", text, re.DOTALL | re.M):
        if language == "python":
            parts.append(code)
        elif language in ("", "bash"):
            lines = [line for line in code.splitlines() if line.startswith("foresight ")]
            lines = [line for line in lines if NETWORK not in line]
            parts += [
                f"_beside({line.removesuffix('&')!r})"
                if line.endswith("&")
                else f"assert not _verb(shlex.split({line!r}, comments=True)[1:])"
                for line in lines
            ]
    # Workers import the script once more, and are not to run it.
    return 'if __name__ == "__main__":\n' + textwrap.indent("\n".join(parts), "    ")


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES)
def test_the_page_runs(page: str, tmp_path: Path) -> None:
    for name, source in RECORDINGS.get(page, {}).items():
        shutil.copytree(ROOT / source, tmp_path / name)
    if page in DEMONSTRATIONS:
        from demo_files import LiberoFile  # which needs h5py

        LiberoFile([12, 15, 11, 13], [0, 1, 2, 3]).write(tmp_path / DEMONSTRATIONS[page])
    script = tmp_path / "page.py"
    script.write_text(program(page))
    env = {**os.environ, "PYTHONPATH": f"{ROOT / 'src'}:{tmp_path}", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, str(script)],
        cwd=tmp_path,
        env=env,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout[-2000:]}\n{done.stderr[-4000:]}"

"""Workers that want the same thing wait for the first one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

TEST = """
import os, time
import pytest
from made_once import made_once

@pytest.mark.parametrize("i", range(4))
def test_it(i, tmp_path_factory):
    def make(folder):
        time.sleep(0.3)
        with (folder / "log").open("a") as log:
            log.write(os.environ["PYTEST_XDIST_WORKER"] + "\\n")

    folder = made_once(tmp_path_factory, "thing", make)
    assert len((folder / "log").read_text().splitlines()) == 1
"""


def test_two_workers_make_it_once(tmp_path):
    (tmp_path / "test_it.py").write_text(TEST)
    words = ["-p", "xdist.plugin", "-n", "2", "-p", "no:cacheprovider"]
    words += ["--basetemp", str(tmp_path / "base")]
    helpers = str(Path(__file__).parent / "helpers")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", *words, "-o", f"pythonpath={helpers}", "test_it.py"],
        cwd=tmp_path,
        env=os.environ | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},  # they import much
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0 and "4 passed" in done.stdout, done.stdout + done.stderr

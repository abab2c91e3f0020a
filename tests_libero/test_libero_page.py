"""The page about LIBERO does what it says, from top to bottom."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_the_page_runs(tmp_path):
    spec = importlib.util.spec_from_file_location("pages", ROOT / "tests" / "test_docs_pages.py")
    pages = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(pages)
    script = tmp_path / "page.py"
    script.write_text(pages.program("libero"))
    env = {**os.environ, "PYTHONPATH": f"{ROOT / 'src'}:{tmp_path}", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, str(script)],
        cwd=tmp_path,
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
    assert (tmp_path / "demos" / "meta" / "info.json").exists()

"""The page about an environment of one's own, executed from its first block to its last."""

from __future__ import annotations

import os
import re
import shlex
import sys
from pathlib import Path

import gymnasium
import pytest

from foresight import cli
from foresight.envs import factories

PAGE = Path(__file__).parents[1] / "docs" / "your-environment.md"


def blocks(text: str) -> list[tuple[str, str]]:
    """Language and code of each block that runs, in order."""
    found = re.findall(r"^```(\w+)\n(.*?)^```$", text, re.DOTALL | re.M)
    return [(language, code) for language, code in found if language in ("python", "bash")]


@pytest.fixture
def alone(tmp_path, monkeypatch):
    """An empty folder, and none of its names left behind."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(factories, "_registered", {})
    monkeypatch.setenv("FORESIGHT_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(os, "cpu_count", lambda: 1)  # workers would import torch once more each
    before = set(gymnasium.registry)
    yield tmp_path
    sys.modules.pop("my_robot", None)
    for name in set(gymnasium.registry) - before:
        del gymnasium.registry[name]


def test_every_block_runs_in_order(alone):
    found = blocks(PAGE.read_text())
    assert [language for language, _ in found].count("python") > 4
    (alone / "my_robot.py").write_text(found[0][1])  # as the page says
    names = {"__name__": "page"}
    for language, code in found:
        if language == "python":
            exec(compile(code, PAGE.name, "exec"), names)
            continue
        for line in code.splitlines():
            words = shlex.split(line, comments=True)
            assert words[0] == "foresight", line
            assert cli.main(words[1:]) == 0, line


def test_the_page_shows_the_entry_point_group():
    assert f'[project.entry-points."{factories.GROUP}"]' in PAGE.read_text()

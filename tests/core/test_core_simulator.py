"""Only experts and probes look into a simulator: every module of the package is read for it."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import foresight

ROOT = Path(foresight.__file__).parent
MODULES = sorted(path.relative_to(ROOT) for path in ROOT.rglob("*.py"))
MAY_LOOK = (
    *("envs/dmc", "envs/metaworld", "envs/libero", "envs/planar", "envs/spot"),
    *("experts", "diagnostics/probes", "core/simulator.py"),
)
"""Who implements a simulator, and who may ask for it."""
LOOKS = {"physics", "dm_task", "full_observation", "truth", "set_state", "get_state"}
GENERATORS = {"random", "rng", "generator"}
"""What has a ``get_state`` that is no simulator's: ``numpy.random``, ``torch.random``."""


def looked_at(tree: ast.AST) -> list[str]:
    """Privileged attributes and imports of a module, as ``line: name``."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module == "foresight.core.simulator":
            found += [f"{node.lineno}: {name.name}" for name in node.names]
        elif isinstance(node, ast.Attribute) and node.attr in LOOKS:
            owner = node.value
            name = getattr(owner, "attr", getattr(owner, "id", ""))
            if name not in GENERATORS:
                found.append(f"{node.lineno}: .{node.attr}")
    return found


@pytest.mark.parametrize("module", MODULES, ids=str)
def test_nothing_but_experts_and_probes_looks_into_a_simulator(module):
    if module.as_posix().startswith(MAY_LOOK):
        return
    found = looked_at(ast.parse((ROOT / module).read_text()))
    # Who runs a policy hands it the environment if it wants one; that is no look of its own.
    assert [entry for entry in found if not entry.endswith(": Privileged")] == []


@pytest.mark.parametrize(
    "code",
    [
        "from foresight.core.simulator import Simulator",
        "height = env.physics.torso_height()",
        "env.unwrapped.set_state(state)",
        "env.get_wrapper_attr('x').truth()",
    ],
)
def test_a_look_is_noticed(code):
    assert looked_at(ast.parse(code))
    assert not looked_at(ast.parse("np.random.get_state(); torch.random.set_state(1)"))


def test_experts_do_look():
    trees = [ast.parse(path.read_text()) for path in (ROOT / "experts").rglob("*.py")]
    assert any(looked_at(tree) for tree in trees)

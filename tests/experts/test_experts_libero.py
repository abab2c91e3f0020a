"""Which of LIBERO's tasks have an expert; `tests_libero` lets it act."""

from __future__ import annotations

import pytest

from foresight.core.errors import ForesightError
from foresight.core.spec import Spec
from foresight.envs.libero.tasks import TASKS
from foresight.experts import has_expert
from foresight.experts.libero import LiberoExpert


def test_tasks_of_picking_and_placing_have_an_expert():
    having = {task for task in TASKS if has_expert("expert", f"libero/{task}")}
    assert having == {task for task in TASKS if task.startswith(("spatial/", "object/"))}
    assert has_expert("expert", "libero/spatial/3") and not has_expert("oracle", "libero/spatial/3")
    assert not has_expert("expert", "libero/spatial/10")


def test_others_are_told():
    for task in ("libero/goal/0", "10/0", "libero/spatial/10"):
        with pytest.raises(ForesightError, match="the suites spatial and object have one"):
            LiberoExpert(task, Spec())

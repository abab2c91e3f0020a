"""Which of LIBERO's tasks have an expert; `tests_libero` lets it act."""

from __future__ import annotations

import pytest

from foresight.core.errors import ForesightError
from foresight.core.spec import Spec
from foresight.envs.libero.tasks import SUITES, TASKS
from foresight.experts import has_expert
from foresight.experts.libero import LiberoExpert


def test_tasks_of_picking_and_placing_have_an_expert():
    having = {task for task in TASKS if has_expert("expert", f"libero/{task}")}
    suites = {suite: sum(task.startswith(f"{suite}/") for task in having) for suite in SUITES}
    assert suites == {
        **dict.fromkeys(("spatial", "object", "spatial-swap", "object-swap"), 10),
        **dict.fromkeys(("goal", "goal-swap"), 5),
        **dict.fromkeys(("10", "10-swap"), 0),
    }
    assert "goal/put_the_bowl_on_the_plate" in having and "goal/turn_on_the_stove" not in having
    assert has_expert("expert", "libero/spatial/3") and not has_expert("oracle", "libero/spatial/3")
    assert not has_expert("expert", "libero/spatial/10")


def test_others_are_told():
    for task in ("libero/goal/0", "10/0", "libero/spatial/10"):
        with pytest.raises(ForesightError, match=r"these have one: spatial, object, goal/put"):
            LiberoExpert(task, Spec())

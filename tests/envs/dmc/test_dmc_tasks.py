"""Task ids and protocols."""

from __future__ import annotations

import pytest

from foresight.core.errors import ForesightError
from foresight.envs.dmc.protocol import PROTOCOLS, get_protocol
from foresight.envs.dmc.tasks import MEASURED_TASKS, resolve, task_ids


def test_every_task_of_the_suite_has_an_id():
    from dm_control import suite

    ids = task_ids()
    assert len(ids) == len(set(ids)) == len(suite.ALL_TASKS)
    assert {resolve(task) for task in ids} == set(suite.ALL_TASKS)
    assert set(MEASURED_TASKS) <= set(ids)


def test_cup_catch_has_two_spellings_and_one_id():
    assert resolve("cup-catch") == resolve("ball_in_cup-catch") == ("ball_in_cup", "catch")
    assert "cup-catch" in task_ids()
    assert "ball_in_cup-catch" not in task_ids()


@pytest.mark.parametrize("task", ["reacher", "reacher-esay", "", "cup-", "walker-walk-"])
def test_an_unknown_task_is_named_with_close_ones(task):
    with pytest.raises(ForesightError, match="Unknown task") as caught:
        resolve(task)
    assert repr(task) in str(caught.value)


def test_a_typing_error_finds_its_task():
    with pytest.raises(ForesightError, match="reacher-easy"):
        resolve("reacher-esay")


def test_protocols_have_the_lengths_they_are_known_for():
    assert (PROTOCOLS["seed200"].steps, PROTOCOLS["seed200"].decisions) == (200, 200)
    assert (PROTOCOLS["dmc1000"].steps, PROTOCOLS["dmc1000"].decisions) == (1000, 500)
    assert get_protocol(PROTOCOLS["seed200"]) is PROTOCOLS["seed200"]


def test_an_unknown_protocol_is_refused():
    with pytest.raises(ForesightError, match=r"'dmc500'.*seed200, dmc1000"):
        get_protocol("dmc500")


def test_the_written_list_is_the_suites():
    from dm_control import suite

    assert sorted(map(resolve, task_ids())) == sorted(map(tuple, suite.ALL_TASKS))

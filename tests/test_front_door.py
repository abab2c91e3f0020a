"""The names of ``import foresight``: typed, light, and each with an example that runs."""

from __future__ import annotations

import doctest
import inspect
import subprocess
import sys

import numpy as np
import pytest

import foresight
from foresight.core.errors import ForesightError
from foresight.training.offline import TrainConfig

FUNCTIONS = (
    "collect",
    "load_dataset",
    "evaluate",
    "train",
    "make",
    "wrap",
    "register_env",
    "load_encoder",
    "load",
)


def test_what_one_sees():
    assert set(dir(foresight)) == {*foresight.__all__, "__version__"}
    for name in foresight.__all__:
        assert getattr(foresight, name).__doc__, name
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = foresight.nothing


def test_the_front_door_is_light():
    code = "import sys, foresight; print('torch' in sys.modules, 'mujoco' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]


def test_every_function_has_an_example_that_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    finder, runner = doctest.DocTestFinder(recurse=False), doctest.DocTestRunner()
    for name in FUNCTIONS:
        function = getattr(foresight, name)
        assert ">>> " in inspect.getdoc(function), name
        (test,) = finder.find(function, name, globs={})
        failed, tried = runner.run(test)
        assert (failed, tried > 0) == (0, True), name


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: foresight.evaluate(3, "fake_robot:FakeRobot"), "3 is no policy"),
        (lambda: foresight.evaluate("zero", "fake_robot:FakeRobot", episodes=0), "at least 1"),
        (lambda: foresight.collect("fake_robot:FakeRobot", "zero", 0, "x"), "at least 1"),
        (lambda: foresight.train("x", "dreams", "y"), "choose world-model, bc or chunk"),
        (lambda: foresight.train("x", "bc", "y", config=TrainConfig()), "CloningTraining"),
        (lambda: foresight.load_dataset("nowhere"), "nowhere"),
        (lambda: foresight.evaluate("zero", "no-such-robot"), "no-such-robot"),
    ],
)
def test_mistakes_are_sentences(call, words):
    with pytest.raises(ForesightError, match=words):
        call()


def test_a_policy_that_exists_acts_alone():
    class Still(foresight.Policy):
        def act(self, observation):
            return np.zeros(2, "float32")

    with pytest.raises(ForesightError, match="one worker"):
        foresight.evaluate(Still(), "fake_robot:FakeRobot", workers=2)

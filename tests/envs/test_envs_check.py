"""What `foresight envs check` says of environments with one fault each."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
from gymnasium import spaces

from fake_robot import FakeRobot
from foresight import cli
from foresight.core.errors import ForesightError
from foresight.envs import factories
from foresight.envs.check import check, fits
from foresight.envs.registry import EnvConfig, register_env

STEPS = 45  # more than the robot's own limit
ROBOT = "fake_robot:FakeRobot"


class Forgetful(FakeRobot):
    def reset(self, **kwargs):
        seen = super().reset(**kwargs)
        self._place = np.random.default_rng().uniform(-0.9, 0.9, 2)
        return self._observe(), seen[1]


class Drifting(FakeRobot):
    """The first episode is as the seed says; later ones remember those before."""

    lived = 0

    def reset(self, **kwargs):
        _, info = super().reset(**kwargs)
        self.lived += 1
        self._goal = self._goal * (1 if self.lived == 1 else 0.9)
        return self._observe(), info


class Overwriting(FakeRobot):
    def _front(self):
        if not hasattr(self, "_buffer"):
            self._buffer = super()._front()
        self._buffer[:] = super()._front()
        return self._buffer


class UpsideDown(FakeRobot):
    def render(self):
        return super()._front()

    def _front(self):
        return super()._front()[::-1]


class BlueFirst(UpsideDown):
    def _front(self):
        return FakeRobot._front(self)[..., ::-1]


class Dark(FakeRobot):
    def _wrist(self):
        return np.zeros_like(super()._wrist())


class Frozen(FakeRobot):
    def _wrist(self):
        return np.tile(np.arange(40, dtype=np.uint8)[None, :, None], (24, 1, 3))


class Beyond(FakeRobot):
    def __init__(self):
        super().__init__()
        self.observation_space["joints"] = spaces.Box(-0.1, 0.1, (4,), np.float32)


class BadReward(FakeRobot):
    def step(self, action):
        seen, _, *rest = super().step(action)
        return seen, np.nan, *rest


class Crashing(FakeRobot):
    def step(self, action):
        if self._steps == 3:
            raise ZeroDivisionError("the gripper is closed")
        return super().step(action)


class NotANumber(FakeRobot):
    def _observe(self):
        seen = super()._observe()
        if self.steps_taken() > 2:
            seen["joints"][1] = np.nan
        return seen

    def steps_taken(self):
        return getattr(self, "_steps", 0)


class OldReset(FakeRobot):
    def reset(self, **kwargs):
        return super().reset(**kwargs)[0]


class OldStep(FakeRobot):
    def step(self, action):
        seen, reward, terminated, _, info = super().step(action)
        return seen, reward, terminated, info


class Choosing(FakeRobot):
    def __init__(self):
        super().__init__()
        self.action_space = spaces.Discrete(3)


class Broken(FakeRobot):
    def __init__(self):
        raise ConnectionError("nobody answers on port 7")


def told(made, **options):
    factories._registered["test/robot"] = made
    try:
        return check(EnvConfig.of("test/robot", **options), steps=STEPS)
    finally:
        del factories._registered["test/robot"]


def faults(findings):
    return [finding.text for finding in findings if finding.verdict == "fault"]


def test_a_healthy_robot_fits():
    findings = told(FakeRobot)
    assert faults(findings) == []
    assert fits(findings)
    texts = " ".join(finding.text for finding in findings)
    assert "Cameras: front 32x48, wrist 24x40. State: 4 numbers." in texts
    assert "times real time" in texts
    assert "terminated" in texts


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (Forgetful, "The seed 0 does not decide the episode.*self.np_random"),
        (Drifting, "does not decide the episode: played again in the same environment"),
        (Overwriting, "overwrites the observation that was given before"),
        (UpsideDown, "Camera 'front' is upside down"),
        (BlueFirst, "Camera 'front' is with blue in the place of red"),
        (Dark, r"Camera 'wrist' shows nothing but one colour \(0, 0, 0\)"),
        (Frozen, "Camera 'wrist' never changes"),
        (Beyond, r"The state 'joints_\d' was .*, outside its bounds -0.1 to 0.1"),
        (BadReward, r"Step 0 after reset\(seed=0\) gave the reward nan"),
        (Crashing, r"Step 3 after reset\(seed=0\) failed: ZeroDivisionError: the gripper"),
        (NotANumber, "nan as 'joints_1'"),
        (
            OldReset,
            r"reset\(\) of OldReset returned dict: Gymnasium 1.x expects \(observation, info",
        ),
        (OldStep, r"step\(\) of OldStep returned 4 values"),
        (Choosing, "a list of bounded numbers"),
        (Broken, "cannot be made: ConnectionError: nobody answers on port 7"),
    ],
)
def test_each_fault_is_one_sentence(made, words):
    found = faults(told(made))
    assert found
    assert len(found) == len(set(found))
    assert re.search(words, found[0]), found
    assert all("\n" not in text for text in found)
    assert len(found) == 1 or made is Beyond, found


def test_what_one_should_know_is_told_but_is_no_fault():
    class Quiet(FakeRobot):
        def step(self, action):
            seen, _, _, _, _ = super().step(action)
            return seen, 0.0, False, False, {}

    findings = told(Quiet)
    texts = " ".join(finding.text for finding in findings if finding.verdict == "note")
    for words in ("Every reward was 0", "No episode ended within 45", 'no "success"'):
        assert words in texts
    assert fits(findings)
    assert "No episode ended" not in " ".join(f.text for f in told(Quiet, time_limit=60))


def test_an_environment_without_cameras_or_in_a_simulator_fits():
    assert fits(check(EnvConfig.of("point_mass-easy", cameras=()), steps=5))
    assert fits(check(EnvConfig.of("lqr-lqr_2_1", size=16), episodes=1, steps=5))


@pytest.mark.parametrize("numbers", [{"episodes": 0}, {"steps": 0}])
def test_nothing_to_play_is_refused(numbers):
    with pytest.raises(ForesightError, match="whole number from 1"):
        check(EnvConfig(ROBOT), **numbers)


def test_the_command_tells_and_counts(capsys):
    assert cli.main(["envs", "check", ROBOT, "--episodes", "1"]) == 0
    assert "fake_robot:FakeRobot fits." in capsys.readouterr().out
    assert cli.main(["envs", "check", ROBOT, "--options", "fps", "20", "limit", "3", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["fits"]
    assert "20 decisions" in found["findings"][0]["text"]
    assert "they had 3 steps" in " ".join(finding["text"] for finding in found["findings"])
    assert cli.main(["envs", "check", "test_envs_check:Dark"]) == cli.USER_ERROR
    assert "one thing does not fit." in capsys.readouterr().out
    assert cli.main(["envs", "check"]) == cli.USER_ERROR
    assert "No environment to check" in capsys.readouterr().err


def test_the_command_lists(capsys, monkeypatch):
    monkeypatch.setattr(factories, "_registered", {})
    register_env("acme/arm", FakeRobot)
    assert cli.main(["envs", "list"]) == 0
    found = capsys.readouterr().out.splitlines()
    assert {"acme/arm", "dmc/reacher-easy"} <= set(found)
    assert cli.main(["envs", "list", "walker", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == [
        f"dmc/walker-{x}" for x in ("run", "stand", "walk")
    ]

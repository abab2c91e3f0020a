"""The fixed-rate loop on a clock of its own: what is late, missed, held and lined up."""

import numpy as np
import pytest

from fake_robot import LIMIT, FakeRobot
from foresight.core.errors import ForesightError
from foresight.core.observation import Observation
from foresight.envs.wrap import wrap
from foresight.serving.control_loop import NOTHING, ControlLoop, LoopConfig, _Chunks
from foresight.serving.env_robot import EnvRobot


class Clock:
    """Time that passes only when somebody sleeps or works."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        self.now += 1e-7  # so that watching the clock comes to an end
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds + 1e-4


class Arm:
    """Remembers what it was sent."""

    def __init__(self) -> None:
        self.sent: list[np.ndarray] = []
        self.reads = 0

    def read(self) -> Observation:
        self.reads += 1
        return Observation(state=np.float32([len(self.sent)]))

    def send(self, action: np.ndarray) -> None:
        self.sent.append(action)


class Slow:
    """A decision takes its time."""

    def __init__(self, clock: Clock, seconds: float) -> None:
        self.clock, self.seconds = clock, seconds

    def reset(self, observation: Observation, seed: int = 0) -> None:
        pass

    def act(self, observation: Observation) -> np.ndarray:
        self.clock.now += self.seconds
        return observation.state


def drive(seconds_of_decision: float, **changes: float) -> tuple[Arm, object]:
    clock, arm = Clock(), Arm()
    config = LoopConfig(**{"rate": 10, "seconds": 3, "warm_up": 1, **changes})
    loop = ControlLoop(arm, Slow(clock, seconds_of_decision), config, clock, clock.sleep)
    return arm, loop.run()


def test_a_quick_policy_misses_nothing():
    arm, report = drive(0.01)
    assert (report.ticks, report.missed, report.held, report.decisions) == (20, 0, 0, 20)
    assert len(arm.sent) == 30
    assert report.decision_ms["median"] == pytest.approx(10, abs=0.1)
    assert report.late_ms["largest"] == pytest.approx(10, abs=0.5)
    assert "0 missed" in report.sentence(10)


def test_late_by_more_than_half_a_tick_is_missed():
    assert drive(0.04)[1].missed == 0
    arm, report = drive(0.06)
    assert report.missed == report.ticks == 20
    assert report.held == 0
    assert len(arm.sent) == 30
    assert "16.7 Hz are within reach" in report.sentence(10)


def test_a_policy_slower_than_the_clock_does_not_make_the_robot_hurry():
    arm, report = drive(0.25)
    assert report.ticks == 20
    assert report.missed == 20
    assert 9 <= len(arm.sent) <= 15  # ticks whose time was over are left out, not made up for
    assert report.held >= 10


def test_nonsense_is_refused():
    for words in ({"rate": 0}, {"seconds": -1}, {"rate": float("nan")}):
        with pytest.raises(ForesightError, match="more than 0"):
            LoopConfig(**words)
    with pytest.raises(ForesightError, match="0 or more"):
        LoopConfig(execute=-1)


class Chunks:
    """A chunk of eight: each action says when it was decided and where it stands in its chunk."""

    def __init__(self) -> None:
        self.asked: list[tuple[float, int]] = []

    def predict_action_chunk(self, observation: Observation) -> np.ndarray:
        self.asked.append((float(observation.state[0]), 0))
        return np.stack([np.float32([observation.state[0], k]) for k in range(8)])


class Freezing(Chunks):
    """Goes on from actions under way, and looks back."""

    def __init__(self) -> None:
        super().__init__()
        self.watched: list[float] = []

    def watch(self, observation: Observation) -> None:
        self.watched.append(float(observation.state[0]))

    def predict_action_chunk(
        self, observation: Observation, frozen: np.ndarray | None = None
    ) -> np.ndarray:
        known = np.zeros((0, 2), np.float32) if frozen is None else frozen
        chunk = super().predict_action_chunk(observation)
        self.asked[-1] = (self.asked[-1][0], len(known))
        return np.concatenate([known, chunk[len(known) :]])


def ticked(policy: Chunks, delay: int, ticks: int, execute: int | None = 4) -> list:
    """The loop's bookkeeping with decisions that take exactly ``delay`` ticks."""
    chunks = _Chunks(policy, execute, Clock())
    chunks.begin(Observation(state=np.float32([0])), 0, NOTHING)
    chunks.wait()
    found, waiting = [], 0
    for tick in range(ticks):
        busy, thread = chunks._thread, chunks._thread
        if busy is not None and tick and waiting < delay:
            thread = type("Busy", (), {"is_alive": lambda self: True})()
        waiting += 1
        chunks._thread = thread
        action, _, _ = chunks.action(Observation(state=np.float32([tick])), tick)
        if thread is not busy:
            chunks._thread = busy
        elif chunks._thread is not busy:
            waiting = 1
            chunks.wait()
        found.append(None if action is None else tuple(map(int, action)))
    return found


def test_chunks_are_lined_up_with_the_clock():
    found = ticked(Chunks(), delay=2, ticks=14)
    assert found[:4] == [(0, 0), (0, 1), (0, 2), (0, 3)]
    # The second chunk is begun at tick 4 and there at tick 6: its first two actions are over.
    assert found[4:10] == [(0, 4), (0, 5), (4, 2), (4, 3), (4, 4), (4, 5)]


def test_a_chunk_that_comes_too_late_leaves_ticks_without_an_action():
    found = ticked(Chunks(), delay=6, ticks=12)
    assert found[7] == (0, 7)
    assert found[8:10] == [None, None]
    assert found[10] == (4, 6)


def test_actions_under_way_and_the_steps_between_are_told_to_a_policy_that_asks():
    policy = Freezing()
    found = ticked(policy, delay=2, ticks=14)
    # Begun at 0, 4 and, four actions after 4, at 8; the second knows the delay of the first.
    assert [tick for tick, _ in policy.asked] == [0, 4, 8, 12]
    assert [known for _, known in policy.asked][2] == 2
    assert found[8:12] == [(4, 4), (4, 5), (8, 2), (8, 3)]
    assert policy.watched == [float(t) for t in range(12) if t not in (4, 8)]


class Broken(Chunks):
    def predict_action_chunk(self, observation: Observation) -> np.ndarray:
        raise ForesightError("no such camera")


def test_a_refusal_in_the_thread_is_heard_in_the_loop():
    policy = Broken()
    policy.reset = lambda observation, seed=0: None
    with pytest.raises(ForesightError, match="no such camera"):
        ControlLoop(Arm(), policy, LoopConfig(rate=100, seconds=0.1)).run()


def test_real_threads_and_a_real_clock(monkeypatch: pytest.MonkeyPatch):
    class Acting(Chunks):
        def reset(self, observation: Observation, seed: int = 0) -> None:
            pass

        def predict_action_chunk(self, observation: Observation) -> np.ndarray:
            return np.zeros((8, 2), np.float32)

    robot = EnvRobot(wrap(FakeRobot()))
    config = LoopConfig(rate=50, seconds=1.0, warm_up=0.1)
    sent: list[np.ndarray] = []
    step = robot.send
    monkeypatch.setattr(robot, "send", lambda action: (sent.append(action), step(action)))
    report = ControlLoop(robot, Acting(), config).run()
    # A busy machine may miss ticks, so nothing here asks how many.
    assert report.ticks == 45
    assert report.decisions >= 1
    assert len(robot.returns) == len(sent) // LIMIT  # one episode after the other

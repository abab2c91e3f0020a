"""A robot driven at a fixed rate: decisions while it moves, and the truth about their delay."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from inspect import signature
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float32

from foresight.core.errors import ForesightError
from foresight.core.observation import Observation
from foresight.core.policy import predicts_chunks

LATE = 0.5
"""Share of a tick by which an action may come late before the tick counts as missed."""
NOTHING = np.zeros((0, 0), np.float32)
SPIN = 0.001
"""Seconds before a tick in which the clock is watched rather than slept through."""


class Robot(Protocol):
    """What the loop drives: an arm, or an environment that stands for one."""

    def read(self) -> Observation:
        """What is seen and felt now; must not wait."""

    def send(self, action: Float32[np.ndarray, " A"]) -> None:
        """Begin an action; must not wait."""


class Acts(Protocol):
    """A policy, here or behind a server; where it has one, ``predict_action_chunk`` is used."""

    def reset(self, observation: Observation, seed: int) -> None:
        """Begin an episode."""

    def act(self, observation: Observation) -> Float32[np.ndarray, " A"]:
        """The next action."""


@runtime_checkable
class Watches(Protocol):
    """A policy that looks back: it wants to see the steps on which it decides nothing, too."""

    def watch(self, observation: Observation) -> None:
        """A step of the episode between two decisions."""


@dataclass(frozen=True)
class LoopConfig:
    """How a robot is driven."""

    rate: float = 20.0
    """Actions a second."""
    seconds: float = 60.0
    """How long."""
    execute: int | None = None
    """Actions of a chunk before the next one is begun; half of the chunk if not given. 0: no
    chunks, one decision for each action."""
    warm_up: float = 1.0
    """Seconds at the start whose ticks do not count."""
    seed: int = 0
    """Of the policy's episode."""

    def __post_init__(self) -> None:
        for name, least in (("rate", 0.0), ("seconds", 0.0)):
            if not getattr(self, name) > least:
                raise ForesightError(f"--{name} is {getattr(self, name)}: give more than 0.")
        if self.execute is not None and self.execute < 0:
            raise ForesightError(f"--execute is {self.execute}: give 0 or more actions.")


@dataclass
class LoopReport:
    """What a drive was like; ticks of the warm-up are left out.

    Attributes:
        ticks: actions that were due.
        missed: of them, those that came more than half a tick late, or not at all.
        held: of them, those without an action of their own: the robot goes on with its last one.
        decisions: chunks, or single actions, that were decided.
        late_ms: milliseconds between an action's due time and its sending: median, 99 %, largest.
        decision_ms: milliseconds of a decision: the same.
        delay_ticks: ticks between a decision's observation and its first action: the same.
    """

    ticks: int = 0
    missed: int = 0
    held: int = 0
    decisions: int = 0
    late_ms: dict[str, float] = field(default_factory=dict)
    decision_ms: dict[str, float] = field(default_factory=dict)
    delay_ticks: dict[str, float] = field(default_factory=dict)

    def sentence(self, rate: float) -> str:
        """What a user wants to know."""
        kept = f"{self.ticks:,} ticks at {rate:g} Hz, {self.missed} missed"
        spent = self.decision_ms
        told = f"a decision takes {spent['median']:.1f} ms, at most {spent['largest']:.1f}"
        if not self.missed:
            return f"{kept}; {told}."
        able = 1000 / max(spent["p99"], 1e-3)
        return f"{kept} ({self.held} without an action); {told}: {able:.1f} Hz are within reach."


class ControlLoop:
    """Sends an action at every tick, and lets the policy decide beside it.

    With chunks, the next one is computed in a thread while the last is executed, from an
    observation taken when it was begun; when it is there, its actions are lined up with the clock,
    so that those whose time is over are skipped. Without them, observation, decision and action
    follow each other within a tick.
    """

    def __init__(
        self,
        robot: Robot,
        policy: Acts,
        config: LoopConfig,
        clock: Callable[[], float] = time.perf_counter,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._robot, self._policy, self._config = robot, policy, config
        self._clock, self._sleep = clock, sleep
        self._late: list[float] = []
        self._delays: list[int] = []
        self._spent: list[float] = []
        self._held = 0
        self._missed = 0

    def run(self) -> LoopReport:
        """Drive.

        Returns:
            What it was like.

        Raises:
            ForesightError: whatever the policy refuses.
        """
        config = self._config
        first = self._robot.read()
        self._policy.reset(first, config.seed)
        chunked = config.execute != 0 and predicts_chunks(self._policy)
        source = _Chunks(self._policy, config.execute, self._clock) if chunked else None
        if source is not None:
            source.begin(first, 0, NOTHING)
            source.wait()
        started, period = self._clock(), 1 / config.rate
        action: np.ndarray | None = None
        for tick in range(round(config.seconds * config.rate)):
            due = started + tick * period
            self._await(due)
            if self._clock() - due > period:  # to catch up would be to move too fast
                self._count(tick, self._clock() - due, True, [], None)
                continue
            observation = self._robot.read()
            if source is None:
                begun = self._clock()
                fresh: np.ndarray | None = self._policy.act(observation)
                spent = [self._clock() - begun]
                delay = 0
            else:
                fresh, spent, delay = source.action(observation, tick)
            if fresh is not None:
                action = fresh
            assert action is not None  # the first chunk was waited for
            self._robot.send(action)
            self._count(tick, self._clock() - due, fresh is None, spent, delay)
        if source is not None:
            source.wait()
        return self._report()

    def _await(self, due: float) -> None:
        """Sleep until just before a tick, then watch the clock."""
        while (left := due - self._clock()) > 0:
            self._sleep(max(left - SPIN, 0.0))

    def _count(
        self, tick: int, late: float, held: bool, spent: list[float], delay: int | None
    ) -> None:
        if tick < self._config.warm_up * self._config.rate:
            return
        self._late.append(late)
        self._held += held
        self._missed += held or late > LATE / self._config.rate
        self._spent += spent
        if delay is not None:
            self._delays.append(delay)

    def _report(self) -> LoopReport:
        return LoopReport(
            ticks=len(self._late),
            missed=self._missed,
            held=self._held,
            decisions=len(self._spent),
            late_ms=_spread(1000 * np.array(self._late)),
            decision_ms=_spread(1000 * np.array(self._spent)),
            delay_ticks=_spread(np.array(self._delays)),
        )


class _Chunks:
    """The chunk under way, and the next one in the making."""

    def __init__(self, policy: Any, execute: int | None, clock: Callable[[], float]) -> None:
        self._policy, self._execute, self._clock = policy, execute, clock
        # Real-time chunking (Black, Galliker, Levine 2025, arXiv:2506.07339): the actions that are
        # executed while a chunk is computed are frozen in it, and the others made to fit them.
        self._freezes = "frozen" in signature(policy.predict_action_chunk).parameters
        self._watches = isinstance(policy, Watches)
        self._between: list[Observation] = []  # seen since the last decision
        self._chunk = NOTHING
        self._from = 0  # the tick of the chunk's first action
        self._thread: threading.Thread | None = None
        self._found: tuple[np.ndarray, int, float] | None = None
        self._failure: BaseException | None = None
        self._delay = 0  # ticks that the last chunk was on its way

    def begin(self, observation: Observation, tick: int, under_way: np.ndarray) -> None:
        """Compute a chunk whose first action belongs to ``tick``."""
        between, self._between = self._between, []

        def decide() -> None:
            begun = self._clock()
            try:
                for one in between:
                    self._policy.watch(one)
                known = {"frozen": under_way} if self._freezes and len(under_way) else {}
                chunk = self._policy.predict_action_chunk(observation, **known)
                self._found = np.asarray(chunk, np.float32), tick, self._clock() - begun
            except BaseException as error:  # raised again in the loop's own thread
                self._failure = error

        self._thread = threading.Thread(target=decide, daemon=True)
        self._thread.start()

    def wait(self) -> None:
        """Until the chunk in the making is there."""
        if self._thread is not None:
            self._thread.join()

    def action(
        self, observation: Observation, tick: int
    ) -> tuple[np.ndarray | None, list[float], int]:
        """The action of a tick, or None; seconds of a decision that has just ended; its delay."""
        spent = self._collect(tick)
        steps = len(self._chunk)
        index = tick - self._from
        if self._thread is None and index >= (self._execute or max(steps // 2, 1)):
            self.begin(observation, tick, self._chunk[index : index + self._delay])
        elif self._watches:
            self._between.append(observation)
        return (self._chunk[index] if index < steps else None), spent, self._delay

    def _collect(self, tick: int) -> list[float]:
        """Take over a finished chunk."""
        if self._thread is None or self._thread.is_alive():
            return []
        self._thread = None
        if self._failure is not None:
            raise self._failure
        assert self._found is not None
        self._chunk, self._from, seconds = self._found
        self._delay = tick - self._from
        return [seconds]


def _spread(values: np.ndarray) -> dict[str, float]:
    """Median, 99 % and largest; zeros for nothing."""
    if not len(values):
        return {"median": 0.0, "p99": 0.0, "largest": 0.0}
    middle, high = np.percentile(values, [50, 99])
    return {"median": float(middle), "p99": float(high), "largest": float(values.max())}

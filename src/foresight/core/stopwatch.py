"""What the stages of a long piece of work take, in wall seconds and in memory."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from foresight.core.machine import held_gib, peak_gib

SECONDS, PEAK = "seconds/", "peak-gib/"
"""Before the stages' names in a log."""


class Stopwatch:
    """Adds up stages; one inside another is named ``outer/inner`` and counts in both.

    Memory is asked for at the ends of a stage alone, which costs microseconds. It is exact for
    the stage in which the process held most so far; of the others it is what they held when they
    ended.

    Attributes:
        seconds: wall seconds of each stage.
        peaks: most memory that the process held in it, in GiB.
    """

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self.peaks: dict[str, float] = {}
        self._inside: list[str] = []

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time what is done inside, also if it fails."""
        self._inside.append(name)
        before, started = peak_gib(), time.perf_counter()
        try:
            yield
        finally:
            path = "/".join(self._inside)
            self.seconds[path] = self.seconds.get(path, 0.0) + time.perf_counter() - started
            peak = peak_gib()
            held = peak if peak > before else held_gib()
            for depth in range(len(self._inside)):  # whoever waits for this stage holds it, too
                path = "/".join(self._inside[: depth + 1])
                self.peaks[path] = max(self.peaks.get(path, 0.0), held)
            self._inside.pop()

    def numbers(self) -> dict[str, float]:
        """Everything so far, to be logged: ``seconds/<stage>`` and ``peak-gib/<stage>``."""
        found = {SECONDS + name: value for name, value in self.seconds.items()}
        return found | {PEAK + name: value for name, value in self.peaks.items()}

    def go_on(self, logged: Mapping[str, float | None]) -> None:
        """Count on from the ``numbers`` that an earlier process of the same work logged last."""
        for name, value in logged.items():
            if value is None:
                continue
            if name.startswith(SECONDS):
                stage = name.removeprefix(SECONDS)
                self.seconds[stage] = self.seconds.get(stage, 0.0) + value
            elif name.startswith(PEAK):
                stage = name.removeprefix(PEAK)
                self.peaks[stage] = max(self.peaks.get(stage, 0.0), value)

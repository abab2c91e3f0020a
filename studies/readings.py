"""What the result files of a folder say about a phase, whichever command wrote them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from foresight.evaluation.results import Result, load
from foresight.evaluation.statistics import Row, Summary, condition_difference, returns_by_seed
from studies.sources import Source

BASELINES = "baselines"
COMMANDS = {"planning": "foresight learn --out results/planning.json", "probes": "foresight probe"}
"""What writes a file, where it is not ``foresight reproduce NAME``."""
DIFFERENCE = ":return-difference"


class Readings:
    """The result files of a folder, each opened once.

    An entry of another experiment's file is named ``<file>:<entry>``, for example
    ``teach:faithful/reacher-easy``. Differences of returns that such a file does not hold itself,
    ``<file>:<condition> minus <condition>:return-difference/<task>``, are made from its episodes,
    and from those of ``baselines.json`` where it did not run the second condition.

    Args:
        folder: for example ``results``; it need not exist.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._opened: dict[str, Result | None] = {}

    def get(self, name: str) -> Result | None:
        """The result ``<name>.json``, or None where there is no such file.

        Raises:
            ForesightError: the file is no valid result.
        """
        if name not in self._opened:
            path = self.folder / f"{name}.json"
            self._opened[name] = load(path) if path.exists() else None
        return self._opened[name]

    def about(self, name: str, source: Source) -> Summary:
        """All that is known about a phase: its own file, the baselines and what it reads.

        Args:
            name: of the phase's own file.
            source: the phase.

        Raises:
            ForesightError: one of the files is no valid result.
        """
        known: Summary = {}
        for each in (BASELINES, name):
            result = self.get(each)
            known |= result.summary if result else {}
        return known | self._entries(source.reads, source.keys)

    def answers(self, source: Source) -> list[str]:
        """Those of the files that a phase reads which say something about it."""
        return [file for file in source.reads if self._entries((file,), source.keys)]

    def _entries(self, files: Iterable[str], asked: Iterable[str]) -> Summary:
        known: Summary = {}
        for file in files:
            result = self.get(file)
            if result is None:
                continue
            for key in asked:
                inner = key.removeprefix(f"{file}:")
                if inner == key:
                    continue
                entry = result.summary.get(inner) or self._difference(result, inner)
                if entry is not None:
                    known[key] = entry
        return known

    def _difference(self, result: Result, key: str) -> dict[str, float] | None:
        """``<one> minus <other>:return-difference/<task>`` from episodes on the same seeds."""
        what, _, task = key.rpartition("/")
        first, minus, second = what.removesuffix(DIFFERENCE).partition(" minus ")
        if not minus or not what.endswith(DIFFERENCE):
            return None
        rows = [*result.rows, *self._borrowed(result, task, second)]
        ours, theirs = (returns_by_seed(rows, task, name) for name in (first, second))
        if not ours.keys() & theirs.keys():
            return None
        return condition_difference(rows, task, first, second).as_dict()

    def _borrowed(self, result: Result, task: str, condition: str) -> list[Row]:
        baselines = self.get(BASELINES)
        if baselines is None or baselines.protocol != result.protocol:
            return []
        if returns_by_seed(result.rows, task, condition):
            return []
        return [row for row in baselines.rows if row.get("condition") == condition]


def missing_commands(name: str, source: Source, known: Summary) -> list[str]:
    """The commands that measure what conclusions of a phase still wait for."""
    files = []
    for claim in source.claims:
        if claim.key not in known:
            file = claim.key.partition(":")[0]
            own = name if source.measured else BASELINES
            files.append(file if file in source.reads else own)
    return [COMMANDS.get(file, f"foresight reproduce {file}") for file in dict.fromkeys(files)]

"""The conditions that every result is set beside, on the same seeds."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from foresight.core.errors import ForesightError
from foresight.core.files import fingerprint
from foresight.core.metrics import append_json_line, mend_json_lines, read_json_lines
from foresight.envs.dmc.tasks import canonical
from foresight.evaluation.constant import TRAINING_SEED, best_constant, constant_spec
from foresight.evaluation.episodes import behaviour_hash, evaluate_behaviour, simulator_version
from foresight.evaluation.results import load
from foresight.evaluation.statistics import Row
from foresight.experts import has_expert

CONDITIONS = ("zero", "random", "constant", "expert", "oracle")

TRAINING_SEEDS = tuple(range(TRAINING_SEED, TRAINING_SEED + 10))
"""Seeds on which the best constant action is searched: apart from those of evaluation."""


class RowBook:
    """Finished episodes in a JSON-lines file, so that a killed evaluation goes on where it was.

    A row counts as finished for a request only if task, condition, seed, config hash and
    simulator agree; rows of another configuration stay in the file unused. Constant actions that
    were searched are kept beside the rows in the same way.

    Args:
        path: the file; None keeps everything in memory only.

    Raises:
        ForesightError: the file is damaged or its folder cannot be written.
    """

    def __init__(self, path: Path | str | None = None) -> None:
        self.path = None if path is None else Path(path)
        self._rows: dict[tuple, Row] = {}
        self._constants: dict[str, str] = {}
        if self.path is not None:
            mend_json_lines(self.path)
            for entry in read_json_lines(self.path):
                self._remember(entry)

    def add(self, row: Row) -> None:
        """Keep a finished row, on disk at once."""
        self._remember(row)
        if self.path is not None:
            append_json_line(self.path, row)

    def find(self, task: str, condition: str, seed: int, config_hash: str) -> Row | None:
        """The finished row, or None."""
        return self._rows.get((canonical(task), condition, seed, config_hash, simulator_version()))

    def constant(self, task: str, protocol: str, seeds: Sequence[int]) -> str:
        """``constant:...`` with the best constant action on ``seeds``, searched at most once."""
        key = _constant_key(task, protocol, seeds)
        if key not in self._constants:
            action, _ = best_constant(task, protocol, seeds)
            self.add({"constant": constant_spec(action), "key": key, "task": canonical(task)})
        return self._constants[key]

    def learn(self, row: Row) -> None:
        """Know a row that was measured elsewhere, without writing it down."""
        self._remember(row)

    def learn_constant(self, task: str, protocol: str, spec: str) -> None:
        """Know the best constant action of `TRAINING_SEEDS` from elsewhere."""
        self._constants.setdefault(_constant_key(task, protocol, TRAINING_SEEDS), spec)

    def revisions(self) -> list[str]:
        """Git revisions at which the kept rows were measured."""
        return sorted({str(row["git"]) for row in self._rows.values()})

    def _remember(self, entry: Row) -> None:
        if "constant" in entry:
            self._constants[entry["key"]] = entry["constant"]
            return
        names = ("task", "condition", "seed", "config_hash", "simulator")
        missing = [name for name in names if name not in entry]
        if missing:
            raise ForesightError(
                f"{self.path} holds a line without {', '.join(missing)}: it is no file of episode "
                "rows, choose another run folder."
            )
        self._rows[tuple(entry[name] for name in names)] = entry


def _constant_key(task: str, protocol: str, seeds: Sequence[int]) -> str:
    return fingerprint([canonical(task), protocol, list(seeds), simulator_version()])


def paired_baselines(
    task: str,
    seeds: Sequence[int],
    protocol: str = "seed200",
    conditions: Iterable[str] = CONDITIONS,
    workers: int = 1,
    *,
    book: RowBook | None = None,
    steps: int | None = None,
    training_seeds: Sequence[int] = TRAINING_SEEDS,
    on_row: Callable[[Row], None] | None = None,
) -> list[Row]:
    """Rows of all baseline conditions on the same seeds.

    ``constant`` is the best constant action found on ``training_seeds``; ``expert`` and ``oracle``
    are left out where the task has none.

    Args:
        task: for example ``reacher-easy``.
        seeds: evaluation seeds.
        protocol: ``seed200`` or ``dmc1000``.
        conditions: any of :data:`CONDITIONS`.
        workers: processes.
        book: rows found there are not run again, new ones are added to it.
        steps: cut episodes after this many decisions (trial runs).
        training_seeds: where the constant action is searched; must not meet ``seeds``.
        on_row: called with each newly measured row.

    Raises:
        ForesightError: an unknown condition, or training seeds among the evaluation seeds.
    """
    book = RowBook() if book is None else book
    keep = _both(book.add, on_row)
    rows: list[Row] = []
    for condition in conditions:
        spec = _baseline_spec(book, condition, task, protocol, seeds, training_seeds)
        if spec is None:
            continue
        digest = behaviour_hash(task, spec, protocol, steps=steps)
        missing = [seed for seed in seeds if book.find(task, condition, seed, digest) is None]
        if missing:
            evaluate_behaviour(
                task,
                spec,
                missing,
                protocol,
                workers,
                condition=condition,
                steps=steps,
                on_row=keep,
            )
        found = [book.find(task, condition, seed, digest) for seed in seeds]
        rows.extend(row for row in found if row is not None)
    return rows


def _baseline_spec(
    book: RowBook,
    condition: str,
    task: str,
    protocol: str,
    seeds: Sequence[int],
    training_seeds: Sequence[int],
) -> str | None:
    """The behaviour behind a condition; None for a teacher that the task does not have."""
    if condition not in CONDITIONS:
        raise ForesightError(f"Condition {condition!r}: expected one of {', '.join(CONDITIONS)}.")
    if condition in ("expert", "oracle") and not has_expert(condition, task):
        return None
    if condition != "constant":
        return condition
    shared = sorted(set(seeds) & set(training_seeds))
    if shared:
        raise ForesightError(
            f"Seeds {shared} are both for evaluation and for the search of the constant action: "
            f"choose evaluation seeds below {min(training_seeds)}."
        )
    return book.constant(task, protocol, training_seeds)


def borrow_baselines(book: RowBook, path: Path | str) -> int:
    """Let a book know the baseline episodes that a result file holds, so they are not run again.

    Rows keep the revision that they were measured at. Constant actions come along, as their search
    takes longer than their episodes. A file that is missing lends nothing.

    Args:
        book: takes the rows, in memory only.
        path: usually ``results/baselines.json``.

    Returns:
        How many episodes were lent.

    Raises:
        ForesightError: the file is no valid result.
    """
    if not Path(path).exists():
        return 0
    result = load(path)
    lent = [row for row in result.rows if row.get("condition") in CONDITIONS]
    for row in lent:
        book.learn(row)
        if row["condition"] == "constant":
            book.learn_constant(row["task"], result.protocol, str(row["behaviour"]))
    return len(lent)


def _both(
    first: Callable[[Row], None], second: Callable[[Row], None] | None
) -> Callable[[Row], None]:
    def call(row: Row) -> None:
        first(row)
        if second is not None:
            second(row)

    return call

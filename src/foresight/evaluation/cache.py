"""Finished episodes on disk, so that a killed evaluation goes on where it was."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from foresight.core.errors import ForesightError
from foresight.core.files import fingerprint
from foresight.core.metrics import append_json_line, mend_json_lines, read_json_lines
from foresight.envs.registry import EnvConfig
from foresight.evaluation.config import protocol_name, simulator_version, task_name
from foresight.evaluation.constant import best_constant, constant_name
from foresight.evaluation.statistics import Row

KEY = ("task", "condition", "seed", "config_hash", "simulator")


class EpisodeCache:
    """Finished episodes in a JSON-lines file.

    A row counts as finished for a request only if task, method, seed, config hash and simulator
    agree; rows of another configuration stay in the file unused. Constant actions that were
    searched are kept beside the rows in the same way.

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

    def find(self, env: EnvConfig, method: str, seed: int, config_hash: str) -> Row | None:
        """The finished row, or None."""
        key = (task_name(env), method, seed, config_hash, simulator_version(env))
        return self._rows.get(key)

    def constant(self, env: EnvConfig, seeds: Sequence[int], workers: int = 1) -> str:
        """``constant:...`` with the best constant action on ``seeds``, searched at most once."""
        key = _constant_key(env, seeds)
        if key not in self._constants:
            action, _ = best_constant(env, seeds, workers=workers)
            self.add({"constant": constant_name(action), "key": key, "task": task_name(env)})
        return self._constants[key]

    def learn(self, row: Row, config_hash: str) -> None:
        """Know a row that was measured elsewhere under another hash, without writing it down."""
        key = {**row, "config_hash": config_hash}
        self._rows.setdefault(tuple(key[name] for name in KEY), row)

    def learn_constant(self, env: EnvConfig, seeds: Sequence[int], name: str) -> None:
        """Know the best constant action from elsewhere."""
        self._constants.setdefault(_constant_key(env, seeds), name)

    def revisions(self) -> list[str]:
        """Git revisions at which the kept rows were measured."""
        return sorted({str(row["git"]) for row in self._rows.values()})

    def _remember(self, entry: Row) -> None:
        if "constant" in entry:
            self._constants[entry["key"]] = entry["constant"]
            return
        missing = [name for name in KEY if name not in entry]
        if missing:
            raise ForesightError(
                f"{self.path} holds a line without {', '.join(missing)}: it is no file of episode "
                "rows, choose another run folder."
            )
        self._rows[tuple(entry[name] for name in KEY)] = entry


def _constant_key(env: EnvConfig, seeds: Sequence[int]) -> str:
    return fingerprint([task_name(env), protocol_name(env), list(seeds), simulator_version(env)])

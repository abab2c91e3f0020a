"""Metrics as JSON lines: one object per write, safe against kills, readable by anything."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from foresight.core.errors import ForesightError
from foresight.core.extras import require
from foresight.core.files import disk_errors, write_text

Row = dict[str, Any]


class MetricsLog:
    """Append numbers of a training run to a JSON-lines file.

    Every line is ``{"step": 100, "loss": 0.31, ...}``. Opening an existing file continues it: a
    last line torn by a kill is dropped. A run that resumes from an older checkpoint calls
    :meth:`rewind`, so that no step is logged twice.

    Args:
        path: the file, created with its folders if missing.
        tensorboard: also write TensorBoard event files beside ``path``.

    Raises:
        ForesightError: the folder cannot be written, or TensorBoard is wanted but not installed.
    """

    def __init__(self, path: Path | str, tensorboard: bool = False) -> None:
        self.path = Path(path)
        self._board = _summary_writer(self.path.parent / "tensorboard") if tensorboard else None
        mend_json_lines(self.path)

    def write(self, step: int, **values: Any) -> None:
        """Log ``values`` (numbers, 0-d arrays or tensors) at ``step``.

        A value that is not finite is kept as ``null``: JSON knows no NaN, and a gap in the curve
        shows a diverged run better than a crash of the log would.
        """
        row: Row = {"step": int(step)}
        row.update({name: _number(name, value) for name, value in values.items()})
        append_json_line(self.path, row)
        if self._board is not None:
            for name, value in row.items():
                if name != "step" and value is not None:
                    self._board.add_scalar(name, value, int(step))
            self._board.flush()

    def rewind(self, step: int) -> None:
        """Forget everything logged after ``step``: the run goes on from a checkpoint made there."""
        rows = read_json_lines(self.path)
        kept = [row for row in rows if row["step"] <= step]
        if len(kept) < len(rows):
            text = "".join(json.dumps(row) + "\n" for row in kept)
            write_text(self.path, text)

    def close(self) -> None:
        """Close the TensorBoard writer, if there is one."""
        if self._board is not None:
            self._board.close()


def read_metrics(path: Path | str) -> list[Row]:
    """Read a metrics file: one dictionary per step, in order of steps.

    Several writes at one step are merged, the later value wins.

    Raises:
        ForesightError: the file is missing or a line inside it is damaged.
    """
    if not Path(path).exists():
        raise ForesightError(f"{path} does not exist: check the path of the metrics file.")
    merged: dict[int, Row] = {}
    for row in read_json_lines(path):
        if not isinstance(row.get("step"), int):
            raise ForesightError(
                f"{path} has a line without a step ({row}): it is no metrics file."
            )
        merged.setdefault(row["step"], {}).update(row)
    return [merged[step] for step in sorted(merged)]


def curve(rows: list[Row], name: str) -> tuple[list[int], list[float]]:
    """Steps and values of one metric, without the steps at which it was not logged."""
    points = [(row["step"], row[name]) for row in rows if row.get(name) is not None]
    return [step for step, _ in points], [float(value) for _, value in points]


def append_json_line(path: Path | str, row: Row) -> None:
    """Append one object as one line; after a kill at most this line is torn."""
    line = json.dumps(row, allow_nan=False) + "\n"
    with disk_errors(path), open(path, "a", encoding="utf-8") as file:
        file.write(line)


def read_json_lines(path: Path | str) -> list[Row]:
    """Read all whole lines of a JSON-lines file; a missing file is an empty one.

    Raises:
        ForesightError: a line before the last one is not a JSON object.
    """
    path = Path(path)
    if not path.exists():
        return []
    rows: list[Row] = []
    # The text after the last newline is empty, or it is a line torn by a kill: either way no row.
    for number, line in enumerate(path.read_bytes().split(b"\n")[:-1], start=1):
        try:
            row = json.loads(line)
        except ValueError as error:
            raise ForesightError(
                f"{path} is damaged in line {number} ({error}): remove that line or the file."
            ) from error
        if not isinstance(row, dict):
            raise ForesightError(
                f"{path} holds {row!r} in line {number} instead of a JSON object: is it the right "
                "file?"
            )
        rows.append(row)
    return rows


def mend_json_lines(path: Path | str) -> None:
    """Make ``path`` ready for appending: create its folder, cut a torn last line off."""
    path = Path(path)
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            path.touch()
            return
        data = path.read_bytes()
        whole = data.rfind(b"\n") + 1
        if whole < len(data):
            with open(path, "rb+") as file:
                file.truncate(whole)


def _number(name: str, value: Any) -> float | int | None:
    if hasattr(value, "item"):
        value = value.item()
    if not isinstance(value, int | float):
        raise ForesightError(
            f"Metric {name} is {value!r} ({type(value).__name__}), a single number was expected."
        )
    return value if math.isfinite(value) else None


def _summary_writer(folder: Path) -> Any:
    require("tensorboard", "Writing for TensorBoard (metrics are always written as JSON lines)")
    from torch.utils.tensorboard import SummaryWriter

    return SummaryWriter(str(folder))

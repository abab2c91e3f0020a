"""The metrics log: appended, resumable, readable after a kill."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch

from foresight.core.errors import ForesightError
from foresight.core.metrics import MetricsLog, curve, read_metrics


def test_written_and_read(tmp_path: Path) -> None:
    log = MetricsLog(tmp_path / "run" / "metrics.jsonl")
    log.write(0, loss=torch.tensor(1.5), rate=np.float32(0.5))
    log.write(10, loss=float("nan"))
    log.write(10, val=2)
    rows = read_metrics(log.path)
    assert rows == [{"step": 0, "loss": 1.5, "rate": 0.5}, {"step": 10, "loss": None, "val": 2}]
    assert curve(rows, "loss") == ([0], [1.5])
    assert curve(rows, "val") == ([10], [2.0])


def test_resume_after_a_kill(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    first = MetricsLog(path)
    for step in range(6):
        first.write(step, loss=step)
    with open(path, "a") as file:
        file.write('{"step": 6, "lo')  # torn by kill -9
    assert len(read_metrics(path)) == 6  # readable while torn
    again = MetricsLog(path)
    again.rewind(3)  # the checkpoint is older than the log
    again.write(4, loss=40)
    assert curve(read_metrics(path), "loss") == ([0, 1, 2, 3, 4], [0, 1, 2, 3, 40])


def test_mistakes_are_named(tmp_path: Path) -> None:
    with pytest.raises(ForesightError, match="does not exist"):
        read_metrics(tmp_path / "none.jsonl")
    with pytest.raises(ForesightError, match="loss"):
        MetricsLog(tmp_path / "m.jsonl").write(0, loss="high")
    (tmp_path / "bad.jsonl").write_text('{"step": 0}\n{"st\n{"step": 2}\n')
    with pytest.raises(ForesightError, match="line 2"):
        read_metrics(tmp_path / "bad.jsonl")
    (tmp_path / "rows.jsonl").write_text('{"seed": 0}\n')
    with pytest.raises(ForesightError, match="step"):
        read_metrics(tmp_path / "rows.jsonl")
    (tmp_path / "file").write_text("")
    with pytest.raises(ForesightError, match="Cannot write"):
        MetricsLog(tmp_path / "file" / "run" / "metrics.jsonl")


def test_tensorboard_only_if_installed(tmp_path: Path) -> None:
    if importlib.util.find_spec("tensorboard") is None:
        with pytest.raises(ForesightError, match=r"foresight-robotics\[tensorboard\]"):
            MetricsLog(tmp_path / "m.jsonl", tensorboard=True)
        return
    log = MetricsLog(tmp_path / "m.jsonl", tensorboard=True)
    log.write(0, loss=1.0)
    log.close()
    assert list((tmp_path / "tensorboard").iterdir())

"""Runs of learning by acting: what they leave, and how to stop one in the middle."""

from __future__ import annotations

import pytest

from foresight.core.metrics import read_metrics
from foresight.data.dataset import Dataset


def content(folder):
    """Everything that a run leaves but what it took."""
    lines = read_metrics(folder / "model" / "metrics.jsonl")
    log = [
        {k: v for k, v in line.items() if not k.startswith(("seconds/", "peak-gib/"))}
        for line in lines
    ]
    weights = (folder / "model" / "model.safetensors").read_bytes()
    return weights, Dataset.open(folder / "data").fingerprint, log


class Killed(BaseException):
    """Nobody catches this."""


def interrupted(monkeypatch, run, place, name, at):
    """Run until the ``at``-th call of a method, and stop in the middle of it."""
    real, calls = getattr(place, name), []

    def counted(self, *values, **named):
        calls.append(1)
        if len(calls) == at:
            raise Killed
        return real(self, *values, **named)

    with monkeypatch.context() as patch:
        patch.setattr(place, name, counted)
        with pytest.raises(Killed):
            run()

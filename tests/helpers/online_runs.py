"""Runs of learning by acting: what they leave, and how to stop one in the middle."""

from __future__ import annotations

from dataclasses import replace

import pytest

from foresight.core.metrics import read_metrics
from foresight.data.dataset import Dataset
from foresight.planning.config import MPCConfig
from foresight.training.learner_config import LearnerConfig
from foresight.training.online_config import OnlineConfig


def momentary(eyes, task, **changes):
    """How a task is learned for a moment, without an expert."""
    config = OnlineConfig(
        task=task,
        encoder=eyes,
        steps=4 * 2 * 16,
        random_episodes=2,
        expert=None,
        demonstrations=0,
        representation_updates=2,
        length=16,
        parallel=2,
        updates=0.2,
        finetune_updates=3,
        latent=32,
        hidden=32,
        members=3,
        n_components=4,
        learner=LearnerConfig(batch=4),
        planner=MPCConfig(members=2, samples=8, elites=4, iterations=1, prior_samples=2),
        save_every=2,
    )
    return replace(config, **changes)


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

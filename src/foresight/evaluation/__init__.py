"""Evaluation as evidence: rows per episode, paired baselines, intervals, checked result files."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from foresight.evaluation.baselines import RowBook, paired_baselines
    from foresight.evaluation.episodes import (
        SUCCESS_RETURN,
        Evaluation,
        evaluate_agent,
        evaluate_behaviour,
        film_behaviour,
    )
    from foresight.evaluation.results import Result, load, make_result, validate
    from foresight.evaluation.statistics import (
        Interval,
        bootstrap_interval,
        paired_difference,
        summarise,
        wilson_interval,
    )

_HOMES = {
    "RowBook": "baselines",
    "paired_baselines": "baselines",
    "SUCCESS_RETURN": "episodes",
    "Evaluation": "episodes",
    "evaluate_agent": "episodes",
    "evaluate_behaviour": "episodes",
    "film_behaviour": "episodes",
    "Result": "results",
    "load": "results",
    "make_result": "results",
    "validate": "results",
    "Interval": "statistics",
    "bootstrap_interval": "statistics",
    "paired_difference": "statistics",
    "summarise": "statistics",
    "wilson_interval": "statistics",
}

__all__ = [
    "SUCCESS_RETURN",
    "Evaluation",
    "Interval",
    "Result",
    "RowBook",
    "bootstrap_interval",
    "evaluate_agent",
    "evaluate_behaviour",
    "film_behaviour",
    "load",
    "make_result",
    "paired_baselines",
    "paired_difference",
    "summarise",
    "validate",
    "wilson_interval",
]


def __getattr__(name: str) -> Any:
    # Loaded at first use: a table can be printed without importing torch or MuJoCo.
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)

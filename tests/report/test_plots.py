"""Plots: well-formed SVG whose marks stand where the numbers are."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest

from foresight.core.errors import ForesightError
from foresight.evaluation.results import Result, make_result
from foresight.report.curves import learning_curves, reader_metrics
from foresight.report.page import result_sections
from foresight.report.plots import (
    condition_colours,
    error_per_horizon,
    horizon_series,
    return_bars,
)


def result(tasks: tuple[str, ...], values: dict[str, float]) -> Result:
    rows: list[dict] = [
        {
            "task": task,
            "condition": condition,
            "seed": seed,
            "return": value + seed,
            "success": False,
            "length": 200,
            "git": "unknown",
            "config_hash": "0" * 16,
            "simulator": "mujoco",
        }
        for task in tasks
        for condition, value in values.items()
        for seed in range(3)
    ]
    return make_result("x", {}, "seed200", rows)


def well_formed(svg: str) -> ElementTree.Element:
    assert svg.startswith("<svg")
    assert "<style" not in svg and "<metadata" not in svg
    assert not re.search(r"#0[1-3]0[0-9a-f]{3}", svg)  # every stand-in became a variable
    return ElementTree.fromstring(svg)


def words(svg: str) -> list[str]:
    return [text.text or "" for text in well_formed(svg).iter("{http://www.w3.org/2000/svg}text")]


def bar_lengths(svg: str, variable: str) -> list[float]:
    """Widths of filled paths in one colour."""
    found = []
    for path in well_formed(svg).iter("{http://www.w3.org/2000/svg}path"):
        if f"fill: var({variable})" in path.get("style", ""):
            numbers = [float(n) for n in re.findall(r"-?[\d.]+", path.get("d", ""))]
            found.append(max(numbers[::2]) - min(numbers[::2]))
    return found


def test_bars_of_one_task_are_as_long_as_the_means() -> None:
    svg = return_bars(result(("reacher-easy",), {"zero": 19.0, "planner": 99.0}))
    (grey,), (blue,) = bar_lengths(svg, "--grey-1"), bar_lengths(svg, "--series-1")
    assert blue / grey == pytest.approx(100 / 20, rel=1e-3)
    assert {"zero", "planner", "20.0", "100.0", "return on reacher-easy"} <= set(words(svg))


def test_bars_of_several_tasks() -> None:
    svg = return_bars(result(("reacher-easy", "cup-catch"), {"zero": 5.0, "expert": 50.0}))
    assert {"reacher", "easy", "cup", "catch", "zero", "expert"} <= set(
        " ".join(words(svg)).split()
    )
    assert len(bar_lengths(svg, "--series-2")) >= 2


def test_the_same_plot_twice() -> None:
    made = result(("reacher-easy",), {"zero": 1.0})
    assert return_bars(made) == return_bars(made)


def test_learning_curves_share_panels_and_leave_gaps() -> None:
    rows = [{"step": s, "train/loss": 1.0 / (s + 1), "rate": 0.1} for s in range(50)]
    rows[3]["train/loss"] = None
    rows.append({"step": 50, "validation/loss": 0.5, "never": None})
    svg = learning_curves(rows)
    assert {"loss", "rate", "train", "validation"} <= set(words(svg))
    assert "never" not in words(svg)
    assert "rate" not in words(learning_curves(rows, ["train/loss"]))
    with pytest.raises(ForesightError, match="no/such"):
        learning_curves(rows, ["no/such"])


def test_curves_show_what_a_reader_reads() -> None:
    rows = [
        {
            "step": step,
            "steps": 400 * step,
            "seconds": 1.0,
            "seconds/collect/encode": 30.0,
            "peak-gib/update": 0.5,
            "learning-rate": 1e-3,
            "updates": 10 * step,
            "prediction": 1.0 / step,
            "train/reward": 0.5,
            "validation/reward": 0.6,
            "validation/reward_variance": 0.9,
            "held-out/prediction": 2.0 / step,
            "imagined/return": 5.0 * step,
            "return": 4.0 * step,
        }
        for step in range(1, 4)
    ]
    assert reader_metrics(rows) == [
        "imagined/return",
        "return",
        "prediction",
        "train/reward",
        "validation/reward",
        "validation/reward_variance",
        "held-out/prediction",
    ]
    shown = words(learning_curves(rows))
    assert {"return", "imagined", "real", "reward", "validation", "mean reward"} <= set(shown)
    assert {"prediction", "held-out", "train"} <= set(shown)
    assert shown.count("environment steps") == 3 and "1200" in shown  # not the rounds
    assert not {"seconds", "collect", "encode", "update", "updates", "peak-gib"} & set(shown)


def test_a_log_of_costs_alone_has_no_curves() -> None:
    rows = [{"step": 1, "seconds/learn": 3.0, "peak-gib/learn": 0.2}]
    assert not reader_metrics(rows)
    titles = [section.title for section in result_sections(result(("a",), {"zero": 1.0}), rows)]
    assert "Learning curves" not in titles


def test_horizons_from_rows() -> None:
    rows = [
        {
            "measure": "error",
            "condition": condition,
            "horizon": horizon,
            "task": "a-b",
            "value": slope * horizon + delta,
        }
        for condition, slope in (("model", 1.0), ("persistence", 2.0))
        for horizon in (1, 2, 5)
        for delta in (-0.1, 0.1)
    ]
    series = horizon_series(make_result("x", {}, "none", rows), "error", "a-b")
    assert list(series) == ["model", "persistence"]
    assert {h: round(e["mean"], 6) for h, e in series["persistence"].items()} == {1: 2, 2: 4, 5: 10}
    svg = error_per_horizon(series, "latent error")
    assert {"model", "persistence", "latent error"} <= set(words(svg))
    assert horizon_series(make_result("x", {}, "none", rows), "other", "a-b") == {}


def test_colours() -> None:
    colours = condition_colours(["zero", "mine", "oracle", "other"])
    assert len(set(colours.values())) == 4
    assert colours["zero"] == condition_colours(["zero"])["zero"]

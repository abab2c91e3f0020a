"""The encoder's speed as one small table."""

from __future__ import annotations

from foresight.evaluation.results import Result
from foresight.report.tables import Cell, Table, interval

SIDES = {
    "foresight": "Foresight",
    "uncompiled": "the same as torch's operations",
    "transformers": "transformers",
}
NOTE = (
    "Clips per second on the same weights, clip, dtype and threads, measured in turns; in brackets "
    "behind them the share of the speed of torch's own large matrix product. Clips of 8 frames: "
    "small 64 px, ViT-L 256 px."
)


def speed_table(result: Result) -> Table:
    """One line for each side, one column for each size that was measured."""
    sizes = [
        size for size in result.tasks if f"foresight:clips-per-second/{size}" in result.summary
    ]
    rows = []
    for side, words in SIDES.items():
        cells = [_cell(result, side, size) for size in sizes]
        if any(cell.text != "–" for cell in cells):
            rows.append([Cell(words), *cells])
    return Table("Encoder speed", ("clips/s", *sizes), rows, note=NOTE)


def _cell(result: Result, side: str, size: str) -> Cell:
    speed = result.summary.get(f"{side}:clips-per-second/{size}")
    if speed is None:
        return Cell("–", "muted")
    prefix = "" if side == "foresight" else f"{side}:"
    share = result.summary[f"{prefix}share-of-gemm-peak/{size}"]["mean"]
    return Cell(f"{interval(speed)} ({100 * share:.0f} %)")

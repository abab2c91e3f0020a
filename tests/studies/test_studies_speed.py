"""The encoder's speed as a table."""

from foresight.evaluation.results import make_result
from studies.speed import speed_table
from studies.summary import headline


def rows(size, **speeds):
    for side, speed in speeds.items():
        for turn in range(2):
            row = {"value": speed, "task": size, "turn": turn}
            yield {**row, "measure": "clips-per-second", "condition": side}
            share = {**row, "measure": "share-of-gemm-peak", "value": speed / 1000}
            yield share if side == "foresight" else {**share, "condition": side}


def test_a_line_for_each_side_and_a_column_for_each_size():
    measured = [
        *rows("small", foresight=800.0, uncompiled=300.0, transformers=100.0),
        *rows("vit-l", foresight=30.0, transformers=10.0),
        {"measure": "cached-over-uncached", "value": 3.0, "task": "ac"},
    ]
    result = make_result("encoder-speed", {}, "none", measured)
    table = speed_table(result)
    assert list(table.columns) == ["clips/s", "small", "vit-l"]
    cells = [[cell.text for cell in row] for row in table.rows]
    assert [row[0] for row in cells] == [
        "Foresight",
        "the same as torch's operations",
        "transformers",
    ]
    assert cells[0][1] == "800.0 [800.0, 800.0] (80 %)" and cells[1][2] == "–"
    assert "800.0" in headline(result)


def test_without_compiled_blocks_there_are_two_sides():
    measured = list(rows("small", foresight=300.0, transformers=100.0))
    assert len(speed_table(make_result("encoder-speed", {}, "none", measured)).rows) == 2

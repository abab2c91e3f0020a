"""One policy for several tasks of Meta-World: from nothing to rates beside their rivals."""

from __future__ import annotations

import pytest

from foresight.evaluation.statistics import wilson_interval
from studies.metaworld import presets, reproduce, successes, training_of
from studies.registry import Request


def test_rates_and_differences_are_those_of_the_rows():
    won = {"chunk": [1, 1, 1, 0], "blind": [0, 1, 0, 0], "replay": [1, 1, 0, 0]}
    rows = [
        {"condition": name, "task": f"metaworld:{task}", "seed": seed, "success": bool(each[i])}
        for name, each in won.items()
        for i, (task, seed) in enumerate([("push", 0), ("push", 1), ("reach", 0), ("reach", 1)])
    ]
    found = successes(rows)
    assert found["success/chunk/metaworld"] == wilson_interval(3, 4).as_dict()
    assert found["success/chunk/metaworld/push"] == wilson_interval(2, 2).as_dict()
    assert found["success/blind/metaworld/reach"] == wilson_interval(0, 2).as_dict()
    assert found["chunk-minus-blind/metaworld"]["mean"] == 0.5
    assert found["chunk-minus-replay/metaworld"]["mean"] == 0.25
    assert "chunk-minus-random-eyes/metaworld" not in found


def test_rivals_differ_in_one_thing():
    full = presets()["full"]
    plain, blind, flow = (training_of(full, name) for name in ("chunk", "blind", "flow"))
    assert plain == full.training
    assert blind.network.blind and not plain.network.blind
    assert flow.network.head == "flow" and plain.network.head == "l1"
    assert {blind.fit, flow.fit} == {plain.fit}


@pytest.mark.slow
def test_from_nothing_to_rates(tmp_path):
    request = Request("metaworld", "smoke", run=tmp_path, workers=1)
    result = reproduce(request)
    config = presets()["smoke"]
    assert {row["condition"] for row in result.rows} == set(config.policies)
    assert len(result.rows) == len(config.policies) * len(config.tasks) * config.seeds
    assert result.summary["success/zero/metaworld"]["n"] == len(config.tasks) * config.seeds
    again = reproduce(request)
    assert again.rows == result.rows

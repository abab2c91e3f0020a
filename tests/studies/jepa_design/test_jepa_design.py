"""Designs of equal compute, the order of their successes, and the whole study at a small size."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from foresight import cli
from foresight.evaluation.results import load
from foresight.evaluation.statistics import wilson_interval
from foresight.perception.encoder import load_encoder
from foresight.worldmodel.predictor.config import PredictorSizes, named_sizes
from foresight.worldmodel.predictor.losses import PredictorLoss
from foresight.worldmodel.predictor.network import FramePredictor
from studies.jepa_design import study
from studies.jepa_design.designs import (
    ASKED,
    BASE,
    PLAIN,
    Budget,
    designs,
    encoder_flops,
    equal_compute,
    predictor_flops,
)

NAMES = {BASE, "one-step-loss", "two-step-loss", "adaln", "context-1", "context-3"}
NAMES |= {"no-proprioception", PLAIN, ASKED}


def test_every_design_has_as_many_operations(tiny_eyes):
    eyes, budget = load_encoder(tiny_eyes), Budget(updates=600)
    found = equal_compute(budget, eyes, frames=500, actions=2, states=2)
    assert set(found) == NAMES and found[BASE][0].fit.updates == 600
    once = 500 * encoder_flops(eyes)
    spent = {
        name: training.fit.updates * flops + once * (name not in (PLAIN, ASKED))
        for name, (training, flops) in found.items()
    }
    for name, all_of_it in spent.items():
        assert all_of_it == pytest.approx(spent[BASE], rel=0.01), name
    assert found["context-1"][0].fit.updates > 600 > found["two-step-loss"][0].fit.updates


@pytest.mark.parametrize("name", [BASE, "two-step-loss"])
def test_operations_are_those_that_an_update_makes(name):
    budget = Budget(frames=5, batch=2)
    training = designs(budget)[name]
    base = PredictorSizes(dim=16, grid=2, actions=2, states=3)
    # A context as long as the window: masked products are made, but not counted by `window_flops`.
    wanted = predictor_flops(training, base)
    sizes = named_sizes("tiny", PredictorSizes(16, 2, 2, 3, output="free", context=7))
    loss = PredictorLoss(FramePredictor(sizes), training.loss)
    frames = torch.randn(2, 5, 4, 16)
    known = (torch.arange(5) < 1).expand(2, -1)
    with FlopCounterMode(display=False) as counter:
        parts = loss(frames, torch.randn(2, 5, 2), torch.randn(2, 5, 3), known)
        torch.stack(list(parts.values())).sum().backward()
    assert wanted == pytest.approx(counter.get_total_flops(), rel=0.15)


def test_the_order_of_successes_is_compared_with_that_of_what_is_seen_offline():
    rows = [
        {
            "task": "t",
            "condition": name,
            "seed": seed,
            "return": float(seed < k),
            "success": seed < k,
        }
        for name, k in ((BASE, 8), ("adaln", 5), ("context-1", 2), ("random", 1))
        for seed in range(10)
    ]
    seen = {
        BASE: {"skill@h1": 0.1, "actions@h1": 0.3},
        "adaln": {"skill@h1": 0.2, "actions@h1": 0.2},
        "context-1": {"skill@h1": 0.3, "actions@h1": 0.1},
    }
    found = study.orders(rows, seen)
    assert found[f"success/{BASE}"] == wilson_interval(8, 10).as_dict()
    assert found["minus-base/adaln"]["mean"] == pytest.approx(-0.3)
    assert "minus-base/random" not in found and found["success/random"]["mean"] == 0.1
    assert found["rank-correlation/actions@h1"]["mean"] == pytest.approx(1)
    assert found["rank-correlation/skill@h1"]["mean"] == pytest.approx(-1)
    assert found["rank-correlation/skill@h1"]["n"] == 3
    alike = study.rank_correlation(np.array([1.0, 2.0]), np.ones((2, 5)))
    assert (alike["mean"], alike["low"], alike["high"]) == (0.0, -1.0, 1.0)


@pytest.mark.slow
def test_it_runs_and_nothing_is_done_twice(tmp_path, tiny_eyes, monkeypatch):
    words = ["reproduce", "jepa-design", "--preset", "smoke", "--run", str(tmp_path)]
    line = [*words, "--workers", "1", "--encoder", tiny_eyes, "--seeds", "1"]
    assert cli.main(line) == 0
    result = load(tmp_path / "jepa-design.json")
    assert set(result.conditions) == NAMES | {"expert", "random", "zero"}
    for name in NAMES:
        assert result.summary[f"success/{name}"]["n"] == 1
        assert f"actions/{name}@h1" in result.summary and f"updates/{name}" in result.summary
    assert result.summary["rank-correlation/actions@h1"]["n"] == len(NAMES)
    monkeypatch.setattr("foresight.evaluation.assess.evaluate_policy", None)
    monkeypatch.setattr("foresight.training.loop._epoch", None)
    monkeypatch.setattr("foresight.rollout.collect._append", None)
    assert cli.main(line) == 0

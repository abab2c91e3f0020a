from __future__ import annotations

from functools import partial

import pytest
import torch

from benchmarks import ac_speed
from benchmarks import encoder_speed as speed
from benchmarks.encoder_speed import Pair, SpeedConfig, encoder_flops
from foresight.core.errors import ForesightError
from foresight.evaluation.results import make_result
from foresight.native import library, why_not

TINY = {
    "crop_size": 32,
    "patch_size": 8,
    "tubelet_size": 2,
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "pred_hidden_size": 24,
    "pred_num_hidden_layers": 1,
    "pred_num_attention_heads": 2,
}
CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("changes", "frames"),
    [({}, 8), ({}, 2), ({"mlp_ratio": 2.0, "hidden_size": 48, "crop_size": 64}, 4)],
)
def test_flops_are_those_that_torch_counts(changes, frames):
    from torch.utils.flop_counter import FlopCounterMode
    from transformers import VJEPA2Config, VJEPA2Model

    config = VJEPA2Config(**{**TINY, **changes}, attn_implementation="eager")
    model = VJEPA2Model(config).eval()
    pixels = torch.randn(1, frames, 3, config.crop_size, config.crop_size)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model.get_vision_features(pixels)
    assert encoder_flops(config, frames) == counter.get_total_flops()


def test_flops_of_the_published_size():
    from transformers import VJEPA2Config

    # .73 TFLOP for 8 frames at 256 px: the known cost of ViT-L.
    assert encoder_flops(VJEPA2Config(**speed.VIT_L), 8) == pytest.approx(0.73e12, rel=0.02)


def test_both_sides_compute_the_same():
    pair = Pair(TINY, 2, CPU, torch.float32)
    ours, theirs = pair.run_ours().flatten(1, 3), pair.run_theirs()
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(speed, "SIZES", {"small": TINY})
    monkeypatch.setattr(speed, "SECOND", 0.001)
    monkeypatch.setattr(speed, "PEAK_SIDES", {"cpu": (64,)})


def test_rows_make_a_result(quick):
    told = []
    before = torch.get_num_threads()
    extra = {"measure": "cached-over-uncached", "value": 4.0, "task": "ac"}
    rows = speed.encoder_speed(
        SpeedConfig(rounds=2, threads=1, dtype="float32", cache_frames=12),
        told.append,
        [lambda: [extra]],
    )
    assert told == rows and torch.get_num_threads() == before
    summary = make_result("encoder-speed", SpeedConfig(), "none", rows).summary
    for key in (
        "ratio-to-transformers/small",
        "share-of-gemm-peak/small",
        "foresight:clips-per-second/small",
        "transformers:ms-per-clip/small",
        "tubelet:windows-per-second/small",
        "cached-over-uncached/ac",
    ):
        assert summary[key]["mean"] > 0, key
    assert summary["ratio-to-transformers/small"]["n"] == 2
    first = {(row["measure"], row.get("condition")): row["value"] for row in rows[:8]}
    ours, theirs = (first["clips-per-second", side] for side in ("foresight", "transformers"))
    assert first["ratio-to-transformers", None] == pytest.approx(ours / theirs)


@pytest.mark.skipif(library() is None, reason=f"no native encoder: {why_not()}")
def test_torchs_operations_are_a_side_of_their_own_where_ours_are_compiled(quick, monkeypatch):
    monkeypatch.setattr(speed, "SIZES", {"small": TINY | {"num_attention_heads": 1}})
    rows = speed.encoder_speed(SpeedConfig(rounds=1, dtype="bfloat16", cache_frames=0))
    found = {(row["measure"], row.get("condition")): row["value"] for row in rows}
    for measure in ("clips-per-second", "ms-per-clip", "rounding"):
        for side in ("foresight", "uncompiled", "transformers"):
            assert found[measure, side] > 0, (measure, side)
    assert found["share-of-gemm-peak", "uncompiled"] > 0
    # All three round the same numbers to bfloat16, ours no more of them than the others.
    assert found["rounding", "foresight"] <= found["rounding", "transformers"]
    assert found["rounding", "uncompiled"] < 0.05


def test_the_verb_prints_and_writes(quick, tmp_path, capsys, monkeypatch):
    from foresight.cli import main
    from foresight.evaluation.results import load

    small = partial(ac_speed.ACSpeedConfig, dim=32, width=64, depth=2, grid=4, steps=3)
    monkeypatch.setattr(ac_speed, "ACSpeedConfig", small)
    out = tmp_path / "speed.json"
    words = ["bench", "encoder", "--rounds", "1", "--dtype", "float32"]
    words += ["--cache-frames", "0", "--out"]
    assert main([*words, str(out)]) == 0
    assert load(out).summary["share-of-gemm-peak/small"]["mean"] > 0
    assert load(out).summary["cached-over-uncached/ac"]["mean"] > 0
    assert load(out).config["native"] == (why_not() or "yes")
    assert "ratio-to-transformers/small" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (SpeedConfig(size=("huge",)), "'huge'.* choose from small"),
        (SpeedConfig(rounds=0), "0 rounds"),
        (SpeedConfig(device="abacus"), "'abacus' cannot be measured here"),
        (SpeedConfig(dtype="float16"), "'float16' cannot be measured"),
    ],
)
def test_refusals(config, message):
    with pytest.raises(ForesightError, match=message):
        speed.encoder_speed(config)

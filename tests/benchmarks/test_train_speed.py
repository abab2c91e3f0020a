"""Both sides make the same updates; rows make a result; the verb writes it."""

import time

import pytest
import torch

from benchmarks import encoder_speed
from benchmarks import joint_speed as joint
from benchmarks import train_speed as speed
from benchmarks.train_speed import Sides, TrainSpeedConfig, train_speed
from foresight.cli import main
from foresight.core.errors import ForesightError
from foresight.core.machine import torch_threads
from foresight.evaluation.results import load
from foresight.worldmodel.mlp import MLP


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(speed, "SIZES", {"small-batch": (8, 4)})
    monkeypatch.setattr(speed, "SECOND", 0.001)
    monkeypatch.setattr(encoder_speed, "PEAK_SIDES", {"cpu": (64,)})


def test_both_sides_make_the_same_updates(quick):
    sides = Sides("small-batch", "float32", TrainSpeedConfig(members=3, horizon=2))
    for _ in range(3):
        sides.batched()
        sides.loop()
    for index, member in enumerate(sides.members):
        for name, value in sides.ensemble.member(index).state_dict().items():
            torch.testing.assert_close(value, member.state_dict()[name], atol=1e-5, rtol=1e-4)


def test_operations_of_the_source_network():
    sides = Sides("source-size", "float32", TrainSpeedConfig(members=2))
    layers = 1026 * 512 + 2 * 512 * 512 + 512 * 1024
    assert sides.flops == 2 * 6 * 512 * layers


def test_rows_and_the_verb(quick, tmp_path, capsys):
    out = tmp_path / "speed.json"
    words = ["bench", "train", "--size", "small-batch", "--rounds", "2", "--clock", "cpu"]
    assert main([*words, "--members", "2", "--no-joint", "--out", str(out)]) == 0
    summary = load(out).summary
    for key in ("ratio-to-loop", "share-of-gemm-peak", "ratio-to-float32-loop"):
        for dtype in ("float32", "bfloat16"):
            assert summary[f"{dtype}:{key}/small-batch"]["mean"] > 0
    assert summary["batched-float32:updates-per-second/small-batch"]["n"] == 2
    assert "float32:ratio-to-loop/small-batch" in capsys.readouterr().out


def test_ratios_are_of_the_speeds_of_their_round(quick):
    config = TrainSpeedConfig(size=("small-batch",), rounds=1, members=2, joint=False)
    rows = train_speed(config)
    found = {(row["measure"], row["condition"]): row["value"] for row in rows}
    loop = found["updates-per-second", "loop-float32"]
    ours = found["updates-per-second", "batched-bfloat16"]
    assert found["ratio-to-float32-loop", "bfloat16"] == pytest.approx(ours / loop)


def test_the_joint_update_is_that_of_plain_layers(monkeypatch):
    monkeypatch.setattr(joint, "TURNS", 1)
    monkeypatch.setattr(encoder_speed, "PEAK_SIDES", {"cpu": (64,)})
    with torch_threads(1):
        sides = joint.JointSides(torch.float32, hidden=32)
        assert not any(isinstance(m, MLP) for m in sides.plain.imagining.modules())
        for _ in range(3):
            ours, plain = sides.ours.update(sides.replay), sides.plain.update(sides.replay)
            for name, value in ours.items():
                assert float(value) == pytest.approx(float(plain[name]), rel=1e-3, abs=1e-4)
        rows = joint.joint_turn(sides, torch.float32, 0, time.perf_counter)
    found = {(row["measure"], row["condition"]): row["value"] for row in rows}
    ms = [found["ms-per-update", f"{name}-float32"] for name in ("joint-plain", "joint")]
    assert found["ratio-to-plain", "float32"] == pytest.approx(ms[0] / ms[1])
    assert all(value > 0 for value in found.values())


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (TrainSpeedConfig(size=("huge",)), "'huge'"),
        (TrainSpeedConfig(rounds=0), "0 rounds"),
        (TrainSpeedConfig(dtypes=("int8",)), "'int8'"),
        (TrainSpeedConfig(device="abacus"), "'abacus'"),
        (TrainSpeedConfig(clock="cpu", threads=2), "2 threads"),
    ],
)
def test_refusals(config, message):
    with pytest.raises(ForesightError, match=message):
        train_speed(config)

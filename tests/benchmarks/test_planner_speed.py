from __future__ import annotations

import json
import stat
import sys
from pathlib import Path

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks import encoder_speed, planner_bench
from benchmarks import planner_speed as speed
from benchmarks.planner_bench import Bench, LoopDynamics
from benchmarks.planner_peer import Peer, stacked_weights
from benchmarks.planner_speed import SOURCE_SEARCH, PlannerSpeedConfig
from foresight.cli import main
from foresight.core.errors import ForesightError
from foresight.evaluation.results import load
from foresight.planning.config import MPCConfig
from foresight.planning.solvers import imagine

TINY = MPCConfig(samples=8, elites=2, iterations=2, horizon=3)

# A package with a solver of the interface that the peer's script uses, and nothing more.
FAKE_PACKAGE = """
import torch

class CEMSolver:
    def __init__(self, model, num_samples, var_scale, n_steps, topk):
        self.model, self.samples, self.steps = model, num_samples, n_steps

    def configure(self, *, action_space, n_envs, config):
        self.size = (config.horizon, action_space)

    def solve(self, info):
        print("noise on the output")
        horizon, actions = self.size
        tries = torch.rand(1, self.samples, horizon, actions)
        spread = {k: v[:, None].expand(-1, self.samples, -1) for k, v in info.items()}
        costs = self.model.get_cost(spread, tries)
        return {"actions": tries[:, costs[0].argmin()]}
"""


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(speed, "SIZES", {"source": TINY, "heads": TINY})
    monkeypatch.setattr(speed, "SOURCE_SEARCH", TINY)
    monkeypatch.setattr(speed, "SAMPLES", (4, 8))
    monkeypatch.setattr(speed, "HORIZONS", (2, 3))
    monkeypatch.setattr(planner_bench, "HIDDEN", 32)
    monkeypatch.setattr(speed, "SECOND", 0.001)
    monkeypatch.setattr(encoder_speed, "PEAK_SIDES", {"cpu": (64,)})


@pytest.fixture
def environment(tmp_path, monkeypatch) -> Path:
    """An interpreter beside which a package of the peer's name is installed."""
    package = tmp_path / "site" / "stable_worldmodel"
    (package / "solver").mkdir(parents=True)
    (package / "__init__.py").write_text("raise ImportError('environments are not needed')")
    (package / "solver" / "__init__.py").write_text("")
    (package / "solver" / "cem.py").write_text(FAKE_PACKAGE)
    gym = "class spaces:\n    Box = staticmethod(lambda low, high, shape: shape[-1])\n"
    (tmp_path / "site" / "gymnasium.py").write_text(gym)
    return interpreter(tmp_path, f'PYTHONPATH={tmp_path / "site"} exec {sys.executable} "$@"')


def interpreter(folder: Path, line: str) -> Path:
    script = folder / "python"
    script.write_text(f"#!/bin/sh\n{line}\n")
    script.chmod(script.stat().st_mode | stat.S_IEXEC)
    return script


def test_flops_are_those_that_torch_counts():
    bench = Bench(TINY, False, 2, torch.float32, "wall")
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        imagine(LoopDynamics(bench.networks), bench.z0, torch.zeros(1, 8, 3, 6))
    assert bench.flops == 2 * counter.get_total_flops()  # two iterations


def test_flops_of_the_sources_size():
    assert Bench(SOURCE_SEARCH, False, 5, torch.float32, "wall").flops == pytest.approx(
        131e9, rel=0.01
    )


def test_rows_make_the_promised_summary(quick, environment, tmp_path, capsys):
    out = tmp_path / "speed.json"
    words = [
        "bench",
        "planner",
        "--rounds",
        "1",
        "--threads",
        "1",
        "--out",
        str(out),
    ]
    assert main([*words, "--peer", str(environment)]) == 0
    result = load(out)
    assert out.with_suffix(".png").read_bytes().startswith(b"\x89PNG")
    for key in (
        "share-of-gemm-peak/source-size",
        "ratio-to-loop/source-size",
        "ratio-to-stable-worldmodel/source-size",
        "same-dtype:ratio-to-stable-worldmodel/source-size",
        "stable-worldmodel:milliseconds/source-size",
        "milliseconds/default",
        "milliseconds/heads",
        "ratio-to-loop/heads",
        "samples-4:milliseconds@3/scaling",
        "samples-8:milliseconds@2/scaling",
    ):
        assert result.summary[key]["mean"] > 0, key
    assert result.summary["float32:action-difference/source-size"]["mean"] < 1e-3
    # Where the peer lies is no part of a result.
    assert result.config["peer"] is True and str(tmp_path) not in json.dumps(result.config)
    assert "milliseconds/default" in capsys.readouterr().out
    values = {
        (row["measure"], row.get("condition"), row["task"]): row["value"] for row in result.rows
    }
    ours, loop = (values["milliseconds", c, "source-size"] for c in (None, "loop"))
    assert values["ratio-to-loop", None, "source-size"] == pytest.approx(loop / ours)


def test_the_peer_judges_as_we_do(environment):
    bench = Bench(TINY, False, 3, torch.float32, "wall")
    scene = {"z0": bench.z0, "goal": bench.goal}
    with Peer(environment, bench.networks, scene, settings()) as peer:
        for form in ("loop", "stacked"):
            answer = peer.solve(form, torch.float32)
            assert answer["seconds"] > 0 and answer["cost"] > 0
    assert peer._process.returncode is not None and not Path(peer._folder.name).exists()


@pytest.mark.parametrize("form", ["loop", "stacked"])
def test_the_peers_network_is_ours(form):
    from benchmarks.peers.swm_cem import Network

    bench = Bench(TINY, False, 3, torch.float32, "wall")
    theirs = Network(stacked_weights(bench.networks), speed.LAYERS, form, torch.float32)
    actions = torch.rand(1, 7, 3, 6)
    info = {"z": bench.z0[:, None].expand(-1, 7, -1), "goal": bench.goal[:, None].expand(-1, 7, -1)}
    with torch.inference_mode():
        cost = theirs.get_cost(info, actions)
    expected = bench.objective.cost(
        imagine(LoopDynamics(bench.networks), bench.z0, actions), actions
    )
    torch.testing.assert_close(cost, expected, rtol=1e-4, atol=1e-4)


def settings():
    return {
        "samples": 8,
        "elites": 2,
        "iterations": 2,
        "horizon": 3,
        "deviation": 0.5,
        "actions": 6,
        "layers": 3,
        "threads": 1,
        "clock": "wall",
    }


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (None, "cannot be run .No such file"),
        ("echo hello; exit 0", "failed .hello."),
        ("echo this went wrong >&2; exit 3", "failed .this went wrong.: install stable-world"),
        ("exit 0", "failed .it said nothing."),
    ],
)
def test_a_peer_that_does_not_run_is_one_sentence(line, message, tmp_path):
    python = tmp_path / "python" if line is None else interpreter(tmp_path, line)
    networks = [planner_bench.random_dynamics(0)]
    scene = {"z0": torch.zeros(1, 128), "goal": torch.zeros(1, 128)}
    with pytest.raises(ForesightError, match=message):
        Peer(python, networks, scene, settings())


def test_an_environment_without_the_package(tmp_path, quick):
    python = interpreter(tmp_path, f'exec {sys.executable} "$@"')
    config = PlannerSpeedConfig(size=("source",), rounds=1, threads=1, scaling=False, peer=python)
    with pytest.raises(ForesightError, match=r"stable-worldmodel is not installed here"):
        speed.planner_speed(config)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (PlannerSpeedConfig(size=("huge",)), "'huge'.* choose from source, heads, default"),  # type: ignore[arg-type]
        (PlannerSpeedConfig(rounds=0), "0 rounds"),
        (PlannerSpeedConfig(members=1), "1 members"),
        (PlannerSpeedConfig(dtype="float16"), "'float16' cannot be measured"),
        (PlannerSpeedConfig(clock="cpu", threads=2), "'cpu' with 2 threads"),
        (PlannerSpeedConfig(clock="sun"), "'sun'"),  # type: ignore[arg-type]
    ],
)
def test_refusals(config, message):
    with pytest.raises(ForesightError, match=message):
        speed.planner_speed(config)

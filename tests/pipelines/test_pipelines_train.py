"""``foresight train`` and ``drift`` on datasets that another program wrote."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch

from foresight import cli
from foresight.core.checkpoint import load, read_header
from foresight.data.dataset import Dataset
from foresight.evaluation.results import load as load_result
from foresight.policies.cloned import ClonedPolicy
from foresight.worldmodel.model import WorldModel

RECORDED = Path(__file__).parents[1] / "data" / "lerobot"
SHORT = ["--train.fit.epochs", "1", "--train.fit.batch", "8", "--train.measure-horizon", "2"]
SMALL = ["--train.dynamics.hidden", "16", "--train.dynamics.layers", "1"]


def run(*words) -> None:
    assert cli.main([str(word) for word in words]) == 0


@pytest.fixture(params=["two-cameras", "images-in-parquet", "many-short-episodes"])
def dataset(request, tmp_path):
    folder = tmp_path / "recorded"
    shutil.copytree(RECORDED / request.param, folder)
    return folder


def test_dynamics_and_drift_of_any_dataset(dataset, tmp_path):
    out, robot = tmp_path / "model", Dataset.open(dataset)
    run("train", dataset, "--out", out, "--encoder", "random-small", *SHORT, *SMALL,
        "--train.state.kind", "pca", "--latent", "6", "--train.state.history", "2", "--seed", "3",
        "--train.state.proprio", "--train.heads.continuation")  # fmt: skip
    model = load(out)
    assert isinstance(model, WorldModel)
    assert [camera.name for camera in model.config.cameras] == list(robot.spec.cameras)
    assert model.latent == 6 + 2 * len(robot.spec.state)
    assert (model.reward is None) == (not robot.has("next.reward"))
    assert model.continuation is not None
    header = read_header(out)
    assert header.spec == robot.spec
    assert header.fingerprints["dataset"] == robot.fingerprint
    actions = model.normalised(torch.from_numpy(robot.column("action")).float())
    assert float(actions.abs().max()) <= 1 + 1e-5
    torch.testing.assert_close(
        model.scaled(actions), torch.from_numpy(robot.column("action")).float(), atol=1e-3, rtol=0
    )
    run("drift", dataset, "--model", out, "--out", tmp_path / "drift", "--horizons", "1", "2")
    assert load_result(tmp_path / "drift" / "drift.json").rows


def test_cloning_of_any_dataset(dataset, tmp_path):
    out = tmp_path / "policy"
    run("train", dataset, "--out", out, "--policy", "bc", "--encoder", "random-small",
        "--bc.fit.epochs", "1", "--train.state.kind", "pca", "--latent", "4")  # fmt: skip
    policy = load(out)
    assert isinstance(policy, ClonedPolicy)
    robot = Dataset.open(dataset)
    chosen = policy.select_action(torch.randn(5, policy.state.dim))
    assert chosen.shape == (5, len(robot.spec.action))
    assert policy.config.spec == robot.spec


def test_a_dataset_of_another_robot_is_named(dataset, tmp_path):
    out = tmp_path / "model"
    run("train", dataset, "--out", out, "--encoder", "random-small", *SHORT, *SMALL)
    path = out / "config.json"
    raw = json.loads(path.read_text())
    raw["spec"]["action"][0]["name"] = "wheel"
    path.write_text(json.dumps(raw))
    words = ["drift", str(dataset), "--model", str(out), "--out", str(tmp_path / "drift")]
    assert cli.main(words) == 2

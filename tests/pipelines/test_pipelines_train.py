"""``foresight train`` and ``drift`` on datasets that another program wrote."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch

import foresight
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


@pytest.fixture(scope="module", params=["two-cameras", "images-in-parquet", "many-short-episodes"])
def dataset(request, tmp_path_factory):
    """A copy of recordings; their features are cached beside it, for all who train on them."""
    folder = tmp_path_factory.mktemp(request.param) / "recorded"
    return Path(shutil.copytree(RECORDED / request.param, folder))


@pytest.fixture(scope="module")
def trained(dataset, tiny_eyes):
    out = dataset.parent / "model"
    run("train", dataset, "--out", out, "--encoder", tiny_eyes, *SHORT, *SMALL,
        "--train.state.kind", "pca", "--latent", "6", "--train.state.history", "2", "--seed", "3",
        "--train.state.proprio", "--train.heads.continuation")  # fmt: skip
    return out


def test_dynamics_and_drift_of_any_dataset(dataset, trained, tmp_path):
    out, robot = trained, Dataset.open(dataset)
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


def test_cloning_of_any_dataset(dataset, tiny_eyes, tmp_path):
    out = tmp_path / "policy"
    run("train", dataset, "--out", out, "--policy", "bc", "--encoder", tiny_eyes,
        "--bc.fit.epochs", "1", "--train.state.kind", "pca", "--latent", "4")  # fmt: skip
    policy = load(out)
    assert isinstance(policy, ClonedPolicy)
    robot = Dataset.open(dataset)
    chosen = policy.select_action(torch.randn(5, policy.state.dim))
    assert chosen.shape == (5, len(robot.spec.action))
    assert policy.config.spec == robot.spec


def test_a_dataset_of_another_robot_is_named(dataset, trained, tmp_path):
    out = shutil.copytree(trained, tmp_path / "model")
    path = out / "config.json"
    raw = json.loads(path.read_text())
    raw["spec"]["action"][0]["name"] = "wheel"
    path.write_text(json.dumps(raw))
    words = ["drift", str(dataset), "--model", str(out), "--out", str(tmp_path / "drift")]
    assert cli.main(words) == 2


def test_the_recordings_are_whole_and_left_as_they_were(dataset, trained):
    source = RECORDED / dataset.parent.name.rstrip("0123456789")
    expected = json.loads(source.with_name(f"{source.name}.expected.json").read_text())
    assert len(foresight.load_dataset(dataset)) == expected["episodes"]
    run("data", "check", dataset)
    for path in (path for path in source.rglob("*") if path.is_file()):
        assert (dataset / path.relative_to(source)).read_bytes() == path.read_bytes()

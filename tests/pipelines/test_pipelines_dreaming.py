"""``foresight train --policy actor``: from a learned task, or a dataset's model, to what acts."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch

from foresight import cli
from foresight.core.checkpoint import load, read_header
from foresight.data.dataset import Dataset
from foresight.evaluation.results import load as load_result
from foresight.pipelines.dreaming import states_of
from foresight.policies.actor import Actor
from foresight.training.run_data import load_replay
from foresight.worldmodel.model import WorldModel

RECORDED = Path(__file__).parents[1] / "data" / "lerobot" / "images-in-parquet"
FEW = ["--actor.updates", "3", "--actor.dream.batch", "4", "--actor.dream.critic-first", "1"]
FEW += ["--horizon", "2"]


def run(*words) -> None:
    assert cli.main([str(word) for word in words]) == 0


def test_from_a_learned_task_to_an_evaluation(tiny_learned, tmp_path, capsys):
    out, before = tmp_path / "actor", sorted(tiny_learned.rglob("*"))
    run("train", tiny_learned / "data", "--policy", "actor", "--out", out, *FEW, "--seed", "2")
    printed = capsys.readouterr().out
    assert "imagined return" in printed and f"checkpoint: {out}" in printed
    assert sorted(tiny_learned.rglob("*")) == before
    actor = load(out)
    model = WorldModel.load(tiny_learned / "model")
    assert isinstance(actor, Actor) and read_header(out).spec == model.config.spec
    weights = (out / "model.safetensors").read_bytes()
    run("train", tiny_learned / "data", "--policy", "actor", "--out", out, *FEW, "--seed", "2")
    assert (out / "model.safetensors").read_bytes() == weights
    run("evaluate", out, "--seeds", "1", "--steps", "4", "--baselines", "zero", "--workers", "1")
    result = load_result(out / "evaluation.json")
    assert set(result.summary) >= {"actor/point_mass-easy", "zero/point_mass-easy"}
    assert [row["condition"] for row in result.rows[:2]] == ["actor", "zero"]


def test_dreams_begin_where_the_model_saw_its_episodes(tiny_learned):
    model, data = WorldModel.load(tiny_learned / "model"), tiny_learned / "data"
    found = states_of(model, tiny_learned / "model", Dataset.open(data), data)
    wanted = load_replay(model, tiny_learned)
    assert torch.equal(found.states, wanted.states) and found.decisions == wanted.decisions


def test_what_cannot_be_dreamt_in_is_told_in_a_sentence(tiny_learned, tmp_path, capsys):
    out = tmp_path / "actor"
    lonely = Path(shutil.copytree(tiny_learned / "data", tmp_path / "elsewhere" / "data"))
    words = ["train", str(lonely), "--policy", "actor", "--out", str(out)]
    assert cli.main(words) == 2
    assert "There is no world model in" in capsys.readouterr().err
    assert cli.main([*words, "--model", str(tmp_path / "elsewhere")]) == 2
    assert "no config.json" in capsys.readouterr().err
    run("train", lonely, "--policy", "actor", "--out", out, "--model", tiny_learned / "model", *FEW)
    assert cli.main([*words, "--model", str(out)]) == 2
    assert "holds an actor and a world model was expected" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["adapter", "pca"])
def test_a_model_learned_from_any_dataset(kind, tiny_eyes, tmp_path):
    """Its features are in the model's folder, or in the cache beside the dataset."""
    data = Path(shutil.copytree(RECORDED, tmp_path / "recorded"))
    model, out = tmp_path / "model", tmp_path / "actor"
    words = ["train", data, "--out", model, "--encoder", tiny_eyes, "--members", "2"]
    words += ["--train.dynamics.hidden", "16", "--train.dynamics.layers", "1"]
    words += ["--train.fit.epochs", "1", "--train.fit.batch", "8", "--train.measure-horizon", "2"]
    sizes = ["updates", "representation-updates", "finetune-updates"]
    if kind == "adapter":
        words += ["--state", kind, "--latent", "16", "--train.state.hidden", "16"]
        words += [part for size in sizes for part in (f"--train.adapter.{size}", "4")]
        words += ["--train.adapter.learner.batch", "4"]
    else:
        words += ["--state", kind, "--latent", "6"]
    run(*words)
    pictures = sorted((tmp_path / "cache").rglob("*")) if kind == "adapter" else None
    run("train", data, "--policy", "actor", "--model", model, "--out", out, *FEW)
    if kind == "adapter":  # nothing was looked at again
        assert sorted((tmp_path / "cache").rglob("*")) == pictures
    actor, robot = load(out), Dataset.open(data)
    assert isinstance(actor, Actor)
    stacked = torch.randn(3, actor.state.width)
    assert actor.decide(stacked).shape == (3, len(robot.spec.action))

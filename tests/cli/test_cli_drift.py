"""``foresight drift`` on the real path: a dataset, a video and frames, both kinds of model."""

from __future__ import annotations

from xml.etree import ElementTree

import numpy as np
import pytest
from safetensors.torch import save_file

from foresight import cli
from foresight.data.clip import read_video
from foresight.data.dataset import Dataset
from foresight.data.video import encode_video
from foresight.evaluation.results import load
from foresight.perception.ac_checkpoint import random_ac_predictor, reorder_heads
from foresight.perception.ac_layers import ACConfig
from foresight.perception.config import EncoderConfig
from foresight.perception.encode import encode_dataset
from foresight.pipelines.stages import DataPlan, model_base
from foresight.rollout.collect import collect
from foresight.worldmodel.model import WorldModel

STEPS = 8


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A dataset, an untrained world model and AC predictor for it, a clip."""
    folder = tmp_path_factory.mktemp("drift")
    plan = DataPlan("reacher-easy", 3, ("random",), steps=STEPS)
    store = collect(folder / "data", plan.specs(64), 1)
    eyes = EncoderConfig()
    encoder, readout = eyes.load()
    cache = encode_dataset(store, encoder, readout, folder / "cache")
    WorldModel(model_base(store, cache, eyes)).save(folder / "model")
    config = ACConfig(encoder.dim, 64, 1, 1, 64, encoder.grid, 6)
    tensors = random_ac_predictor(config).state_dict()
    (folder / "ac").mkdir()
    save_file(reorder_heads(tensors, config, back=True), folder / "ac" / "ac.safetensors")
    sizes = '{"predictor": {"img_size": 64, "patch_size": 8, "max_frames": 6}}'
    (folder / "ac" / "config.json").write_text(sizes)
    (folder / "clip.mp4").write_bytes(encode_video(store.frames(0), 10))
    np.save(folder / "clip.npy", store.frames(0))
    np.save(folder / "poses.npy", np.linspace(0, 0.1, STEPS * 7).reshape(STEPS, 7))
    return folder


def run(place, out, source, *words):
    command = ["drift", str(place / source), "--out", str(out), "--horizons", "1", "5", "30"]
    assert cli.main([*command, *words]) == 0
    return load(out / "drift.json")


def ac_words(place):
    path = str(place / "ac" / "ac.safetensors")
    return ["--ac", path, "--encoder", "random-small", "--allow-foreign"]


def test_world_model_on_a_dataset(place, tmp_path, capsys):
    result = run(place, tmp_path, "data", "--model", str(place / "model"))
    printed = capsys.readouterr().out
    assert "only held-out episodes" in printed and "open loop" in printed
    assert "What the model knows of actions" in printed
    name = Dataset.open(place / "data").spec.action[1].name
    for key in ("skill", "drawn:action-rank", "others:action-top1", f"{name}:importance"):
        assert f"{key}/h5" in result.summary
    for condition in ("", "shuffled-actions:", "no-actions:", "linear:", "linear-no-actions:"):
        assert f"{condition}cos-skill/h5" in result.summary
    assert result.summary["persistence:cos-skill/h5"]["mean"] == 0
    assert "one episode alone" in printed  # the verdict
    quiet = run(place, tmp_path / "quiet", "data", "--model", str(place / "model"), "--samples=0")
    assert "skill/h5" not in quiet.summary and "cosine-raw-open/h5" in quiet.summary
    for condition in ("", "persistence:", "mean:"):
        for measure in ("cosine-raw", "cosine-centred", "l1-raw", "l1-centred"):
            for loop in ("open", "closed"):
                assert f"{condition}{measure}-{loop}/h5" in result.summary
    assert "cosine-raw-open/h30" not in result.summary
    svg = (tmp_path / "drift.svg").read_text()
    words = [t.text for t in ElementTree.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")]
    assert {"centred cosine", "open loop", "persistence"} <= set(words)
    assert "--series-1: #" in svg
    assert "<svg" in (tmp_path / "drift.html").read_text()


def test_world_model_on_a_video(place, tmp_path, capsys):
    result = run(place, tmp_path, "clip.mp4", "--model", str(place / "model"))
    assert "the middle of their range is assumed" in capsys.readouterr().out
    assert result.summary["cosine-raw-open/h5"]["n"] == 1


def test_ac_on_a_dataset_and_on_clips(place, tmp_path, capsys):
    many = run(place, tmp_path / "a", "data", *ac_words(place))
    assert many.summary["cosine-raw-open/h5"]["n"] == 3
    assert "zero actions at a constant pose" in capsys.readouterr().out
    still = run(place, tmp_path / "b", "clip.npy", *ac_words(place))
    words = [*ac_words(place), "--poses", str(place / "poses.npy")]
    moving = run(place, tmp_path / "c", "clip.npy", *words)
    key = "cosine-raw-open/h5"
    assert still.summary[key]["mean"] != moving.summary[key]["mean"]
    same = f"persistence:{key}"
    assert still.summary[same] == moving.summary[same]


def tune(place, out, *words):
    base = ["--ac.base", str(place / "ac" / "ac.safetensors"), "--ac.encoder", "random-small"]
    more = ["--ac.allow-foreign", "--ac.every", "1", "--ac.frames", "3", "--ac.rank", "2"]
    fit = ["--ac.fit.epochs", "2", "--ac.fit.updates", "4", "--policy", "ac", "--out", str(out)]
    assert cli.main(["train", str(place / "data"), *base, *more, *fit, *words]) == 0


def test_a_tuned_predictor_is_judged_on_held_out_episodes(place, tmp_path, capsys):
    tune(place, tmp_path / "tuned")
    printed = capsys.readouterr().out
    first = printed.splitlines()[0]
    assert "parameters learn" in first and "GiB" in first
    assert "before" in printed and "persistence" in printed
    result = run(place, tmp_path, "data", "--ac", str(tmp_path / "tuned"))
    printed = capsys.readouterr().out
    assert "only held-out episodes" in printed and "sees camera" in printed
    names = [axis.name for axis in Dataset.open(place / "data").spec.action]
    for name in names:
        assert result.summary[f"{name}:sensitivity/h5"]["mean"] >= 0
    assert result.summary["skill/h5"]["n"] == 1
    assert 0 <= result.summary["drawn:action-rank/h5"]["mean"] <= 1
    words = ["drift", str(place / "clip.npy"), "--ac", str(tmp_path / "tuned")]
    assert cli.main(words) == 2
    assert "give a dataset" in capsys.readouterr().err


def test_a_predictor_is_trained_and_judged(place, tmp_path, capsys):
    fit = {"epochs": "1", "updates": "2", "batch": "2", "warmup": "0"}
    words = [f"--predictor.fit.{name}={value}" for name, value in fit.items()]
    words += ["--predictor.size", "tiny", "--predictor.frames", "3"]
    out = tmp_path / "predictor"
    line = ["train", str(place / "data"), "--policy", "predictor", "--out", str(out)]
    assert cli.main([*line, *words, "--seed", "0"]) == 0
    printed = capsys.readouterr().out
    assert "parameters; error of tokens" in printed and "persistence" in printed
    result = run(place, tmp_path, "data", "--model", str(out))
    printed = capsys.readouterr().out
    assert "only held-out episodes" in printed and "Skill" in printed
    assert result.summary["persistence:cos-skill/h1"]["mean"] == 0
    for key in ("cos-skill", "linear:cos-skill", "minus-linear", "linear-axes:cos-raw", "l1"):
        assert f"{key}/h1" in result.summary
    assert result.config["step_seconds"] == pytest.approx(1 / Dataset.open(place / "data").spec.fps)
    assert "<svg" in (tmp_path / "drift.svg").read_text()
    assert cli.main(["drift", str(place / "clip.npy"), "--model", str(out)]) == 2
    assert "give a dataset" in capsys.readouterr().err


def test_a_pose_is_named_in_the_state(place, tmp_path, capsys):
    state = [axis.name for axis in Dataset.open(place / "data").spec.state]
    words = [*ac_words(place), "--pose", *state[:2]]
    assert cli.main(["drift", str(place / "data"), *words]) == 2
    assert "name seven numbers of the state" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("source", "words", "sentence"),
    [
        ("data", [], "needs one model"),
        ("ac", ["--model", "x"], "is not a dataset"),
        ("nothing.mp4", ["--model", "model"], "There is no clip"),
        ("clip.npy", ["--ac", "nothing.pt"], "There is no AC checkpoint"),
        ("clip.npy", ["--ac", "ac/ac.safetensors", "--encoder", "random-small"], "foreign"),
    ],
)
def test_one_sentence_for_what_is_wrong(place, source, words, sentence, capsys, monkeypatch):
    monkeypatch.chdir(place)
    assert cli.main(["drift", str(place / source), *words]) == 2
    error = capsys.readouterr().err
    assert sentence in error and error.count("\n") == 1


def test_plans_of_ac_beside_how_the_gripper_moved(place, tmp_path, capsys):
    words = [*ac_words(place), "--poses", str(place / "poses.npy"), "--plans", "2"]
    result = run(place, tmp_path, "clip.npy", *words)
    assert "Planned against recorded" in capsys.readouterr().out
    moved = np.linspace(0, 0.1, STEPS * 7).reshape(STEPS, 7)[[0, 2], :3]
    still = result.summary["persistence:planned-error/h2"]["mean"]
    assert still == pytest.approx(np.linalg.norm(moved[1] - moved[0]), rel=1e-3)
    assert -1 <= result.summary["planned-cosine/h2"]["mean"] <= 1
    assert "no motion" in (tmp_path / "drift.html").read_text()
    assert cli.main(["drift", str(place / "clip.npy"), *ac_words(place), "--plans", "1"]) == 2
    assert "--poses" in capsys.readouterr().err


def test_imagined_pictures_stand_beside_trivial_ones(place, tmp_path, capsys):
    words = [str(place / "model"), str(place / "data"), "--out", str(tmp_path)]
    words += ["--side", "16", "--updates", "20", "--horizons", "1", "3"]
    before = (place / "model" / "config.json").read_bytes()
    assert cli.main(["imagine", *words]) == 0
    printed = capsys.readouterr().out
    assert "shuffled-actions" in printed and "only held-out episodes" in printed
    found = load(tmp_path / "imagine.json").summary
    for guess in ("", "decoded:", "persistence:", "mean:", "shuffled-actions:"):
        assert found[f"{guess}picture-error/h3"]["mean"] >= 0
    assert found["mean:picture-error/h1"]["mean"] > found["decoded:picture-error/h1"]["mean"] > 0
    film = read_video(tmp_path / "imagine.mp4").frames
    assert film.shape[0] == STEPS and film.shape[2] > 3 * film.shape[1]
    assert WorldModel.load(tmp_path / "model").decoder.side == 16
    assert (place / "model" / "config.json").read_bytes() == before
    assert cli.main(["imagine", *words]) == 0  # a finished decoder is not learned again
    assert load(tmp_path / "imagine.json").summary == found
    assert cli.main(["imagine", *words, "--horizons", "50"]) == 2
    assert "long enough" in capsys.readouterr().err

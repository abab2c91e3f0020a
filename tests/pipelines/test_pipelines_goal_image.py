"""The whole road on the real path with small sizes, through the command line."""

import json
import shutil
import subprocess
import sys

import numpy as np
import pytest

from foresight import cli
from foresight.evaluation.results import load
from foresight.perception.config import EncoderConfig

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def road(tmp_path_factory, tiny_eyes):
    folder = tmp_path_factory.mktemp("road") / "run"
    words = [
        "run",
        "reacher-easy",
        "--agent",
        "goal-image",
        "--preset",
        "smoke",
        "--out",
        str(folder),
        "--workers",
        "1",
        "--encoder",
        tiny_eyes,
    ]
    assert cli.main(words) in (0, None)
    return folder, words


def test_leaves_a_valid_result_a_page_and_a_film(road):
    folder, _ = road
    result = load(folder / "result.json")
    assert result.conditions == ["planner:eyes", "zero", "random", "expert"]
    returns = [row for row in result.rows if "return" in row]
    assert {row["seed"] for row in returns} == {0, 1} and len(returns) == 8
    for row in returns:
        assert row["length"] == 20 and 0 <= row["return"] <= 20
    entry = result.summary["planner:eyes/reacher-easy"]
    mine = [row["return"] for row in returns if row["condition"].startswith("planner")]
    assert entry["n"] == 2 and entry["mean"] == pytest.approx(np.mean(mine))
    errors = [row for row in result.rows if row.get("measure") == "prediction-error"]
    assert {row["horizon"] for row in errors} == {1, 2, 3, 4, 5}
    page = (folder / "report.html").read_text()
    assert "data:video/mp4;base64," in page and "planner:eyes" in page
    assert (folder / "videos" / "planner-seed-0.mp4").stat().st_size > 1000


def test_running_it_again_does_nothing_twice(road):
    folder, words = road
    before = (folder / "rows.jsonl").read_bytes()
    weights = (folder / "model" / "model.safetensors").read_bytes()
    stamp = max(p.stat().st_mtime_ns for p in (folder / "data").rglob("*.mp4"))
    assert cli.main(words) in (0, None)
    assert (folder / "rows.jsonl").read_bytes() == before
    assert (folder / "model" / "model.safetensors").read_bytes() == weights
    assert max(p.stat().st_mtime_ns for p in (folder / "data").rglob("*.mp4")) == stamp


def test_the_page_can_be_made_again(road):
    folder, _ = road
    (folder / "report.html").unlink()
    assert cli.main(["report", str(folder)]) in (0, None)
    assert (folder / "report.html").exists()


def test_live_features_equal_those_of_stored_frames_bit_for_bit(road):
    from foresight.data.dataset import Dataset
    from foresight.envs.registry import EnvConfig
    from foresight.perception.stream import FeatureStream
    from foresight.rollout.episode import EpisodeSpec, run_episode

    folder, _ = road
    store = Dataset.open(folder / "data")
    told = store.metas[0].info
    env = EnvConfig(told["environment"], told["protocol"], **told["options"])
    live = run_episode(EpisodeSpec(env, told["seed"], told["policy"], told["steps"]))
    np.testing.assert_array_equal(live.images["camera"], store.frames(0))
    stream = FeatureStream(*EncoderConfig().load())
    stored = stream.episode(store.frames(0))
    np.testing.assert_array_equal(stream.episode(live.images["camera"]), stored)


def test_evaluate_verb_writes_a_result(road, tmp_path):
    folder, _ = road
    out = tmp_path / "evaluation.json"
    words = ["evaluate", str(folder / "model"), "--out", str(out), "--seeds", "1", "--steps", "3"]
    words += ["--planner.samples", "16", "--planner.elites", "4", "--workers", "1"]
    assert cli.main([*words, "--baselines", "zero"]) in (0, None)
    result = load(out)
    (mine,) = set(result.conditions) - {"zero"}
    assert mine.startswith("planner:") and mine.endswith("eyes")
    assert result.summary[f"{mine}/reacher-easy"]["n"] == 1


def test_collect_encode_train_verbs_go_the_same_way(tmp_path, capsys):
    data, model = str(tmp_path / "data"), str(tmp_path / "model")
    collect = ["collect", "cartpole-swingup", "--out", data, "--episodes", "3", "--steps", "12"]
    assert cli.main([*collect, "--policies", "random", "--workers", "1"]) in (0, None)
    assert cli.main(["encode", data]) in (0, None)
    train = ["train", data, "--out", model, "--train.fit.epochs", "1"]
    assert cli.main([*train, "--train.measure-horizon", "3"]) in (0, None)
    assert "persistence" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["run", "reacher-esay"], "reacher-easy"),
        (["collect", "reacher-easy", "--out", "/proc/nowhere/data"], "/proc"),
        (["encode", "/nonexistent"], "nonexistent"),
        (["train", "/nonexistent", "--out", "/tmp/never"], "nonexistent"),
        (["evaluate", "/nonexistent"], "does not exist"),
        (["report", "/nonexistent"], "does not exist"),
        (["run", "reacher-easy", "--encoder", "/nonexistent", "--preset", "smoke"], "nonexistent"),
        (["run", "reacher-easy", "--agent", "goal-image", "--readout", "odd"], "tubelet"),
        (["run", "reacher-easy", "--readout", "mean"], "add --agent goal-image"),
        (["run", "reacher-easy", "--episodes", "3"], "--episodes 3"),
    ],
)
def test_a_users_mistake_is_one_sentence_and_exit_code_2(
    words, sentence, capsys, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    assert cli.main(words) == 2
    error = capsys.readouterr().err.strip().splitlines()
    assert sentence in " ".join(error)
    assert error[-1].startswith("foresight: ") or len(error) <= 3


def test_an_agent_of_another_encoder_is_refused(road, tmp_path, capsys):
    folder, _ = road
    model = shutil.copytree(folder / "model", tmp_path / "model")
    config = json.loads((model / "config.json").read_text())
    config["config"]["readout"] = "mean"  # of the same encoder, and not what it was trained on
    (model / "config.json").write_text(json.dumps(config))
    assert cli.main(["evaluate", str(model), "--seeds", "1", "--workers", "1"]) == 2
    assert "was trained on readout mean" in " ".join(capsys.readouterr().err.split())


def test_ctrl_c_leaves_a_resumable_run(tmp_path):
    """SIGINT in the middle of collection: exit code 130, and the second run finishes."""
    import signal
    import time

    out = tmp_path / "data"
    # Far more than are recorded before even a starved machine sends the signal.
    planned = 4000
    words = ["collect", "reacher-easy", "--out", str(out), "--episodes", str(planned)]
    words += ["--steps", "200"]
    words += ["--policies", "random", "--workers", "1"]
    process = subprocess.Popen(
        [sys.executable, "-m", "foresight", *words],
        stderr=subprocess.PIPE,
        text=True,
        # A suite started in the background inherits an ignored SIGINT.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509
    )
    while process.poll() is None and len(list((out / "data").rglob("*.parquet"))) < 2:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    error = process.communicate(timeout=300)[1]
    assert process.returncode == 130, error
    assert "run the same command again" in error
    from foresight.data.dataset import Dataset

    kept = len(Dataset.open(out))
    assert 2 <= kept < planned
    words[words.index(str(planned))] = str(kept + 1)
    assert cli.main(words) in (0, None)
    assert len(Dataset.open(out)) == kept + 1
    assert json.loads((out / "meta" / "info.json").read_text())["total_episodes"] == kept + 1

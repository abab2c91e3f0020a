from __future__ import annotations

import shutil
from dataclasses import replace

import numpy as np
import pytest

from foresight import cli
from foresight.core.errors import ForesightError
from foresight.core.files import read_json
from foresight.data.dataset import Dataset
from foresight.envs import env_ids, register_env
from foresight.envs.registry import EnvConfig
from foresight.evaluation.cache import EpisodeCache
from foresight.evaluation.config import EvalConfig
from foresight.evaluation.results import load
from foresight.evaluation.statistics import returns_by_seed
from foresight.pipelines import demonstrations
from foresight.pipelines import learn as planning
from foresight.training.online_changes import OnlineChanges
from foresight.training.online_config import OnlineConfig
from foresight.training.task_settings import task_config
from tripping_robot import TrippingRobot

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def words(tiny_eyes):
    line = ["learn", "point_mass-easy", "--preset", "smoke", "--workers", "1"]
    return [*line, "--encoder", tiny_eyes]


@pytest.fixture(scope="module")
def smoke_run(tmp_path_factory, words):
    folder = tmp_path_factory.mktemp("learn")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert cli.main(words) == 0
    return folder


@pytest.fixture
def learned(smoke_run, tmp_path, monkeypatch):
    """The current folder, in which a smoke run was finished."""
    shutil.copytree(smoke_run, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_smoke_run_learns_and_measures_beside_baselines(learned, words, capsys):
    tmp_path = learned
    result = load(tmp_path / "runs" / "planning" / "planning.json")
    assert {"mpc/point_mass-easy", "zero/point_mass-easy"} <= set(result.summary)
    assert result.protocol == "seed200"
    measures = {row["measure"] for row in result.rows if "measure" in row}
    assert {"training-return", "seconds:learn", "peak-gib"} <= measures
    before = (tmp_path / "runs/planning/point_mass-easy/rows.jsonl").read_text()
    assert cli.main(words) == 0  # nothing is run twice
    assert (tmp_path / "runs/planning/point_mass-easy/rows.jsonl").read_text() == before
    assert cli.main(["learn", "juggle"]) == 2
    assert "juggle" in capsys.readouterr().err


def test_from_pixels_alone_the_agent_has_its_own_name_beside_its_prior(tmp_path, tiny_eyes):
    words = ["learn", "point_mass-easy", "--preset", "smoke", "--workers", "1", "--method", "mpc"]
    words += ["--baselines", "zero", "--seeds", "1", "--encoder", tiny_eyes, "--run", str(tmp_path)]
    assert cli.main(words) == 0
    result = load(tmp_path / "planning.json")
    assert set(result.conditions) == {"mpc-pixels", "prior-pixels", "zero"}
    names = {row["measure"] for row in result.rows if "measure" in row}
    assert {"trial:0", "trial:0.04", "trial:0.2", "trial:alone"} <= names
    assert result.config["learned"]["point_mass-easy"]["proprio"] is False
    data = Dataset.open(tmp_path / "point_mass-easy" / "data")
    assert np.isnan(data.column("action.expert")).all()


def test_a_registered_robot_without_a_simulator_to_look_into(tmp_path, tiny_eyes, capsys):
    """Two cameras, early ends, no time limit of its own, nobody who knows the task."""
    if "lab/tripping" not in env_ids():
        register_env("lab/tripping", TrippingRobot)
    words = ["learn", "lab/tripping", "--preset", "smoke", "--workers", "1", "--run", str(tmp_path)]
    words += ["--baselines", "zero", "oracle", "--length", "30", "--steps", "90", "--seeds", "1"]
    words += ["--encoder", tiny_eyes]
    assert cli.main(words) == 0
    assert "has no oracle" in capsys.readouterr().err
    run, result = tmp_path / "lab-tripping", load(tmp_path / "planning.json")
    assert set(result.conditions) == {"mpc", "zero"}
    assert result.protocol == "own"
    learned = Dataset.open(run / "data")
    assert set(learned.spec.cameras) == {"front", "wrist"}
    assert min(learned.lengths) < max(learned.lengths) <= 15
    rows = (run / "rows.jsonl").read_bytes()
    assert cli.main(words) == 0  # it goes on, and nothing is run twice
    assert (run / "rows.jsonl").read_bytes() == rows
    model = str(run / "model")
    assert cli.main(["drift", str(run / "data"), "--model", model, "--out", str(run)]) == 0
    assert cli.main(["evaluate", model, "--seeds", "1", "--steps", "3", "--baselines"]) == 0


def test_it_is_measured_for_as_long_as_it_learned_where_nothing_else_ends_an_episode():
    robot = OnlineConfig("fake_robot:FakeRobot", length=24)
    assert planning.evaluated_in(robot).time_limit == 24
    limited = replace(robot, task="gym/Pendulum-v1")
    assert planning.evaluated_in(limited).time_limit is None


def test_the_inverse_model_is_a_rival_on_the_same_seeds(learned, words, monkeypatch, capsys):
    tmp_path = learned
    folder = tmp_path / "runs/planning/point_mass-easy"
    weights = (folder / "model" / "model.safetensors").read_bytes()
    before = (folder / "rows.jsonl").read_text()
    seconds = read_json(folder / "seconds.json")
    assert cli.main([*words, "--inverse"]) == 0  # of a model that was measured already
    assert (folder / "model" / "model.safetensors").read_bytes() == weights
    after = (folder / "rows.jsonl").read_text()
    assert after.startswith(before) and after.count("\n") == before.count("\n") + 2
    again = read_json(folder / "seconds.json")
    assert again.pop("inverse") > 0 and again == seconds
    result = load(tmp_path / "runs" / "planning" / "planning.json")
    assert {"inverse-model/point_mass-easy", "mpc/point_mass-easy"} <= set(result.summary)
    seen = {
        name: sorted(returns_by_seed(result.rows, "point_mass-easy", name))
        for name in ("mpc", "inverse-model")
    }
    assert seen["mpc"] == seen["inverse-model"] == [0, 1]
    assert "heads:inverse_r2/point_mass-easy" in result.summary
    assert cli.main([*words, "--inverse"]) == 0  # nothing is run twice
    assert (folder / "rows.jsonl").read_text() == after
    # Where nobody can show the task, that is said before anything is learned.
    monkeypatch.setattr(demonstrations, "has_expert", lambda *_: False)
    assert cli.main(["learn", "cartpole-swingup", "--preset", "smoke", "--inverse"]) == 2
    assert "Nobody can show cartpole-swingup" in capsys.readouterr().err
    assert not (tmp_path / "runs/planning/cartpole-swingup").exists()


def test_the_rival_follows_in_the_tasks_own_rhythm(tmp_path):
    trial = EvalConfig(EnvConfig("point_mass-easy", "dmc1000"), (0,))
    with pytest.raises(ForesightError, match="dmc1000 repeats"):
        demonstrations.inverse_rows(
            demonstrations.TeachConfig(), trial, tmp_path, tmp_path, EpisodeCache()
        )


def test_steps_are_those_asked_for_and_else_the_tasks_own(tmp_path, monkeypatch):
    learned = []
    row = {"measure": "peak-gib", "task": "reacher-easy", "value": 1.0}

    def learn_task(sizes, *_):
        learned.append(sizes.online)
        return [row]

    monkeypatch.setattr(planning, "learn_task", learn_task)
    tasks, full = ["reacher-easy", "cup-catch"], planning.presets()["full"]
    planning.run(full, tasks, tmp_path, changes=OnlineChanges(steps=1234, device="cuda"))
    planning.run(full, tasks, tmp_path)
    assert [online.steps for online in learned] == [1234, 1234, 100_000, 60_000]
    assert [online.device for online in learned] == ["cuda", "cuda", "cpu", "cpu"]
    # What the command line learns with is what one gets by hand.
    assert learned[2:] == [task_config(task) for task in tasks]


def test_the_command_line_reaches_every_setting(monkeypatch):
    found = []

    def run(sizes, tasks, folder, workers, changes):
        found.append(changes)
        raise ForesightError("enough")

    monkeypatch.setattr(planning, "run", run)
    words = "--steps 5000 --device cuda --seed 3 --latent 64 --horizon 4 --discount 0.9 --members 7"
    more = "--updates 0.5 --encoder random-small --expert none --length 100"
    more += " --method mpc --joints --keep 100 200 --protocol dmc1000"
    more += " --trials-every 3 --final-trials 2 --shifts 2"
    more += " --traces 0.5 --foretold 1 --pictures 0.1"
    assert cli.main(["learn", "cup-catch", *words.split(), *more.split()]) == 2
    wanted = OnlineChanges(
        steps=5000, device="cuda", seed=3, latent=64, horizon=4, discount=0.9, members=7,
        updates=0.5, encoder="random-small", expert="none", length=100,
        method="mpc", joints=True, keep=(100, 200), protocol="dmc1000",
        trials_every=3, final_trials=2, shifts=2,
        traces=0.5, foretold=1.0, pictures=0.1,
    )  # fmt: skip
    assert found == [wanted]

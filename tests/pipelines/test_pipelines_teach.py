from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from bodies import spec_of_task
from foresight import cli
from foresight.core.errors import ForesightError
from foresight.core.observation import Observation
from foresight.evaluation.results import load
from foresight.pipelines import teach as teach_play
from foresight.pipelines.demonstrations import RIVALS, presets
from foresight.policies.taught import NearestFactory, TaughtAgent, TaughtFactory, open_demonstration
from foresight.policies.taught.agent import check_shown
from studies import teach

pytestmark = pytest.mark.slow

TASK = "point_mass-easy"


@pytest.fixture(scope="module")
def words(tiny_eyes):
    return ["reproduce", "teach", "--preset", "smoke", "--workers", "1", "--encoder", tiny_eyes]


@pytest.fixture(scope="module")
def run(tmp_path_factory, words):
    folder = tmp_path_factory.mktemp("teach")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert cli.main(words) == 0
    return folder / "runs" / "teach-smoke"


def test_every_case_and_rival_is_measured_on_the_same_seeds(run):
    result = load(run / "teach.json")
    shifts = ("", "-start-shifted", "-goal-shifted")
    wanted = {"demonstration", "faithful", "start-shifted", "goal-shifted"}
    wanted |= {name + shift for name in RIVALS for shift in shifts}
    assert set(result.conditions) == wanted
    for condition in wanted:
        seeds = [row["seed"] for row in result.rows if row.get("condition") == condition
                 and "return" in row]  # fmt: skip
        assert seeds == [0, 1]
        assert f"{condition}/{TASK}" in result.summary
    assert f"heads:inverse_r2/{TASK}" in result.summary
    mine = [row for row in result.rows if row.get("condition") == "faithful" and "return" in row]
    assert all(0 <= row["progress"] <= 1 and 0 <= row["lost"] <= 1 for row in mine)


def test_replaying_a_demonstration_from_its_own_start_is_the_demonstration(run):
    rows = [row for row in load(run / "teach.json").rows if "return" in row]
    returns = {
        name: [row["return"] for row in rows if row["condition"] == name]
        for name in ("demonstration", "open-loop")
    }
    np.testing.assert_allclose(returns["open-loop"], returns["demonstration"], atol=1e-5)


def test_nothing_is_run_twice(run, words, tiny_eyes, monkeypatch):
    monkeypatch.chdir(run.parents[1])
    before = (run / TASK / "rows.jsonl").read_text()
    assert cli.main(words) == 0
    assert (run / TASK / "rows.jsonl").read_text() == before
    sizes = replace(presets()["smoke"], rivals=("magic",), encoder=tiny_eyes)
    with pytest.raises(ForesightError, match="Rival 'magic'"):
        teach.run(sizes, [TASK], run / "models", run, 1)


def test_the_device_reaches_the_agent(monkeypatch):
    found = []
    monkeypatch.setattr(teach_play, "teach_once", lambda request, *_: found.append(request.device))
    assert cli.main(["teach", TASK, "--device", "cuda:1"]) == 0
    assert found == ["cuda:1"]


def test_the_verb_records_follows_and_films(run, tiny_eyes, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    model = str(run / "models" / TASK / "model")
    words = ["teach", TASK, "--model", model, "--preset", "smoke", "--seed", "1"]
    words += ["--encoder", tiny_eyes]
    assert cli.main(words) == 0
    assert "of the demonstration followed" in capsys.readouterr().out
    film = open_demonstration(tmp_path / "runs/teach" / f"{TASK}-faithful.mp4")
    assert film.frames.shape == (20, 256, 3 * 256 + 2 * 8, 3)
    demo = tmp_path / "runs/teach" / f"{TASK}-demonstration-1.mp4"
    words += ["--demo", str(demo), "--case", "start-shifted", "--way", "plan"]
    assert cli.main(words) == 0
    assert (tmp_path / "runs/teach" / f"{TASK}-start-shifted.mp4").exists()
    assert cli.main(["teach", TASK, "--demo", "nowhere.mp4", "--model", model]) == 2
    assert "no demonstration nowhere.mp4" in capsys.readouterr().err
    assert cli.main(["teach", TASK, "--model", str(tmp_path)]) == 2


def test_of_several_demonstrations_the_one_that_begins_alike_is_followed(run, tiny_eyes):
    store = run / TASK / "demonstrations"
    agent = NearestFactory(str(run / "models" / TASK / "model"), str(store), "inverse", tiny_eyes)(
        spec_of_task(TASK)
    )
    for index in (1, 0):
        demonstration = open_demonstration(f"{store}:{index}")
        first = Observation({"camera": demonstration.frames[0]})
        agent.reset(first, 0)
        assert agent.shown is agent.known[index]
        assert np.isfinite(agent.act(first)).all()


def test_an_agent_says_what_it_cannot_follow(run, tiny_eyes):
    store = run / TASK / "demonstrations"
    model = str(run / "models" / TASK / "model")
    agent = TaughtFactory(model, str(store), encoder=tiny_eyes)(spec_of_task(TASK))
    assert isinstance(agent, TaughtAgent)
    with pytest.raises(ForesightError, match="has not been shown anything"):
        TaughtAgent.reset(agent, Observation(), 0)
    demonstration = open_demonstration(f"{store}:0")
    shown = agent.show(demonstration)
    loud = replace(shown, features=shown.features * 100)
    with pytest.raises(ForesightError, match="unlike anything seen in training"):
        check_shown(loud, agent.heads, "it")
    torch.nn.init.constant_(agent.heads.reach.net[-1].bias, 90.0)
    assert "from anything seen in training" in check_shown(shown, agent.heads, "it")[0]
    still = replace(demonstration, frames=demonstration.frames[:1].repeat(9, 0), actions=None)
    with pytest.raises(ForesightError, match="Nothing moves"):
        agent.show(still)

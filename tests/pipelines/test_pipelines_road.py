"""The main road through the command line: learn, show, measure, write a page."""

from __future__ import annotations

import av
import pytest

from foresight import cli
from foresight.core.errors import ForesightError
from foresight.evaluation.results import load
from foresight.evaluation.statistics import returns_by_seed
from foresight.pipelines.road import beside_config, road_config


def test_the_main_road_leaves_a_result_a_page_and_a_film(tmp_path):
    folder = tmp_path / "run"
    words = ["run", "reacher-easy", "--preset", "smoke", "--out", str(folder), "--workers", "1"]
    assert cli.main(words) == 0
    result = load(folder / "result.json")
    assert result.name == "road-reacher-easy"
    assert {"mpc/reacher-easy", "zero/reacher-easy"} <= set(result.summary)
    assert {"taught-return/reacher-easy", "seconds:teach/reacher-easy"} <= set(result.summary)
    page = (folder / "report.html").read_text()
    assert "data:video/mp4;base64," in page and "taught seed 0" in page
    with av.open(str(folder / "videos" / "taught-seed-0.mp4")) as film:
        picture = film.streams.video[0]
        assert picture.frames == 20
        assert picture.width > 3 * picture.height  # demonstration, robot, imagined
    shown = (folder / "shown" / "played.json").read_bytes()
    weights = (folder / "model" / "model.safetensors").read_bytes()
    rows = (folder / "rows.jsonl").read_bytes()
    assert cli.main(words) == 0
    assert (folder / "model" / "model.safetensors").read_bytes() == weights
    assert (folder / "rows.jsonl").read_bytes() == rows
    assert (folder / "shown" / "played.json").read_bytes() == shown
    assert cli.main(["run", "juggle"]) == 2


@pytest.mark.slow
def test_an_agent_that_learns_beside_is_measured_on_the_same_seeds(tmp_path, tiny_eyes):
    folder = tmp_path / "run"
    words = ["run", "cartpole-swingup", "--preset", "smoke", "--out", str(folder)]
    words += ["--beside", "mpc", "--encoder", tiny_eyes, "--workers", "1"]
    assert cli.main(words) == 0
    result = load(folder / "result.json")
    seeds = {
        name: sorted(returns_by_seed(result.rows, "cartpole-swingup", name))
        for name in ("mpc", "mpc-pixels", "prior-pixels")
    }
    assert set(map(tuple, seeds.values())) == {(0, 1)}
    assert result.config["beside"]["online"]["proprio"] is False
    assert result.config["beside"]["online"]["steps"] == result.config["online"]["steps"]
    assert "mpc pixels seed 0" in (folder / "report.html").read_text()
    rows = (folder / "beside" / "rows.jsonl").read_bytes()
    assert cli.main(words) == 0
    assert (folder / "beside" / "rows.jsonl").read_bytes() == rows


def test_a_demonstration_is_shorter_and_both_agents_see_as_much():
    taught = road_config("cartpole-swingup", "demo")
    full = road_config("cartpole-swingup", "full")
    share = taught.online.steps / full.online.steps
    assert 0 < share < 0.5
    assert taught.online.demonstrations == round(full.online.demonstrations * share)
    assert taught.heads.updates < full.heads.updates
    assert set(full.baselines) - set(taught.baselines) == {"oracle"}
    assert taught.seeds < full.seeds
    assert taught.online.representation_updates < full.online.representation_updates
    alone = beside_config(taught, "demo", "mpc")
    assert alone.online.steps == taught.online.steps and alone.baselines == ()
    assert not alone.show and alone.online.expert is None
    assert road_config("walker-walk", "demo").online.steps == 60_000  # its own


def test_the_same_method_twice_and_an_agent_that_does_not_act_are_sentences(capsys):
    with pytest.raises(ForesightError, match="learned by taught already"):
        beside_config(road_config("cartpole-swingup", "smoke"), "smoke", "taught")
    assert cli.main(["run", "metaworld/push", "--beside", "mpc"]) == 2
    assert "--beside mpc is for agents that learn by acting" in capsys.readouterr().err

"""A policy of chunks looked into: along demonstrations, in trials; and recordings played again."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fake_robot import fake_robot
from foresight import cli
from foresight.core.errors import ForesightError
from foresight.data.clip import read_video
from foresight.data.dataset import Dataset
from foresight.diagnostics.chunks import chunk_errors, executed, follow, gaze_map
from foresight.envs.interface import spec_of
from foresight.evaluation.results import load
from foresight.perception.readout import Readout
from foresight.perception.zoom import Zoom
from foresight.pipelines.ground_truth import ReplayConfig, replay_dataset
from foresight.pipelines.inspection import inspect_demonstrations
from foresight.pipelines.trials import conditions_of, success_lost
from foresight.policies.chunk.policy import ChunkActing, ChunkPolicy
from foresight.report.trials import failures_first
from foresight.rollout import run_episodes
from made_once import made_once
from robots import ROBOT, Driver

SMALL = ["--chunk.fit.epochs", "1", "--chunk.fit.updates", "4", "--chunk.fit.batch", "8",
         "--chunk.network.width", "16", "--chunk.network.heads", "2", "--chunk.network.layers", "1",
         "--chunk.network.feedforward", "32", "--chunk.network.hidden", "32",
         "--chunk.network.chunk", "4", "--chunk.network.trunk", "transformer",
         "--chunk.network.keypoints", "0"]  # fmt: skip
PLACE = "fake_robot:FakeRobot"


def run(*words) -> int:
    return cli.main([str(word) for word in words])


@pytest.fixture(scope="module")
def made(tmp_path_factory, tiny_eyes):
    """``data``: six demonstrations of the fake robot; ``run``: a policy that attends."""

    def make(folder: Path) -> None:
        with Dataset.create(folder / "data", spec_of(fake_robot())) as data:
            for episode in run_episodes(ROBOT, Driver, range(30, 36), max_steps=9):
                data.append(episode)
        assert not run("train", folder / "data", "--out", folder / "run", "--policy", "chunk",
                       *SMALL, "--encoder", tiny_eyes)  # fmt: skip

    return made_once(tmp_path_factory, "inspection", make)


def test_held_out_episodes_on_paper(made, tmp_path):
    own = tmp_path / "out" / "notes.txt"
    own.parent.mkdir()
    own.write_text("mine")
    assert not run("inspect", made / "run", made / "data", "--episodes", 2, "--out", own.parent)
    held_out = json.loads((made / "run" / "held-out.json").read_text())["episodes"]
    result = load(own.parent / "demonstrations.json")
    assert result.config["episodes"] == held_out[:2] and own.read_text() == "mine"
    number = held_out[0]
    told = json.loads((own.parent / f"episode-{number}.json").read_text())
    length = Dataset.open(made / "data").lengths[number]
    assert set(told["actions"]) == {"shown", "policy", "blind", "nearest replay"}
    np.testing.assert_allclose(np.sum(list(told["attention"].values()), axis=0), 1, atol=1e-5)
    assert set(told["attention"]) == {"camera/front", "camera/wrist", "state"}
    assert told["replayed"] not in held_out
    assert len(read_video(own.parent / f"gaze-{number}.mp4").frames) == length
    page = (own.parent / "demonstrations.html").read_text()
    assert page.count("<svg") == page.count("<video ") == len(result.config["episodes"])
    assert "http" not in page.replace("http://www.w3.org", "")
    assert (own.parent / f"episode-{number}.svg").read_text().startswith("<svg")


def test_what_is_drawn_is_what_the_policy_decides(made):
    data, policy = Dataset.open(made / "data"), ChunkPolicy.load(made / "run")
    along = follow(policy, data, 1, range(6))
    shown = data.episode(1)
    np.testing.assert_array_equal(along.shown, shown.action)
    assert along.replayed != 1
    other = data.episode(along.replayed).action
    steps = np.minimum(np.arange(len(shown)), len(other) - 1)
    np.testing.assert_array_equal(along.replay, other[steps])
    from foresight.core.observation import Observation

    blind = ChunkPolicy.load(made / "run", ChunkActing(blind=True))
    for acting, chunks in ((ChunkPolicy.load(made / "run"), along.chunks), (blind, along.blind)):
        for t in range(len(shown)):
            images = {name: frames[t] for name, frames in shown.images.items()}
            now = Observation(images, shown.state[t], shown.task)
            np.testing.assert_allclose(acting.predict_action_chunk(now), chunks[t], atol=1e-6)
    for name, maps in along.maps.items():
        np.testing.assert_allclose(maps.sum((1, 2)), along.shares[f"camera/{name}"], rtol=1e-5)
    occluded = follow(policy, data, 1, range(6), "occlusion")
    np.testing.assert_allclose(occluded.chunks, along.chunks, atol=1e-6)
    np.testing.assert_allclose(sum(occluded.shares.values()), 1, rtol=1e-5)


def test_errors_are_of_executed_actions(made):
    along = follow(ChunkPolicy.load(made / "run"), Dataset.open(made / "data"), 0, range(6))
    chunks = np.arange(5 * 3, dtype=np.float32).reshape(5, 3, 1)
    assert executed(chunks, 2)[:, 0].tolist() == [0, 1, 6, 7, 12]
    shown = np.array([[0.0], [2.0], [0.0], [2.0], [1.0]], np.float32)
    found = replace(along, shown=shown, chunks=shown[:, None] + 0.5, blind=None, replay=shown)
    assert chunk_errors(found, 1) == pytest.approx(
        {"policy": 0.5 / shown.std(), "nearest replay": 0.0}
    )


def test_tokens_lie_where_they_look():
    rows = np.arange(8.0).reshape(1, 8)
    still = gaze_map(rows[:, :4], Readout(2, "grid", 2, 0), 4)
    assert still.tolist() == [[[0, 1], [2, 3]]]
    assert gaze_map(rows, Readout(4, "difference", 2), 4).tolist() == [[[4, 6], [8, 10]]]
    corner = Readout(2, "grid", 2, 0, zoom=Zoom(0.0, 1.0, 2))
    zoomed = gaze_map(rows, corner, 4)[0]
    assert zoomed.sum() == rows.sum() and zoomed.shape == (4, 4)
    np.testing.assert_allclose(zoomed[2:, :2], np.array([[4, 5], [6, 7]]) + 0.5)


def test_all_trials_on_a_page(made, tmp_path):
    assert not run("inspect", made / "run", "--env", PLACE, "--seeds", 2, "--steps", 4,
                   "--workers", 1, "--out", tmp_path)  # fmt: skip
    result = load(tmp_path / "trials.json")
    assert result.conditions == ["policy", "blind", "shuffled"]
    assert {(row["condition"], row["seed"]) for row in result.rows} == {
        (condition, seed) for condition in result.conditions for seed in (0, 1)
    }
    page = (tmp_path / "trials.html").read_text()
    for row in result.rows:
        name = f"films/{row['condition']}-{row['seed']}.mp4"
        assert f'src="{name}"' in page
        assert len(read_video(tmp_path / name).frames) == row["length"]
    assert "blind:success-lost/fake_robot:FakeRobot" in result.summary


def row(seed: int, success: bool | None, length: int, return_: float = 0.0, **more) -> dict:
    told = {} if success is None else {"success": success}
    return {"seed": seed, "length": length, "return": return_, "task": "t", **told, **more}


def test_failures_come_first():
    rows = [row(0, True, 5), row(1, False, 9), row(2, True, 8), row(3, False, 12)]
    assert [each["seed"] for each in failures_first(rows)] == [3, 1, 2, 0]
    untold = [row(0, None, 5, 3.0), row(1, None, 9, -1.0)]
    assert [each["seed"] for each in failures_first(untold)] == [1, 0]


def test_lost_success_is_paired():
    mine = [row(s, s < 3, 5, condition="policy") for s in range(4)]
    blind = [row(s, s == 3, 5, condition="blind") for s in (3, 2, 1, 0)]
    (key, found), *rest = success_lost([*mine, *blind]).items()
    assert key == "blind:success-lost/t" and not rest
    assert found["mean"] == (1 + 1 + 1 - 1) / 4 and found["n"] == 4
    assert found["low"] < found["mean"] < found["high"]


def test_conditions_are_those_that_differ(made):
    config = ChunkPolicy.load(made / "run").config
    assert list(conditions_of(config, None)) == ["policy", "blind", "shuffled"]
    one = replace(config, cameras=config.cameras[:1])
    assert list(conditions_of(one, None)) == ["policy", "blind"]
    dark = replace(config, network=replace(config.network, blind=True))
    assert list(conditions_of(dark, None)) == ["policy"]
    with pytest.raises(ForesightError, match="leave blind and shuffle out"):
        conditions_of(config, ChunkActing(blind=True))


def test_what_cannot_be_inspected_is_named(made, tmp_path, capsys):
    assert run("inspect", made / "run") == 2
    assert "give a dataset, --env, or both" in capsys.readouterr().err
    with pytest.raises(ForesightError, match="0 episodes were asked for"):
        inspect_demonstrations(made / "run", made / "data", tmp_path, 0)


def test_a_recording_played_again_repeats_itself(made, tmp_path):
    assert not run("replay", made / "data", "--out", tmp_path, "--episodes", 2)
    result = load(tmp_path / "replay.json")
    found = {row["measure"]: row["value"] for row in result.rows if row["episode"] == 0}
    assert found == {"state-deviation": 0, "picture-difference": 0, "length-difference": 0,
                     "success-agrees": 1}  # fmt: skip
    film = read_video(tmp_path / "replay-0.mp4").frames
    data = Dataset.open(made / "data")
    assert len(film) == data.lengths[0]
    assert 'src="replay-0.mp4"' in (tmp_path / "replay.html").read_text()


@pytest.mark.parametrize("wrong", ["seed", "action", "picture"])
def test_a_replay_shows_what_is_wrong(made, tmp_path, wrong):
    """Another start, actions one step late, mirrored pictures: each is seen in its number."""
    episode = Dataset.open(made / "data").episode(0)
    if wrong == "seed":
        episode = replace(episode, info={**episode.info, "seed": 77})
    elif wrong == "action":
        episode = replace(episode, action=np.roll(episode.action, 1, axis=0) * 0.5)
    else:
        images = {name: frames[:, :, ::-1].copy() for name, frames in episode.images.items()}
        episode = replace(episode, images=images)
    with Dataset.create(tmp_path / "data", spec_of(fake_robot())) as data:
        data.append(episode)
    result = replay_dataset(tmp_path / "data", tmp_path / "out", ROBOT)
    found = {row["measure"]: row["value"] for row in result.rows}
    assert found["picture-difference"] > 0.5
    assert (found["state-deviation"] > 0.01) == (wrong != "picture")


def test_starts_that_are_not_known_are_named(made, tmp_path):
    episode = Dataset.open(made / "data").episode(0)
    with Dataset.create(tmp_path / "data", spec_of(fake_robot())) as data:
        data.append(replace(episode, info={}))
    with pytest.raises(ForesightError, match="does not say where it was recorded"):
        replay_dataset(tmp_path / "data", tmp_path / "out")
    with pytest.raises(ForesightError, match="does not say the seed of its start"):
        replay_dataset(tmp_path / "data", tmp_path / "out", ROBOT)
    with pytest.raises(ForesightError, match=r"no sim\.state to begin with"):
        replay_dataset(tmp_path / "data", tmp_path / "out", ROBOT, ReplayConfig(start="state"))
    elsewhere = replace(ROBOT, id="dmc/reacher-easy")
    with pytest.raises(ForesightError, match="has no episode of dmc/reacher-easy"):
        replay_dataset(made / "data", tmp_path / "out", elsewhere)

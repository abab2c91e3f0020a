"""Acting, remembering and learning on the real simulator, with small networks."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from foresight.core.errors import ForesightError
from foresight.core.files import read_json
from foresight.core.metrics import read_metrics
from foresight.data.dataset import Dataset
from foresight.perception.encoder import load_encoder
from foresight.planning.config import MPCConfig
from foresight.training import collecting, online
from foresight.training.learner_config import LearnerConfig
from foresight.training.learning_run import STATE
from foresight.training.online import OnlineTrainer
from foresight.training.online_changes import OnlineChanges
from foresight.training.online_config import OnlineConfig
from foresight.training.run_data import FeatureFiles, compressed, load_replay
from foresight.training.task_settings import task_config
from foresight.worldmodel.model import WorldModel
from online_runs import content, interrupted

PLANNER = MPCConfig(samples=12, elites=4, iterations=2, prior_samples=4)
CONFIG = OnlineConfig(
    task="point_mass-easy",
    steps=5 * 2 * 16,
    random_episodes=2,
    expert="expert",
    demonstrations=2,
    relabel=0.5,
    representation_updates=3,
    length=16,
    parallel=2,
    updates=0.2,
    finetune_updates=3,
    latent=32,
    hidden=32,
    members=2,
    n_components=4,
    learner=LearnerConfig(batch=4),
    planner=PLANNER,
    save_every=2,
)
ENDING = replace(
    CONFIG,
    task="tripping_robot:TrippingRobot",
    expert=None,
    demonstrations=0,
    relabel=0.0,
    length=20,
    steps=120,
)


@pytest.fixture(scope="module", autouse=True)
def _small_eyes(tiny_eyes):
    """A dozen runs begin here, and none is about what the bundled encoder sees."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("CONFIG", "ENDING"):
            patch.setitem(globals(), name, replace(globals()[name], encoder=tiny_eyes))
        yield


@pytest.fixture(scope="module")
def learned(tmp_path_factory):
    folder = tmp_path_factory.mktemp("learned")
    return OnlineTrainer(CONFIG, folder).run(), folder


def test_it_learns_for_as_many_steps_as_it_was_given(learned):
    model, folder = learned
    log = read_metrics(folder / "model" / "metrics.jsonl")
    assert [line["steps"] for line in log] == [32, 64, 96, 128, 160]
    assert all(np.isfinite(line["prediction"]) for line in log[1:])  # after the start
    dataset = Dataset.open(folder / "data")
    assert dataset.lengths == [8] * 10
    returns = [meta.return_ for meta in dataset.metas]
    for number, line in enumerate(log):
        assert line["return"] == pytest.approx(sum(returns[2 * number : 2 * number + 2]) / 2)
    names = [meta.info["policy"] for meta in dataset.metas][::2]
    assert names == ["ar1:0.8:clip", "noisy:0.6:expert", "planner", "planner", "planner"]
    again = WorldModel.load(folder / "model")
    for name, value in model.state_dict().items():
        torch.testing.assert_close(again.state_dict()[name], value)


def test_the_expert_is_asked_where_it_leads_and_in_a_share_of_the_other_rounds(learned):
    _, folder = learned
    dataset = Dataset.open(folder / "data")
    answers = np.isfinite(dataset.column("action.expert")).reshape(5, 2, 8, 2)
    assert answers.all((1, 2, 3)).tolist() == [False, True, False, True, False]
    assert answers.any((1, 2, 3)).tolist() == [False, True, False, True, False]
    replay = load_replay(WorldModel.load(folder / "model"), folder)
    assert replay.asked.tolist() == [False, False, True, True, False, False, True, True] + 2 * [
        False
    ]
    led = dataset.column("action")[16:32], dataset.column("action.expert")[16:32]
    assert np.abs(led[0] - led[1]).max() < 2  # the expert's, with noise or without


def test_the_log_says_what_was_learned_and_apart_from_it_what_that_took(learned):
    _, folder = learned
    *log, last = read_metrics(folder / "model" / "metrics.jsonl")
    assert last["seconds/learn/finetune"] > 0 and np.isfinite(last["finetune/prediction"])
    told = {"held-out/prediction", "held-out/reward", "imagined/return", "return"}
    assert told <= set(last)
    seconds = {name.partition("/")[2] for name in log[-1] if name.startswith("seconds/")}
    acting = {"collect/simulate", "collect/encode", "collect/act", "collect/expert"}
    assert {"collect", "learn", "learn/representation", "learn/update"} | acting <= seconds
    for whole in ("collect", "learn"):
        inside = [log[-1][f"seconds/{n}"] for n in seconds if n.count("/") == 1 and whole in n]
        assert 0 < sum(inside) <= log[-1][f"seconds/{whole}"]
    assert all(0.01 < log[-1][f"peak-gib/{name}"] < 64 for name in seconds)


@pytest.mark.parametrize(
    ("place", "name", "at"),
    [
        (collecting.RunData, "add", 2),  # while the expert leads
        (collecting.FeatureFiles, "write", 2),  # the model is about to be made
        (collecting.RunData, "add", 4),  # features are there, their episodes are not
        (online.WorldModel, "save", 3),  # after the state, before the checkpoint
    ],
)
def test_an_interrupted_run_ends_like_a_whole_one(learned, tmp_path, monkeypatch, place, name, at):
    _, whole = learned
    interrupted(monkeypatch, OnlineTrainer(CONFIG, tmp_path).run, place, name, at)
    OnlineTrainer(CONFIG, tmp_path).run()
    assert content(tmp_path) == content(whole)


def test_time_is_counted_through_all_processes_of_a_run(tmp_path, monkeypatch):
    interrupted(monkeypatch, OnlineTrainer(CONFIG, tmp_path).run, OnlineTrainer, "_save", 2)
    killed = read_metrics(tmp_path / "model" / "metrics.jsonl")
    OnlineTrainer(CONFIG, tmp_path).run()
    log = read_metrics(tmp_path / "model" / "metrics.jsonl")
    times = [line["seconds/learn"] for line in log]
    assert times == sorted(times) and times[-1] > killed[-1]["seconds/learn"]


def test_a_finished_run_is_only_read_and_a_folder_of_another_is_refused(learned, monkeypatch):
    model, folder = learned
    with monkeypatch.context() as patch:
        patch.setattr(online, "Collector", None)
        again = OnlineTrainer(CONFIG, folder).run()
    for name, value in model.state_dict().items():
        assert torch.equal(again.state_dict()[name], value)
    assert read_json(folder / "model" / "run.json")["finished"]
    assert (folder / "model" / STATE).exists()
    with pytest.raises(ForesightError, match="holds a training with other settings"):
        OnlineTrainer(replace(CONFIG, discount=0.9), folder).run()


def test_any_environment_is_learned_in_with_all_its_cameras_and_early_ends(tmp_path):
    model = OnlineTrainer(ENDING, tmp_path).run()
    dataset = Dataset.open(tmp_path / "data")
    assert len(dataset.spec.cameras) == 2 == len(model.config.cameras)
    assert len(set(dataset.lengths)) > 1
    ended = [bool(meta.terminated) for meta in dataset.metas]
    assert any(ended) and [n < 10 for n in dataset.lengths] == ended
    steps = [line["steps"] for line in read_metrics(tmp_path / "model" / "metrics.jsonl")]
    assert steps[-1] >= 120 > steps[-2] and steps[-1] == 2 * sum(dataset.lengths)
    log = read_metrics(tmp_path / "model" / "metrics.jsonl")
    assert np.isfinite(log[-1]["continuation"])
    replay = load_replay(model, tmp_path)
    assert replay.terminated.tolist() == ended and replay.lengths.tolist() == dataset.lengths


def test_the_same_task_is_learned_by_hand_and_by_the_command_line():
    assert task_config("reacher-easy").length == 40
    assert task_config("dmc/reacher-easy") == task_config("reacher-easy")
    assert task_config("walker-walk", steps=7).steps == 7
    assert task_config("pendulum-swingup").expert is None
    assert OnlineChanges().applied(CONFIG) == CONFIG
    more = OnlineChanges(traces=0.5, foretold=1.0, pictures=0.1, shifts=2).applied(CONFIG)
    assert (more.learner.traces, more.learner.foretold, more.learner.pictures) == (0.5, 1.0, 0.1)
    assert more.shifts == 2 and more.learner.batch == 4
    changes = OnlineChanges(device="cuda", seed=3, latent=64, horizon=5, discount=0.9, members=7)
    found = changes.applied(CONFIG)
    assert (found.device, found.seed, found.latent, found.members) == ("cuda", 3, 64, 7)
    assert (found.learner.horizon, found.learner.batch, found.discount) == (5, 4, 0.9)
    alone = OnlineChanges(expert="none").applied(CONFIG)
    assert (alone.expert, alone.demonstrations, alone.relabel) == (None, 0, 0)


def test_pixels_is_a_way_without_anybody_who_knows_more():
    found = task_config("reacher-easy", "mpc")
    assert (found.method, found.expert, found.proprio, found.relabel) == ("mpc", None, False, 0)
    assert task_config("reacher-easy").method == "taught"
    assert (found.length, found.random_episodes, found.demonstrations) == (40, 640, 0)
    assert task_config("walker-walk", "mpc").length is None
    assert replace(found, proprio=True).method == "taught"  # the state as a lesson


def test_trials_are_part_of_the_steps_and_what_earned_most_stays_with_the_model(tmp_path):
    alone = dict(expert=None, demonstrations=0, relabel=0.0, proprio=False)
    config = replace(CONFIG, **alone, steps=9 * 2 * 16, trials_every=2, final_trials=1)
    model = OnlineTrainer(config, tmp_path).run()
    log = read_metrics(tmp_path / "model" / "metrics.jsonl")
    assert [line["steps"] for line in log] == [32 * (i + 1) for i in range(9)]
    names = [meta.info["policy"] for meta in Dataset.open(tmp_path / "data").metas]
    own = ["planner", "planner", "trial:0", "planner", "planner", "planner"]
    assert names[2:12] == [*own, "trial:0.04", "planner", "planner", "planner"]
    assert sorted(names[12:16]) == ["trial:0", "trial:0.04", "trial:0.2", "trial:alone"]
    assert len(names) == 18 and len(set(names[16:])) == 2
    assert log[-1]["trial/alone"] == log[-1]["return"] or "trial/alone" not in log[-1]
    kept = WorldModel.load(tmp_path / "model").config.trust
    assert kept is not None and kept == model.config.trust
    assert not any("expert" in name for name in names)


LESSONS = LearnerConfig(batch=4, foretold=1.0, pictures=1.0, ahead=2, far=3, traces=0.5)


def test_shifted_views_and_lessons_go_on_after_a_stop(tmp_path, monkeypatch):
    changes = dict(expert=None, demonstrations=0, relabel=0.0, proprio=False, codec="lossless")
    config = replace(CONFIG, **changes, learner=LESSONS, shifts=2, trials_every=2, final_trials=1)
    config = replace(config, steps=9 * 2 * 16)
    OnlineTrainer(config, tmp_path / "whole").run()
    torn = OnlineTrainer(config, tmp_path / "torn")
    interrupted(monkeypatch, torn.run, OnlineTrainer, "_report", 6)
    OnlineTrainer(config, tmp_path / "torn").run()
    assert content(tmp_path / "torn") == content(tmp_path / "whole")
    model = WorldModel.load(tmp_path / "whole" / "model")
    replay = load_replay(model, tmp_path / "whole")
    assert len(replay.shifted) == 0 and replay.decisions == 9 * 2 * 8
    # What is seen again in the frames is what was seen while it was played, in every view.
    played = FeatureFiles(tmp_path / "whole", model, 2).read(4)
    dataset = Dataset.open(tmp_path / "whole" / "data")
    shown = [dataset.episode(i) for i, meta in enumerate(dataset.metas) if meta.info["round"] == 4]
    again = compressed(model, load_encoder(config.encoder), shown, 2)
    assert [tuple(each.shape[:2]) for each in played] == [(3, 8), (3, 8)]
    for mine, theirs in zip(played, again, strict=True):
        torch.testing.assert_close(mine, theirs, atol=0.02, rtol=0.02)
        assert (mine[0] != mine[1]).any() and (mine[1] != mine[2]).any()


def test_another_seed_is_another_run(learned, tmp_path):
    _, folder = learned
    OnlineTrainer(replace(CONFIG, seed=1), tmp_path).run()
    mine, theirs = Dataset.open(tmp_path / "data"), Dataset.open(folder / "data")
    assert mine.metas[0].info["seed"] == theirs.metas[0].info["seed"] + 100_000
    assert not np.array_equal(mine.column("action"), theirs.column("action"))


def test_the_device_reaches_encoder_model_learner_and_planner(tmp_path, monkeypatch):
    asked = []
    real = online.load_encoder

    def load(name, device):
        asked.append(device)
        return real(name, "cpu")

    monkeypatch.setattr(online, "load_encoder", load)
    trainer = OnlineTrainer(replace(CONFIG, device="cuda"), tmp_path)
    assert asked == ["cuda"]
    moved, to = [], WorldModel.to
    monkeypatch.setattr(WorldModel, "to", lambda self, d: moved.append(d) or to(self, d))
    trainer.run()
    assert trainer.encoder.device in moved and trainer.learner.device == trainer.encoder.device


def test_settings_without_sense_are_refused(tmp_path):
    with pytest.raises(ForesightError, match="need an expert"):
        OnlineTrainer(replace(CONFIG, expert=None), tmp_path)
    with pytest.raises(ForesightError, match="at least 0, which is none"):
        OnlineTrainer(replace(CONFIG, final_trials=-1), tmp_path)
    with pytest.raises(ForesightError, match="Learning for 0 steps"):
        OnlineTrainer(replace(CONFIG, steps=0), tmp_path)
    with pytest.raises(ForesightError, match="does not fit protocol dmc1000"):
        OnlineTrainer(replace(CONFIG, protocol="dmc1000", repeat=3), tmp_path).run()
    with pytest.raises(ForesightError, match="Planning with 3 dynamics"):
        planner = replace(PLANNER, members=3)
        OnlineTrainer(replace(CONFIG, planner=planner), tmp_path / "other").run()

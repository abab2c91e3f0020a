"""A learned state, values and a prior from recordings: rewards or none, kills, held out."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

import foresight
from foresight import cli
from foresight.core.episode import Episode
from foresight.core.errors import ForesightError
from foresight.core.files import read_json
from foresight.core.metrics import read_metrics
from foresight.core.spec import Axis, Spec
from foresight.data.dataset import Dataset
from foresight.evaluation.results import load as load_result
from foresight.perception.config import EncoderConfig
from foresight.planning.config import MPCConfig
from foresight.planning.mpc import MPCPlanner
from foresight.training import from_dataset, run_data
from foresight.training.from_dataset import DatasetTrainer, train_from_dataset
from foresight.training.learner_config import AdapterTraining, LearnerConfig
from foresight.training.loop import FitConfig
from foresight.training.offline import TrainConfig
from foresight.worldmodel.config import HeadsConfig, StateEncoderConfig
from foresight.worldmodel.model import WorldModel

CONFIG = TrainConfig(
    fit=FitConfig(seed=3),
    state=StateEncoderConfig("adapter", dim=16, n_components=3, hidden=16, proprio=True),
    adapter=AdapterTraining(
        representation_updates=6,
        representation_phases=1,
        updates=8,
        finetune_updates=3,
        learner=LearnerConfig(batch=4, representation_batch=8),
    ),
    validation=0.4,
)


def recorded(folder, *, rewards=True, state=2, episodes=5, steps=6):
    """Squares that move as they are pushed, in episodes of different lengths."""
    spec = Spec(
        cameras={"front": (16, 24)},
        state=tuple(Axis(f"s{i}") for i in range(state)),
        action=(Axis("push", low=-2.0, high=2.0),),
        fps=5,
    )
    random = np.random.default_rng(0)
    with Dataset.open_or_create(folder, spec) as dataset:
        for number in range(episodes):
            length = steps + number
            action = random.uniform(-2, 2, (length, 1)).astype(np.float32)
            place = np.clip(np.cumsum(action[:, 0]) + 8, 0, 20)
            images = np.full((length, 16, 24, 3), 40, np.uint8)
            for picture, left in zip(images, place.astype(int), strict=True):
                picture[6:10, left : left + 4] = 220
            dataset.append(
                Episode(
                    images={"front": images},
                    state=np.stack([place, -place], 1)[:, :state].astype(np.float32),
                    action=action,
                    reward=(-place).astype(np.float32) if rewards else None,
                    terminated=number % 2 == 0,
                    task="push",
                    fps=5,
                )
            )
    return Dataset.open(folder)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return recorded(tmp_path_factory.mktemp("recorded") / "data")


@pytest.fixture(scope="module")
def eyes(tiny_eyes):
    return EncoderConfig(tiny_eyes)


@pytest.fixture(scope="module")
def whole(dataset, eyes, tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    return train_from_dataset(dataset, eyes, CONFIG, folder), folder


def test_everything_that_learning_by_acting_learns(dataset, whole):
    trained, folder = whole
    config = trained.model.config
    assert config.heads == HeadsConfig(continuation=True, proprio=2)
    assert config.dynamics.kind == "simnorm" and config.dynamics.members == 5
    assert config.dataset_fingerprint == dataset.fingerprint and config.spec == dataset.spec
    assert config.rewards is not None and config.rewards[0] < float(
        dataset.column("next.reward").min()
    )
    log = read_metrics(folder / "metrics.jsonl")
    assert {"representation/reward", "representation/proprio"} <= set(log[0])
    assert {"prediction", "reward", "value", "continuation", "value-estimate"} <= set(log[1])
    assert "finetune/prediction" in log[-1]
    assert all({"held-out/prediction", "held-out/reward"} <= set(line) for line in log)
    split = read_json(folder / "split.json")
    assert len(split["held_out"]) == 2 and not set(split["held_out"]) & set(split["train"])
    assert len(trained.horizon_errors[0].model) == 2
    numbers = torch.from_numpy(dataset.column("observation.state"))
    torch.testing.assert_close(trained.model.proprio.mean, trained.model.state.proprio_mean)
    assert not torch.equal(trained.model.proprio.mean, numbers.mean(0))  # of training episodes


class Killed(BaseException):
    """Nobody catches this."""


@pytest.mark.parametrize(
    ("place", "name", "at"),
    [
        (run_data.FeatureFiles, "write", 2),  # the model is about to be made
        (run_data.FeatureFiles, "write", 4),  # it is there, held-out episodes are not looked at
        (from_dataset.DatasetTrainer, "_save", 3),
        (from_dataset.WorldModel, "save", 4),  # after the state, before the checkpoint
        (from_dataset.DatasetTrainer, "_errors", 1),  # all is learned
    ],
)
def test_a_killed_training_ends_like_a_whole_one(
    dataset, eyes, whole, tmp_path, monkeypatch, place, name, at
):
    real, calls = getattr(place, name), []

    def counted(self, *values):
        calls.append(1)
        if len(calls) == at:
            raise Killed
        return real(self, *values)

    with monkeypatch.context() as patch:
        patch.setattr(place, name, counted)
        with pytest.raises(Killed):
            train_from_dataset(dataset, eyes, CONFIG, tmp_path)
    trained, (expected, folder) = train_from_dataset(dataset, eyes, CONFIG, tmp_path), whole
    weights = "model.safetensors"
    assert (tmp_path / weights).read_bytes() == (folder / weights).read_bytes()
    assert trained.horizon_errors == expected.horizon_errors
    assert what_was_learned(tmp_path) == what_was_learned(folder)


def what_was_learned(folder):
    """The log without what it took."""
    log = read_metrics(folder / "metrics.jsonl")
    return [
        {k: v for k, v in line.items() if not k.startswith(("seconds/", "peak-gib/"))}
        for line in log
    ]


def test_a_folder_of_another_training_is_refused(dataset, eyes, whole, tmp_path):
    _, folder = whole
    with pytest.raises(ForesightError, match="other settings"):
        train_from_dataset(dataset, eyes, replace(CONFIG, validation=0.2), folder)
    WorldModel.load(folder).save(tmp_path)
    with pytest.raises(ForesightError, match="another kind of training"):
        train_from_dataset(dataset, eyes, CONFIG, tmp_path)


def test_without_rewards_the_prior_learns_what_was_shown_and_acts(eyes, tmp_path):
    shown = recorded(tmp_path / "data", rewards=False)
    training = replace(CONFIG.adapter, representation_updates=60, updates=20)
    training = replace(training, learner=replace(training.learner, lr=3e-3))
    model = foresight.train(
        shown,
        "world-model",
        tmp_path / "model",
        encoder=eyes.encoder,
        config=replace(CONFIG, adapter=training),
    )
    assert model.reward is None and model.value is None and model.prior is not None
    first, *_, last = read_metrics(tmp_path / "model" / "metrics.jsonl")
    assert {"representation/imitation", "representation/proprio"} <= set(first)
    assert "held-out/prediction" in last and "held-out/reward" not in last
    planner = MPCPlanner.of(model, MPCConfig(), dtype=torch.float32)
    z = torch.rand(2, model.latent)
    torch.testing.assert_close(planner.plan(z), model.prior.mean_action(z), atol=1e-4, rtol=0)
    with pytest.raises(ForesightError, match="no rewards"):
        never = replace(CONFIG, adapter=replace(training, imitate="never"))
        DatasetTrainer(recorded(tmp_path / "blind", rewards=False, state=0), eyes, never, tmp_path)


@pytest.mark.slow
def test_the_verbs_train_measure_and_evaluate(eyes, tmp_path, capsys):
    data, model = str(tmp_path / "data"), str(tmp_path / "model")
    robot = "fake_robot:FakeRobot"
    words = ["collect", robot, "--out", data, "--episodes", "5", "--policies", "ar1:0.9"]
    assert cli.main([*words, "--steps", "12"]) == 0
    words = ["train", data, "--out", model, "--state", "adapter", "--encoder", eyes.encoder]
    words += [
        "--latent",
        "16",
        "--members",
        "2",
        "--horizon",
        "2",
        "--train.state.n-components",
        "3",
    ]
    for name, count in (("representation-updates", 6), ("updates", 8), ("finetune-updates", 3)):
        words += [f"--train.adapter.{name}", str(count)]
    assert cli.main(words) == 0
    assert "persistence" in capsys.readouterr().out
    weights = (tmp_path / "model" / "model.safetensors").read_bytes()
    assert cli.main(words) == 0
    assert (tmp_path / "model" / "model.safetensors").read_bytes() == weights
    assert set(WorldModel.load(model).config.spec.cameras) == {"front", "wrist"}
    out = str(tmp_path / "drift")
    assert cli.main(["drift", data, "--model", model, "--out", out, "--horizons", "1", "2"]) == 0
    rows = load_result(tmp_path / "drift" / "drift.json").rows
    assert {row["episode"] for row in rows} == {0}  # the one that was held out
    words = ["evaluate", model, "--env", robot, "--seeds", "1", "--steps", "2", "--workers", "1"]
    assert cli.main([*words, "--baselines"]) == 0
    assert load_result(tmp_path / "model" / "evaluation.json").conditions == ["mpc"]

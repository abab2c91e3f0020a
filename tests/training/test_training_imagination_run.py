"""The loop around an actor's updates: killed at any moment it ends as if nothing had happened."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file

from foresight.core import training_state
from foresight.core.checkpoint import load, read_header
from foresight.core.errors import ForesightError
from foresight.core.files import read_json
from foresight.core.metrics import read_metrics
from foresight.policies.actor import Actor
from foresight.training import imagination_run
from foresight.training.imagination import Imagination, ImaginationConfig
from foresight.training.imagination_run import ActorTrainer, ActorTraining, replay_of
from foresight.training.replay import Replay
from joint_worlds import point_world, tiny

CONFIG = ActorTraining(
    updates=7, dream=ImaginationConfig(batch=6, horizon=3, critic_first=2, quantile=0.9)
)


@pytest.fixture(autouse=True)
def _short_rounds(monkeypatch):
    monkeypatch.setattr(imagination_run, "ROUND", 3)


@pytest.fixture(scope="module")
def world():
    model = tiny()
    torch.nn.init.normal_(model.reward.net[-1].weight, std=0.5)  # a new one predicts the same
    replay, _ = point_world(episodes=10)
    replay.refresh(lambda features: model.encode(features.float()))
    return model, replay


def content(folder):
    """Everything that a run leaves but what it took."""
    log = [
        {k: v for k, v in line.items() if not k.startswith(("seconds/", "peak-gib/"))}
        for line in read_metrics(folder / "metrics.jsonl")
    ]
    files = [(folder / name).read_bytes() for name in ("model.safetensors", "config.json")]
    state = load_file(folder / "learning.safetensors")  # the order of its header is not fixed
    return files, {name: value.numpy().tobytes() for name, value in state.items()}, log


@pytest.fixture(scope="module")
def undisturbed(world, tmp_path_factory):
    folder = tmp_path_factory.mktemp("actor")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(imagination_run, "ROUND", 3)
        ActorTrainer(*world, CONFIG, folder, weights="m").run()
    return folder


def test_it_learns_as_long_as_it_was_told(world, undisturbed):
    log = read_metrics(undisturbed / "metrics.jsonl")
    assert [line["step"] for line in log] == [0, 1, 2, 3]
    assert [line["updates"] for line in log[1:]] == [3, 6, 7]
    assert log[0]["price"] > 0 and log[0]["limit"] > 0
    assert read_json(undisturbed / "run.json")["finished"] is True
    actor, model = load(undisturbed), world[0]
    assert isinstance(actor, Actor) and read_header(undisturbed).type == "actor"
    z = torch.rand(4, 32)
    assert not torch.equal(actor.net.mean_action(z), model.prior.mean_action(z))
    for name, value in model.state.state_dict().items():
        assert torch.equal(actor.state.state_dict()[name], value)


class Killed(BaseException):
    """Nobody catches this."""


@pytest.mark.parametrize(
    ("place", "name", "at"),
    [
        (Imagination, "update", 1),
        (Imagination, "update", 3),
        (Imagination, "update", 5),
        (ActorTrainer, "_keep", 1),
        (ActorTrainer, "_keep", 4),
        (ActorTrainer, "_save", 3),
        (training_state, "save_file", 2),
        (ActorTrainer, "_write_identity", 2),
    ],
)
def test_killed_and_resumed_it_ends_as_undisturbed(
    monkeypatch, world, undisturbed, tmp_path, place, name, at
):
    real, calls = getattr(place, name), []

    def counted(*values, **named):
        calls.append(1)
        if len(calls) == at:
            raise Killed
        return real(*values, **named)

    with monkeypatch.context() as patch:
        patch.setattr(place, name, counted)
        with pytest.raises(Killed):
            ActorTrainer(*world, CONFIG, tmp_path, weights="m").run()
    torch.manual_seed(5)  # whatever else the program drew meanwhile
    ActorTrainer(*world, CONFIG, tmp_path, weights="m").run()
    assert content(tmp_path) == content(undisturbed)


def test_a_folder_of_another_training_is_refused(world, undisturbed):
    for config, about in ((replace(CONFIG, updates=9), "m"), (CONFIG, "another")):
        with pytest.raises(ForesightError, match="a training with other settings"):
            ActorTrainer(*world, config, undisturbed, weights=about).run()


def test_without_updates_the_prior_alone_is_kept(world, tmp_path):
    model, _ = world
    actor = ActorTrainer(*world, replace(CONFIG, updates=0), tmp_path).run()
    z = torch.rand(4, 32)
    assert torch.equal(actor.net.mean_action(z), model.prior.mean_action(z))
    assert len(read_metrics(tmp_path / "metrics.jsonl")) == 1


def test_another_seed_is_another_actor(world, undisturbed, tmp_path):
    other = ActorTrainer(*world, replace(CONFIG, seed=1), tmp_path).run()
    z = torch.rand(4, 32)
    assert not torch.equal(other.net.mean_action(z), Actor.load(undisturbed).net.mean_action(z))


def test_nothing_to_begin_from_ends_in_a_sentence(world, tmp_path):
    with pytest.raises(ForesightError, match="0 decisions"):
        ActorTrainer(world[0], Replay(3, 12, 2, latent=32), CONFIG, tmp_path)
    with pytest.raises(ForesightError, match="no episode to dream from"):
        replay_of([], [])
    with pytest.raises(ForesightError, match="-1 updates"):
        ActorTraining(updates=-1)
    assert not any(tmp_path.iterdir())


def test_a_diverging_run_stops_in_a_sentence_and_keeps_its_last_state(
    monkeypatch, world, undisturbed, tmp_path
):
    """What was saved before a NaN is whole: lower rates cannot go on there, the same run can."""
    real = Imagination.dream

    def broken(self, z):
        found = real(self, z)
        return replace(found, rewards=found.rewards * (torch.nan if self.updates > 3 else 1.0))

    with monkeypatch.context() as patch:
        patch.setattr(Imagination, "dream", broken)
        with pytest.raises(ForesightError, match="reached nan at dream update 4"):
            ActorTrainer(*world, CONFIG, tmp_path, weights="m").run()
    ActorTrainer(*world, CONFIG, tmp_path, weights="m").run()
    assert content(tmp_path) == content(undisturbed)

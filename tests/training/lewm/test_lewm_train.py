"""LeWorldModel's training: its clips, its loss, its end after a kill, and that it learns."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from foresight.core.errors import ForesightError
from foresight.data.dataset import Dataset
from foresight.envs.registry import EnvConfig
from foresight.pipelines.lewm import learn_lewm
from foresight.rollout.collect import collect, plan_episodes
from foresight.training.lewm.clips import Clips
from foresight.training.lewm.inverse import InverseTraining, train_inverse
from foresight.training.lewm.train import (
    LeWMTraining,
    ModelAndInverse,
    effective_rank,
    lewm_losses,
    settle_norms,
)
from foresight.training.loop import FitConfig
from foresight.worldmodel.lewm.model import LeWorldModel
from foresight.worldmodel.lewm.sigreg import SIGReg
from lewm_worlds import TINY, config_of, random_model
from made_once import made_once

FIT = FitConfig(epochs=3, updates=6, batch=8, lr=1e-3, clip=1.0)
TRAINING = LeWMTraining(every=3, directions=16, validation=0.25, fit=FIT)


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    """A few recorded episodes of the two rooms."""

    def make(folder):
        env = EnvConfig("tworoom/point", protocol="whole", cameras=("view",), size=16)
        collect(folder / "data", plan_episodes(env, 4, ("noisy:0.6:wanderer",), max_steps=24))

    return Dataset.open(made_once(tmp_path_factory, "rooms", make) / "data")


def counted_clips():
    """Pictures that say in which step they were taken, and actions that do, too."""
    pixels = np.zeros((30, 2, 2, 3), np.uint8) + np.arange(30, dtype=np.uint8)[:, None, None, None]
    actions = torch.arange(30.0)[:, None] + torch.tensor([[0.0, 0.5]])
    return Clips(pixels, actions, np.array([0, 12, 16, 30]), frames=3, every=5)


def test_a_clip_holds_the_actions_between_its_pictures():
    clips = counted_clips()
    starts = clips.starts([0, 1, 2])
    assert starts.tolist() == [0, 1, 16, 17, 18, 19]  # nothing crosses an end
    batch = clips.gather(starts[[1, 2]])
    assert batch["frames"][:, :, 0, 0, 0].tolist() == [[1, 6, 11], [16, 21, 26]]
    steps = [1, 2, 3, 4, 5]
    assert batch["blocks"][0, 0].tolist() == [x for s in steps for x in (s, s + 0.5)]
    assert batch["blocks"][1, 1, 0] == 21
    with pytest.raises(ForesightError, match="the longest has 4"):
        clips.starts([1])


def test_an_epoch_sees_all_clips_before_one_comes_again_and_follows_from_its_number():
    clips = counted_clips()
    starts = clips.starts([0, 2])

    def seen(epoch, steps=3):
        found = [
            b["frames"][:, 0, 0, 0, 0].tolist() for b in clips.epoch(starts, 2, steps, 7, epoch)
        ]
        return found, float(torch.rand(()))

    first, drawn = seen(0)
    assert sorted(start for part in first for start in part) == starts.tolist()
    assert seen(0) == (first, drawn) and seen(1)[0] != first
    assert seen(0, 2)[0] == first[:2]


def test_the_loss_is_the_error_of_the_next_embedding():
    model = random_model(every=5)
    frames = torch.randint(0, 256, (6, 4, 16, 16, 3), dtype=torch.uint8)
    batch = {"frames": frames, "blocks": torch.rand(6, 3, 10)}
    torch.manual_seed(0)
    found = lewm_losses(model, batch, SIGReg(16))
    z = model.encode(frames)
    error = 0.0
    for t in range(3):
        ahead = model.predict(z[:, : t + 1], batch["blocks"][:, : t + 1])[:, -1]
        error += float((ahead - z[:, t + 1]).square().mean()) / 3
    assert float(found["prediction"]) == pytest.approx(error, rel=1e-4)
    torch.manual_seed(0)
    assert float(found["sigreg"]) == pytest.approx(float(SIGReg(16)(z.transpose(0, 1))), rel=1e-5)
    found["prediction"].backward()
    # No stopped gradient: what is predicted teaches the encoder by itself, too.
    still = model.vit.embed.weight.grad.clone()
    model.zero_grad()
    z = model.encode(frames)
    ahead = model.predict(z[:, :-1], batch["blocks"])
    (ahead - z[:, 1:].detach()).square().mean().backward()
    assert (still - model.vit.embed.weight.grad).abs().max() > 1e-6


def test_asked_for_actions_pairs_of_embeddings_in_a_row_answer():
    model = random_model(every=5)
    frames = torch.randint(0, 256, (6, 4, 16, 16, 3), dtype=torch.uint8)
    batch = {"frames": frames, "blocks": torch.rand(6, 3, 10)}
    learner = ModelAndInverse(model)
    found = lewm_losses(model, batch, SIGReg(16), learner.inverse)
    z = model.encode(frames)
    errors = [
        (learner.inverse(torch.cat([z[i, t], z[i, t + 1]])[None])[0] - batch["blocks"][i, t])
        for i in range(6)
        for t in range(3)
    ]
    wanted = torch.cat(errors).square().mean()
    torch.testing.assert_close(found["inverse"], wanted, rtol=1e-4, atol=1e-6)
    found["inverse"].backward()
    assert model.vit.embed.weight.grad.abs().max() > 1e-6  # it teaches the encoder
    assert model.predicted.down.weight.grad is None  # and not the predictor


class Killed(Exception):
    pass


@pytest.mark.parametrize("inverse", [0.0, 0.5])
def test_a_killed_training_ends_as_an_undisturbed_one(recorded, tmp_path, monkeypatch, inverse):
    dropping = replace(TINY, dropout=0.2)  # what is drawn has to be drawn again
    training = replace(TRAINING, inverse=inverse)

    def learned(name):
        folder, cache = tmp_path / name, tmp_path / "cache"
        model, history = learn_lewm(recorded, training, folder, cache, sizes=dropping)
        return model.state_dict(), history

    whole, history = learned("whole")
    epoch = Clips.epoch

    def killed(self, starts, batch, steps, seed, number):
        if number == 2:
            raise Killed
        yield from epoch(self, starts, batch, steps, seed, number)

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(Clips, "epoch", killed)
        learned("again")
    again, told = learned("again")
    assert all(torch.equal(whole[name], again[name]) for name in whole)
    same = [{k: v for k, v in r.items() if k != "seconds"} for r in history]
    assert [{k: v for k, v in r.items() if k != "seconds"} for r in told] == same
    assert 1 <= history[-1]["validation/rank"] <= 12
    loaded = LeWorldModel.load(tmp_path / "whole")
    assert loaded.config.task == "tworoom/point" and loaded.config.every == 3
    assert all(torch.equal(loaded.state_dict()[name], whole[name]) for name in whole)
    with pytest.raises(ForesightError, match="other data or settings"):
        learn_lewm(recorded, replace(training, weight=1.0), tmp_path / "whole", tmp_path / "cache")
    assert ("validation/inverse" in history[-1]) == bool(inverse)


def test_norms_are_settled_on_the_weights_as_they_are():
    model = random_model(every=5)
    pixels = np.random.default_rng(0).integers(0, 256, (40, 16, 16, 3)).astype(np.uint8)
    clips = Clips(pixels, torch.rand(40, 2), np.array([0, 40]), 4, 5)
    starts = clips.starts([0])
    settle_norms(model, clips, starts, 64)
    tokens = model.vit(clips.gather(starts)["frames"].flatten(0, 1))
    inside = model.projection.up(tokens)
    norm = model.projection.norm
    torch.testing.assert_close(norm.running_mean, inside.mean(0), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(norm.running_var, inside.var(0), rtol=1e-3, atol=1e-5)
    assert not any(part.training for part in model.modules()) and norm.momentum == 0.1


def test_effective_rank_counts_directions():
    torch.manual_seed(0)
    assert effective_rank(torch.randn(4000, 6)) == pytest.approx(6, abs=0.1)
    flat = torch.randn(400, 2) @ torch.randn(2, 6)
    assert 1 < effective_rank(flat) <= 2
    assert effective_rank(torch.ones(10, 6)) == pytest.approx(1, abs=1e-6)


def test_an_inverse_model_learns_what_was_done(recorded, tmp_path):
    model = LeWorldModel(config_of(every=3, camera="view")).eval()
    fit = FitConfig(epochs=2, updates=60, batch=32, lr=3e-3, clip=1.0)
    training = InverseTraining(farthest=3, fit=fit)
    inverse, history = train_inverse(
        model, recorded, training, tmp_path / "inverse", tmp_path / "cache"
    )
    assert history[-1]["train/loss"] < 0.9 * history[0]["train/loss"]
    before = {name: value.clone() for name, value in model.state_dict().items()}
    assert all(torch.equal(inverse.model.state_dict()[k], v) for k, v in before.items())


def test_a_dataset_with_two_cameras_needs_a_choice(tmp_path):
    env = EnvConfig("tworoom/point", protocol="whole", size=16)
    two = collect(tmp_path / "data", plan_episodes(env, 2, ("expert",), max_steps=12))
    assert list(two.spec.cameras) == ["view", "goal"]
    with pytest.raises(ForesightError, match="--cameras"):
        learn_lewm(two, TRAINING, tmp_path / "m", tmp_path / "c", ("view", "goal"))

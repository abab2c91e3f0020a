"""Training of frame-causal predictors: it learns, survives a kill, and is shared by processes."""

from __future__ import annotations

import os
from dataclasses import replace

import pytest
import torch
from torch import distributed
from torch import multiprocessing as processes

from foresight.core.errors import ForesightError
from foresight.training import loop
from foresight.training.experience import load_split
from foresight.training.loop import FitConfig
from foresight.training.predictor.parallel import Ranks, shared, together
from foresight.training.predictor.train import PredictorTraining, Windows, told, train_predictor
from foresight.worldmodel.predictor.checkpoint import TrainedPredictor
from foresight.worldmodel.predictor.losses import PredictorLoss, PredictorLossConfig
from foresight.worldmodel.predictor.network import FramePredictor
from made_up_frames import SIZES, made_up_config, made_up_frames

SPLIT = ([0, 1, 2, 3], [4, 5])
TRAINING = PredictorTraining(
    frames=4, fit=FitConfig(epochs=3, updates=12, batch=4, lr=3e-3, weight_decay=0.0, clip=1.0)
)


def trained(folder, data, training=TRAINING):
    return train_predictor(data, SPLIT, made_up_config(), training, folder)


def test_it_learns_what_actions_do_and_keeps_what_it_learned(tmp_path):
    data = made_up_frames(tmp_path / "cache", episodes=24)
    split = (list(range(20)), [20, 21, 22, 23])
    longer = replace(TRAINING, fit=replace(TRAINING.fit, epochs=2, updates=120, batch=16))
    found, history = train_predictor(data, split, made_up_config(), longer, tmp_path / "run")
    losses = [record["validation/loss"] for record in history]
    assert losses[-1] < 0.95 * history[0]["validation/persistence"]
    assert history[-1]["train/loss"] < history[0]["train/loss"]
    back = TrainedPredictor.load(tmp_path / "run")
    assert torch.equal(back.network.head.weight, found.network.head.weight)
    assert load_split(tmp_path / "run") == split


def test_a_killed_training_ends_where_an_undisturbed_one_does(tmp_path, monkeypatch):
    data = made_up_frames(tmp_path / "cache")
    whole, _ = trained(tmp_path / "whole", data)
    store = loop._State.store

    def killed(self, history, **more):
        store(self, history, **more)
        if len(history) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(loop._State, "store", killed)
    with pytest.raises(KeyboardInterrupt):
        trained(tmp_path / "cut", data)
    monkeypatch.setattr(loop._State, "store", store)
    resumed, history = trained(tmp_path / "cut", data)
    assert len(history) == 3
    for name, value in whole.network.state_dict().items():
        assert torch.equal(value, resumed.network.state_dict()[name]), name
    with pytest.raises(ForesightError, match="other data or settings"):
        trained(tmp_path / "cut", data, replace(TRAINING, fit=replace(TRAINING.fit, lr=1.0)))


def test_windows_come_once_before_any_comes_again(tmp_path):
    data = made_up_frames(tmp_path)
    windows = Windows(data, SPLIT, SIZES, TRAINING)
    batches = list(windows.epoch(0, 9))  # 4 episodes of 9 windows
    seen = torch.cat([batch["action"][:, 0, 0] for batch in batches])
    assert len(seen.unique()) == 36
    cuts = torch.cat([batch["known"] for batch in batches])
    assert cuts[0] == 3 and cuts.max() == 3  # at least one frame of four is imagined
    late = torch.cat([batch["known"] for batch in windows.epoch(2, 9)])
    assert late.min() == 1 and late.float().mean() < cuts.float().mean()
    assert all((batch["known"] == batch["known"][0]).all() for batch in batches)
    forced = replace(TRAINING, loss=PredictorLossConfig())
    cuts = torch.cat([b["known"] for b in Windows(data, SPLIT, SIZES, forced).epoch(0, 9)])
    assert cuts.min() == 1 and cuts.max() == 4
    again = list(windows.epoch(0, 9))
    assert torch.equal(again[3]["tokens"], batches[3]["tokens"])
    assert not torch.equal(next(windows.epoch(1, 9))["tokens"], batches[0]["tokens"])
    halves = [Windows(data, SPLIT, SIZES, TRAINING, Ranks(rank, 2)) for rank in (0, 1)]
    parts = [next(half.epoch(0, 1))["tokens"] for half in halves]
    assert torch.equal(torch.cat(parts), batches[0]["tokens"])


def gradients(ranks: Ranks, folder) -> dict[str, torch.Tensor]:
    """Of the first batch, by this process's share of it."""
    torch.manual_seed(0)
    network = FramePredictor(SIZES)
    torch.nn.init.normal_(network.head.weight, std=0.1)
    windows = Windows(made_up_frames(folder), SPLIT, SIZES, TRAINING, ranks)
    module = shared(PredictorLoss(network, PredictorLossConfig()), ranks)
    losses = module(*told(next(windows.epoch(0, 1)), SIZES))
    sum(losses.values()).backward()
    return {name: value.grad for name, value in network.named_parameters()}


def one_of_two(rank, port, folder):
    os.environ |= {"WORLD_SIZE": "2", "RANK": str(rank), "MASTER_PORT": str(port)}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "LOCAL_RANK": str(rank)}
    torch.set_num_threads(1)
    with together("cpu") as ranks:
        assert (ranks.rank, ranks.world, ranks.first) == (rank, 2, rank == 0)
        assert distributed.get_backend() == "gloo"
        torch.save(gradients(ranks, folder / "cache"), folder / f"{rank}.pt")
        data = made_up_frames(folder / "cache")
        found, _ = train_predictor(data, SPLIT, made_up_config(), TRAINING, folder / "run", ranks)
        torch.save(found.network.state_dict(), folder / f"trained-{rank}.pt")


@pytest.mark.slow
def test_two_processes_have_the_gradients_and_weights_of_one(tmp_path):
    alone = gradients(Ranks(), tmp_path / "cache")
    port = 20000 + os.getpid() % 20000
    processes.spawn(one_of_two, (port, tmp_path), nprocs=2)
    for rank in (0, 1):
        found = torch.load(tmp_path / f"{rank}.pt")
        for name, value in alone.items():
            torch.testing.assert_close(found[name], value, atol=1e-6, rtol=1e-5, msg=name)
    whole, _ = trained(tmp_path / "whole", made_up_frames(tmp_path / "cache"))
    for rank in (0, 1):
        found = torch.load(tmp_path / f"trained-{rank}.pt")
        for name, value in whole.network.state_dict().items():
            torch.testing.assert_close(found[name], value, atol=1e-5, rtol=1e-3, msg=name)
    assert TrainedPredictor.load(tmp_path / "run").config.sizes == SIZES


def test_a_batch_that_cannot_be_shared():
    with pytest.raises(ForesightError, match="cannot be shared equally"):
        Ranks(0, 3).share(4)
    assert Ranks(1, 2).share(4) == slice(2, 4)
    assert (Ranks(1, 2, 1).device("cuda"), Ranks().device("cuda")) == ("cuda:1", "cuda")


def test_windows_that_no_episode_is_long_enough_for(tmp_path):
    data = made_up_frames(tmp_path / "cache")
    with pytest.raises(ForesightError, match="shorter windows"):
        trained(tmp_path / "run", data, replace(TRAINING, frames=40))

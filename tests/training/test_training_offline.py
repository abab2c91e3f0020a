"""Training on a system whose truth is known; checkpoints; resume."""

import dataclasses

import numpy as np
import pytest
import torch

from foresight.core.errors import ForesightError
from foresight.training.experience import Experience
from foresight.training.loop import FitConfig
from foresight.training.offline import TrainConfig, horizon_errors, train_world_model
from foresight.worldmodel.config import (
    CameraInput,
    HeadsConfig,
    StateEncoderConfig,
    WorldModelConfig,
)
from foresight.worldmodel.dynamics.config import DynamicsConfig
from foresight.worldmodel.model import WorldModel

FEATURES, ACTIONS, LENGTH, EPISODES = 6, 2, 40, 24


def experience() -> Experience:
    """A noise-free linear system x' = x + B a with reward -|x_0|."""
    rng = np.random.default_rng(0)
    gain = rng.normal(size=(ACTIONS, FEATURES)) * 0.3
    features, actions = [], []
    for _ in range(EPISODES):
        x = rng.normal(size=FEATURES)
        for _ in range(LENGTH):
            a = rng.uniform(-1, 1, ACTIONS)
            features.append(x)
            actions.append(a)
            x = x + a @ gain
    array = np.array(features, dtype=np.float32)
    return Experience(
        features=array,
        actions=torch.tensor(np.array(actions), dtype=torch.float32),
        rewards=-torch.from_numpy(array[:, 0]).abs(),
        offsets=np.arange(EPISODES + 1) * LENGTH,
        train=list(range(20)),
        validation=list(range(20, EPISODES)),
    )


BASE = WorldModelConfig(
    task="toy",
    cameras=(CameraInput("camera", 1, FEATURES),),
    actions=ACTIONS,
    action_low=(-1, -1),
    action_high=(1, 1),
    encoder_fingerprint="e",
    readout_fingerprint="r",
)


def config(epochs: int = 12, **kwargs) -> TrainConfig:
    fit = FitConfig(epochs=epochs, batch=64, lr=3e-3)
    return TrainConfig(fit=fit, dynamics=DynamicsConfig(hidden=64), measure_horizon=5, **kwargs)


def test_beats_persistence_at_every_horizon_on_held_out_episodes(tmp_path):
    trained = train_world_model(experience(), BASE, config(), tmp_path)
    assert [row.horizon for row in trained.horizon_errors] == [1, 2, 3, 4, 5]
    for row in trained.horizon_errors:
        assert len(row.model) == len(row.persistence) == EPISODES - 20
        assert row.skill > 0.5
    last = trained.history[-1]
    assert last["validation/dynamics"] < last["validation/persistence"]
    assert last["validation/reward"] < 0.5 * last["validation/reward_variance"]


def test_multi_step_training_beats_persistence_at_its_longest_horizon(tmp_path):
    trained = train_world_model(experience(), BASE, config(horizon=4), tmp_path)
    assert trained.horizon_errors[-1].skill > 0.5


def test_persistence_of_a_still_model_has_no_skill():
    model = WorldModel(BASE)
    for parameter in model.dynamics.net[-1].parameters():
        torch.nn.init.zeros_(parameter)
    episodes = [(torch.randn(9, FEATURES), torch.zeros(9, ACTIONS)) for _ in range(5)]
    variance = torch.cat([z for z, _ in episodes]).var(0).sum()
    for row in horizon_errors(model, episodes, 3):
        assert row.skill == pytest.approx(0)
        for (z, _), value in zip(episodes, row.model, strict=True):
            squares = [((z[t] - z[t + row.horizon]) ** 2).sum() for t in range(6)]
            assert value == pytest.approx(float(sum(squares) / 6 / variance), rel=1e-5)


def test_stopped_training_resumes_to_the_same_weights(tmp_path, monkeypatch):
    whole = train_world_model(experience(), BASE, config(5), tmp_path / "whole")
    from foresight.training import loop as module

    stored = module._State.store

    def stop_after_two(self, history, is_best, **how):
        stored(self, history, is_best, **how)
        if len(history) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(module._State, "store", stop_after_two)
    with pytest.raises(KeyboardInterrupt):
        train_world_model(experience(), BASE, config(5), tmp_path / "cut")
    monkeypatch.setattr(module._State, "store", stored)
    resumed = train_world_model(experience(), BASE, config(5), tmp_path / "cut")
    assert len(resumed.history) == 5
    for name, value in whole.model.state_dict().items():
        assert torch.equal(value, resumed.model.state_dict()[name]), name


def test_a_folder_of_another_training_is_refused(tmp_path):
    train_world_model(experience(), BASE, config(1), tmp_path)
    with pytest.raises(ForesightError, match="other data or settings"):
        train_world_model(experience(), BASE, config(2), tmp_path)


def test_checkpoint_round_trip_and_its_errors(tmp_path):
    trained = train_world_model(experience(), BASE, config(1), tmp_path)
    loaded = WorldModel.load(tmp_path)
    z, a = torch.randn(3, FEATURES), torch.randn(3, ACTIONS)
    assert torch.equal(loaded.dynamics.step(z, a), trained.model.dynamics.step(z, a))
    loaded.config.expect_encoder("e", "r")
    with pytest.raises(ForesightError, match="trained on encoder"):
        loaded.config.expect_encoder("other", "r")
    with pytest.raises(ForesightError, match="trained on readout"):
        loaded.config.expect_encoder("e", "other")

    text = (tmp_path / "config.json").read_text()
    (tmp_path / "config.json").write_text(text.replace(f'"dim": {FEATURES}', '"dim": 9'))
    with pytest.raises(ForesightError, match="of another size"):
        WorldModel.load(tmp_path)
    (tmp_path / "config.json").write_text(text)
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(ForesightError, match="damaged"):
        WorldModel.load(tmp_path)
    weights.unlink()
    with pytest.raises(ForesightError, match="does not exist"):
        WorldModel.load(tmp_path)


def test_horizon_longer_than_the_episodes_is_one_sentence(tmp_path):
    with pytest.raises(ForesightError, match="No episode is longer"):
        train_world_model(experience(), BASE, config(1, horizon=60), tmp_path)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"state": StateEncoderConfig("adapter", dim=16)}, "adapter is learned by a training"),
        ({"heads": HeadsConfig(values=2)}, "2 values, a prior"),
    ],
)
def test_what_another_training_teaches_is_refused(tmp_path, change, words):
    with pytest.raises(ForesightError, match=words):
        train_world_model(experience(), BASE, dataclasses.replace(config(1), **change), tmp_path)


def small(**kwargs) -> DynamicsConfig:
    return DynamicsConfig(**{"hidden": 16, "layers": 1, "heads": 2, "context": 4, **kwargs})


@pytest.mark.parametrize("data", ["shuffled", "bootstrap", "shared"])
def test_ensembles_train_in_one_pass_and_members_differ(tmp_path, data):
    settings = dataclasses.replace(config(4), dynamics=small(hidden=64, members=3), data=data)
    trained = train_world_model(experience(), BASE, settings, tmp_path)
    assert trained.horizon_errors[0].skill > 0.3
    loaded = WorldModel.load(tmp_path)
    assert loaded.dynamics.members == 3
    z, a = torch.randn(3, FEATURES), torch.randn(3, 2, ACTIONS)
    out = loaded.dynamics(z, a)
    assert torch.equal(out, trained.model.dynamics(z, a)) and out.shape == (3, 3, 3, FEATURES)
    assert float(out[:, :, 1:].std(0).mean()) > 1e-4


def test_members_of_a_shared_pass_learn_what_each_learns_alone(tmp_path):
    """Same batches, same loss: a member's path is that of a single network of its seed."""
    data, settings = experience(), dataclasses.replace(config(2), data="shared")
    from foresight.training.offline import dynamics_loss
    from foresight.worldmodel.dynamics.build import build_dynamics

    many = build_dynamics(small(members=2), FEATURES, ACTIONS, seed=1)
    one = many.member(1)
    optimizers = [torch.optim.AdamW(m.parameters(), lr=1e-2) for m in (many, one)]
    z = torch.from_numpy(data.features[:40]).view(10, 4, FEATURES)
    a = data.actions[:40].view(10, 4, ACTIONS)
    for _ in range(5):
        for model, optimizer in zip((many, one), optimizers, strict=True):
            optimizer.zero_grad()
            dynamics_loss(model, z, a, settings).sum().backward()
            optimizer.step()
    for name, value in many.member(1).state_dict().items():
        torch.testing.assert_close(value, one.state_dict()[name], atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize(
    "dynamics",
    [
        small(kind="resblock", hidden=64, dropout=0.05),
        small(kind="transformer", hidden=32),
        small(kind="transformer", members=2),
        small(kind="tokens", tokens=3, members=2, factorised=True),
    ],
)
@pytest.mark.parametrize("horizon", [1, 3])
def test_every_kind_trains_saves_and_loads(tmp_path, dynamics, horizon):
    settings = dataclasses.replace(config(2, horizon=horizon), dynamics=dynamics)
    trained = train_world_model(experience(), BASE, settings, tmp_path)
    first, last = (trained.history[i]["train/dynamics"] for i in (0, -1))
    assert last < first
    longest = 5 if dynamics.kind == "resblock" else dynamics.context
    assert [row.horizon for row in trained.horizon_errors] == list(range(1, longest + 1))
    loaded = WorldModel.load(tmp_path)
    z, a = torch.randn(3, FEATURES), torch.randn(3, ACTIONS)
    states = z.expand(2, 3, FEATURES) if dynamics.members == 2 else z
    assert torch.equal(loaded.dynamics.step(states, a), trained.model.dynamics.step(states, a))


def test_stopped_ensemble_training_resumes_to_the_same_weights(tmp_path, monkeypatch):
    settings = dataclasses.replace(config(3), dynamics=small(members=2), data="bootstrap")
    whole = train_world_model(experience(), BASE, settings, tmp_path / "whole")
    from foresight.training import loop as module

    stored = module._State.store

    def stop_after_one(self, history, is_best, **how):
        stored(self, history, is_best, **how)
        raise KeyboardInterrupt

    monkeypatch.setattr(module._State, "store", stop_after_one)
    with pytest.raises(KeyboardInterrupt):
        train_world_model(experience(), BASE, settings, tmp_path / "cut")
    monkeypatch.setattr(module._State, "store", stored)
    resumed = train_world_model(experience(), BASE, settings, tmp_path / "cut")
    for name, value in whole.model.state_dict().items():
        assert torch.equal(value, resumed.model.state_dict()[name]), name


@pytest.mark.parametrize("horizon", [1, 5])
def test_a_budget_of_updates_does_not_depend_on_the_horizon(tmp_path, monkeypatch, horizon):
    from foresight.training import loop as module

    count = []
    monkeypatch.setattr(module, "clip_gradients", lambda *_: count.append(1))
    fit = FitConfig(epochs=3, batch=64, updates=20)
    settings = TrainConfig(fit=fit, horizon=horizon, dynamics=small(), measure_horizon=5)
    train_world_model(experience(), BASE, settings, tmp_path)
    assert len(count) == 21  # 20 rounded up to three checks


def test_raw_latents_are_the_features():
    from foresight.worldmodel.state import LinearState

    state = LinearState.fit(np.ones((5, 3)), np.array([0, 5]), [0], StateEncoderConfig("raw"))
    assert torch.equal(state(torch.arange(3.0)), torch.arange(3.0))

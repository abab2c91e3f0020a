"""Learning chunks from demonstrations: samples, masks, goals, averages, and a kill on the way."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from foresight.core.episode import Episode
from foresight.core.errors import ForesightError
from foresight.core.spec import Axis, Spec
from foresight.data.dataset import Dataset
from foresight.policies.chunk.config import ChunkConfig, NetworkConfig
from foresight.training.batches import epoch_rows
from foresight.training.chunk import train as training_module
from foresight.training.chunk.demonstrations import (
    Demonstrations,
    GoalDraw,
    binary_actions,
    idle,
    split_by_task,
    switches,
)
from foresight.training.chunk.errors import held, replayed
from foresight.training.chunk.train import (
    Augmentation,
    ChunkTraining,
    Sampler,
    read_task_vectors,
    train_chunk_policy,
)
from foresight.training.loop import FitConfig, fit
from foresight.worldmodel.config import CameraInput

LENGTHS = (6, 9, 4, 7, 5, 8)
NET = NetworkConfig(width=16, heads=2, feedforward=32, state_hidden=(8,), layers=1, chunk=4)
FIT = FitConfig(epochs=3, updates=9, batch=8, lr=3e-3, clip=1.0, warmup=2, ema=0.9)


def shown(copies: int = 1, tasks: int = 2) -> Demonstrations:
    generator = torch.Generator().manual_seed(5)
    offsets = torch.tensor([0, *np.cumsum(LENGTHS)])
    n = int(offsets[-1])
    state = torch.rand(n, 2, generator=generator)
    gripper = torch.where(torch.rand(n, generator=generator) < 0.5, -1.0, 1.0)
    actions = torch.cat([state, gripper[:, None]], 1)
    plain = torch.cat([state.repeat(1, 6), torch.randn(n, 12, generator=generator)], 1)
    features = tuple((plain.half() + 10 * c,) for c in range(copies))
    task = torch.arange(len(LENGTHS)) % tasks
    names = tuple("abcdef"[:tasks])
    train, held_out = split_by_task(task, 0.3, 0)
    return Demonstrations(actions, state, offsets, task, names, train, held_out, features)


def config_of(data: Demonstrations, **changes) -> ChunkConfig:
    net = replace(NET, **changes)
    tasks = data.tasks if len(data.tasks) > 1 else ()
    camera = CameraInput("front", 4, 6)
    return ChunkConfig((camera,), 3, 2, net, binary=(2,), tasks=tasks, goals=4 if net.goal else 0)


def test_every_step_is_learned_from_and_the_end_is_masked():
    data = shown()
    rows = data.rows([1])
    ahead, valid = data.chunk_rows(rows, 4)
    assert ahead.tolist()[0] == [6, 7, 8, 9]
    assert ahead.tolist()[-1] == [14] * 4 and valid.tolist()[-1] == [True, False, False, False]
    assert valid.sum(1).tolist() == [4] * 6 + [3, 2, 1]
    past = data.past_states(rows, 3)
    assert torch.equal(past[0], data.states[[6, 6, 6]])
    assert torch.equal(past[-1], data.states[[12, 13, 14]])
    late = Sampler(data, config_of(data), ChunkTraining(augment=Augmentation(drop_late=True)))
    assert set(late.pool.tolist()) == {
        int(data.offsets[e]) + t for e in data.train for t in range(LENGTHS[e] - 3)
    }
    assert len(Sampler(data, config_of(data), ChunkTraining()).pool) == sum(
        LENGTHS[e] for e in data.train
    )


def test_what_the_expert_said_is_learned_where_it_was_asked(tmp_path):
    spec = Spec(
        {}, (Axis("x"), Axis("y")), (Axis("u", None, 0.0, 1.0), Axis("v", None, 0.0, 1.0)), 10
    )
    expected = []
    with Dataset.create(tmp_path / "data", spec) as data:
        for seed in range(2):
            done, said = np.random.default_rng(seed).random((2, 5, 2)).astype(np.float32)
            said[1] = np.nan
            expected.append(np.where(np.isnan(said), done, said))
            data.append(
                Episode(
                    images={},
                    state=np.zeros((5, 2), np.float32),
                    action=done,
                    reward=np.zeros(5, np.float32),
                    terminated=False,
                    task="try",
                    fps=10,
                    columns={"action.expert": said},
                )
            )
    found = Demonstrations.load(Dataset.open(tmp_path / "data"), [{}], 0.5, 0)
    assert np.array_equal(found.actions.numpy(), np.concatenate(expected))


def test_some_episodes_of_every_task_are_held_out():
    task = torch.tensor([0] * 10 + [1] * 3 + [2])
    train, held_out = split_by_task(task, 0.1, 3)
    assert sorted(train + held_out) == list(range(14))
    assert [int((task[list(held_out)] == t).sum()) for t in range(3)] == [1, 1, 0]
    train, held_out = split_by_task(torch.arange(4), 0.25, 0)
    assert len(held_out) == 1


def test_the_goal_is_of_another_demonstration_of_the_task():
    data = shown()
    draw = GoalDraw(data)
    rows = data.rows(data.train)
    seen = set()
    for seed in range(8):
        goals = draw(rows, torch.Generator().manual_seed(seed))
        own, other = data.episode_of(rows), data.episode_of(goals)
        assert torch.equal(goals, data.offsets[other + 1] - 1)  # its last step
        assert torch.equal(data.task[own], data.task[other])
        assert set(other.tolist()) <= set(data.train)
        alone = torch.tensor([len(data.shown_by_task()[int(t)]) == 1 for t in data.task[own]])
        assert bool(((own != other) | alone).all())
        seen |= set(other.tolist())
    assert seen == set(data.train)


def test_switches_and_idle_steps():
    offsets = torch.tensor([0, 4, 8])
    actions = torch.tensor([[0.0], [0], [1], [1], [0], [0], [0], [1]])
    assert binary_actions(actions) == (0,)
    assert binary_actions(torch.tensor([[0.0], [1], [2]])) == ()
    assert switches(actions, offsets, (0,)).tolist() == [2, 7]  # not 4, where an episode begins
    data = replace(shown(), actions=actions, states=torch.zeros(8, 1), offsets=offsets)
    assert idle(data).tolist() == [False, True, False, True, False, True, True, False]


def test_oversampled_steps_move_within_their_episode():
    data = shown()
    wanted = ChunkTraining(augment=Augmentation(oversample=4, jitter=2), fit=FIT)
    sampler = Sampler(data, config_of(data), wanted)
    extra = torch.arange(sampler._plain, len(sampler.pool))
    assert len(extra) == 3 * len(set(sampler.switches.tolist()) & set(sampler.pool.tolist()))
    moved = sampler._jittered(extra, torch.Generator().manual_seed(0))
    rows = sampler.pool[extra]
    assert torch.equal(data.episode_of(moved), data.episode_of(rows))
    assert 0 < int((moved - rows).abs().max()) <= 2
    plain = torch.arange(sampler._plain)
    assert torch.equal(sampler._jittered(plain, torch.Generator()), sampler.pool[plain])


def test_weights_of_starts_grippers_and_switches():
    data = shown()
    augment = Augmentation(start_weight=3, start_steps=2, gripper_weight=2, switch_weight=5)
    sampler = Sampler(data, config_of(data), ChunkTraining(augment=augment))
    rows = data.rows(data.train)
    weight = sampler.batch(rows, torch.Generator())["weight"]
    assert torch.equal(weight[:, :, 0], torch.tensor([3.0, 3, 1, 1]).expand(len(rows), 4))
    ahead, _ = data.chunk_rows(rows, 4)
    near = torch.zeros(len(data.actions), dtype=torch.bool)
    for row in sampler.switches.tolist():
        near[max(0, row - 2) : row + 3] = True
    expected = weight[:, :, 0] * 2 * torch.where(near[ahead], 5.0, 1.0)
    assert torch.equal(weight[:, :, 2], expected)


def test_copies_are_drawn_and_held_out_steps_see_none():
    data = shown(copies=3)
    training = ChunkTraining(augment=Augmentation(shifts=1, still=0.5))
    sampler = Sampler(data, config_of(data), training)
    rows = data.rows(data.train)
    batch = sampler.batch(rows, torch.Generator().manual_seed(0))
    which = ((batch["tokens/0"].flatten(1) - data.features[0][0][rows]) / 10).mean(1).round()
    assert set(which.tolist()) == {0.0, 1.0, 2.0}
    plain = sampler.batch(rows, torch.Generator(), varied=False)
    assert torch.equal(plain["tokens/0"].flatten(1), data.features[0][0][rows])


def test_an_epoch_sees_every_step_before_any_twice():
    pieces = epoch_rows(torch.arange(7), 4, torch.Generator().manual_seed(0))
    drawn = torch.cat([next(pieces) for _ in range(7)]).tolist()
    for start in range(0, 28, 7):
        assert sorted(drawn[start : start + 7]) == list(range(7))


@pytest.mark.parametrize("head", ["l1", "flow", "cvae"])
def test_a_killed_training_ends_at_the_same_weights(head, tmp_path, monkeypatch):
    data = shown(copies=2)
    config = config_of(data, head=head, goal=True, dropout=0.2)
    augment = Augmentation(noise=0.1, state_noise=0.1, shifts=1, oversample=2)
    training = ChunkTraining(fit=FIT, augment=augment)
    _, errors = train_chunk_policy(data, config, training, tmp_path / "whole")

    epoch, real = [0], Sampler.epoch

    def dying(self, number, steps):
        for i, batch in enumerate(real(self, number, steps)):
            if number == 2 and i == 1:
                raise KeyboardInterrupt
            yield batch
        epoch[0] = number

    with monkeypatch.context() as patched:
        patched.setattr(Sampler, "epoch", dying)
        with pytest.raises(KeyboardInterrupt):
            train_chunk_policy(data, config, training, tmp_path / "cut")
    assert epoch == [1]
    torch.manual_seed(99)
    _, again = train_chunk_policy(data, config, training, tmp_path / "cut")
    for name in ("model.safetensors", "training.safetensors"):
        one, two = (load_file(tmp_path / run / name) for run in ("whole", "cut"))
        assert one.keys() == two.keys()
        assert all(torch.equal(one[key], two[key]) for key in one), name
    assert errors == again
    with pytest.raises(ForesightError, match="other data or settings"):
        train_chunk_policy(data, config, replace(training, keep="best"), tmp_path / "cut")


@pytest.mark.parametrize("head", ["l1", "flow"])
def test_losses_in_bfloat16_are_those_of_float32_but_for_rounding(head, tmp_path, monkeypatch):
    data = shown()
    config = config_of(data, trunk="transformer", keypoints=0, head=head, goal=True)
    losses, weights = [], []
    monkeypatch.setattr("foresight.training.loop.default_dtype", lambda _: torch.bfloat16)
    for dtype in ("float32", "bfloat16", "auto"):
        training = ChunkTraining(fit=replace(FIT, dtype=dtype))
        network, _ = train_chunk_policy(data, config, training, tmp_path / dtype)
        lines = (tmp_path / dtype / "metrics.jsonl").read_text().splitlines()
        found = [json.loads(line) for line in lines]
        losses.append([[each["train/loss"], each["validation/loss"]] for each in found])
        weights.append(network.state_dict())
    full, half, auto = (torch.tensor(each) for each in losses)
    apart = ((half - full).abs() / full).max()
    assert 0 < float(apart) < 2**-6  # products of 8 bits, and sums of many of them
    assert torch.equal(half, auto)
    assert all(value.dtype == weights[0][name].dtype for name, value in weights[1].items())


def test_what_is_kept_is_the_moving_average(tmp_path):
    model = torch.nn.Linear(1, 1, bias=False)
    torch.nn.init.ones_(model.weight)
    seen = []

    def loss(batch):
        seen.append(float(model.weight.detach()))
        return model.weight.square().sum(), {}

    judged = []

    def validate():
        judged.append(float(model.weight))
        return {}

    steps = 5
    config = FitConfig(epochs=2, lr=0.1, weight_decay=0.0, ema=0.5, warmup=4)
    fit(model, lambda epoch: iter([{}] * steps), steps, loss, validate, config, tmp_path, "x", None)
    now = load_file(tmp_path / "training.safetensors")["now/weight"].item()
    average, memory = 1.0, []
    for n, value in enumerate([*seen[1:], now], 1):
        memory.append(min(0.5, (1 + n) / (10 + n)))
        average = memory[-1] * average + (1 - memory[-1]) * value
    assert float(model.weight) == pytest.approx(average, rel=1e-5)
    assert judged[1] == pytest.approx(average, rel=1e-5)
    assert abs(seen[1] - 1) == pytest.approx(0.025, rel=1e-2)  # a quarter of the rate at first


def test_baselines_are_what_their_names_say(tmp_path):
    data = shown()
    network, errors = train_chunk_policy(data, config_of(data), ChunkTraining(fit=FIT), tmp_path)
    rows = data.rows(data.held_out)
    mean = data.actions[data.rows(data.train)].mean(0)
    last = held(data, rows, mean)
    copied = replayed(network, data, rows)
    for i, row in enumerate(rows.tolist()):
        e = int(data.episode_of(torch.tensor([row])))
        first = row == int(data.offsets[e])
        assert torch.equal(last[i], mean if first else data.actions[row - 1])
        shown_too = [
            data.actions[int(data.offsets[d]) :][: LENGTHS[d]]
            for d in data.train
            if data.task[d] == data.task[e]
        ]
        time = row - int(data.offsets[e])
        expected = [
            torch.stack([a[min(time + k, len(a) - 1)] for k in range(4)]) for a in shown_too
        ]
        assert any(torch.equal(copied[i], one) for one in expected)
    methods = errors["methods"]
    assert list(methods) == ["policy", "blind", "nearest replay", "last action", "mean action"]
    ahead, valid = data.chunk_rows(rows, 4)
    far = (data.actions[ahead] - mean).abs()[..., 1][valid].mean()
    assert methods["mean action"]["joints"]["action_1"] == pytest.approx(float(far), rel=1e-5)
    assert errors["binary"] == ["action_2"] and len(methods["policy"]["steps"]) == 4


def test_what_only_the_eyes_know_is_not_had_blind(tmp_path):
    data = shown(tasks=1)
    config = config_of(data, state=False, dropout=0.0, keypoints=0)
    config = replace(config, states=0)
    training = ChunkTraining(fit=replace(FIT, updates=150, batch=16, lr=1e-2))
    _, seeing = train_chunk_policy(data, config, training, tmp_path / "a")
    blind = replace(config, network=replace(config.network, blind=True))
    network, _ = train_chunk_policy(data, blind, training, tmp_path / "b")
    assert network.blind
    first = {name: found["steps"][0] for name, found in seeing["methods"].items()}
    assert first["policy"] < 0.8 * first["blind"]


def test_task_vectors_of_a_file(tmp_path):
    path = tmp_path / "vectors.json"
    path.write_text('{"a": [1, 2], "b": [3, 4], "c": [5]}')
    assert read_task_vectors(path, ("b", "a")).tolist() == [[3, 4], [1, 2]]
    with pytest.raises(ForesightError, match="no vector for the task 'z'"):
        read_task_vectors(path, ("a", "z"))
    with pytest.raises(ForesightError, match="not lists of numbers of one length"):
        read_task_vectors(path, ("a", "c"))
    data = shown()
    config = replace(config_of(data), task_width=2)
    training = ChunkTraining(fit=FIT, task_vectors=path)
    network, _ = train_chunk_policy(data, config, training, tmp_path / "run")
    assert network.task_vectors.tolist() == [[1, 2], [3, 4]]
    assert training_module.ERRORS == "held-out.json"


def test_numbers_that_never_move_do_no_harm(tmp_path):
    data = shown()
    still = replace(data, actions=data.actions.clone(), states=data.states.clone())
    still.actions[:, 1] = 0.25
    still.states[:, 0] = 1.5
    _, errors = train_chunk_policy(still, config_of(still), ChunkTraining(fit=FIT), tmp_path)
    for found in errors["methods"].values():
        assert found["joints"]["action_1"] == pytest.approx(0, abs=1e-6)
        assert np.isfinite(found["mean"])


def test_nothing_left_to_learn_from():
    data = shown()
    wanted = ChunkTraining(augment=Augmentation(drop_late=True))
    with pytest.raises(ForesightError, match="No step is left"):
        Sampler(data, config_of(data, chunk=40), wanted)

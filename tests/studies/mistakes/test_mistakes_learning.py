"""Mistakes of the training: each changes what it claims and nothing else."""

from __future__ import annotations

from dataclasses import fields, replace

import pytest
import torch

from foresight.policies.chunk.config import ChunkConfig, NetworkConfig
from foresight.policies.chunk.network import ChunkNetwork
from foresight.training.chunk.demonstrations import Demonstrations
from foresight.training.chunk.train import ChunkTraining, Sampler, prepare_network
from foresight.worldmodel.config import CameraInput
from studies.mistakes.learning import OwnGoals, without_statistics
from studies.mistakes.study import presets, training_of
from studies.mistakes.variants import MISTAKES, VARIANTS

LENGTHS = (70, 90, 60, 110)
CAMERA = CameraInput("far", 4, 6)


def shown() -> Demonstrations:
    generator = torch.Generator().manual_seed(0)
    offsets = torch.tensor([0, *LENGTHS]).cumsum(0)
    n = int(offsets[-1])
    state = 0.1 + 0.05 * torch.rand(n, 3, generator=generator)
    grip = torch.where(torch.rand(n, 1, generator=generator) < 0.5, -1.0, 1.0)
    actions = torch.cat([0.3 * torch.randn(n, 2, generator=generator) + 0.2, grip], 1)
    features = torch.randn(n, 24, generator=generator).half() + 2
    task = torch.tensor([0, 1, 0, 1])
    return Demonstrations(
        actions, state, offsets, task, ("a", "b"), (0, 1, 2, 3), (), ((features,),)
    )


def config_of(data: Demonstrations, training: ChunkTraining) -> ChunkConfig:
    net = replace(training.network, width=8, hidden=16, keypoints=2, layers=1, feedforward=16)
    goals = 4 if net.goal else 0
    return ChunkConfig((CAMERA,), 3, 3, net, binary=(2,), tasks=data.tasks, goals=goals)


def training(name: str) -> ChunkTraining:
    return training_of(presets()["full"], VARIANTS[name])


def differing(one: ChunkTraining, other: ChunkTraining) -> set[str]:
    """Names of all settings in which two trainings differ."""
    parts = [(one, other)] + [(getattr(one, p), getattr(other, p)) for p in
                              ("network", "augment", "fit")]  # fmt: skip
    return {
        each.name
        for a, b in parts
        for each in fields(a)
        if each.name not in ("network", "augment", "fit")
        and getattr(a, each.name) != getattr(b, each.name)
    }


@pytest.mark.parametrize("name", MISTAKES)
def test_a_training_differs_from_the_right_one_in_what_its_mistake_is(name):
    right = VARIANTS[name].instead_of
    changed = {"late": {"drop_late"}, "noise": {"noise"}}.get(name, set())
    assert differing(training(name), training(right)) == changed
    if VARIANTS[name].acts is not None:
        assert VARIANTS[name].acts == right


def test_right_policies_differ_in_what_a_mistake_needs():
    assert differing(training("unit-norm"), training("right")) == {"tokens", "noise"}
    assert differing(training("goal"), training("right")) == {"goal"}
    assert not differing(training("clip"), training("right"))
    assert VARIANTS["clip"].clip and not VARIANTS["right"].clip


def test_the_last_fifty_steps_are_never_a_present():
    data = shown()
    samplers = {
        name: Sampler(data, config_of(data, training(name)), training(name))
        for name in ("late", "right")
    }
    ends = data.offsets[1:]
    left = {name: (ends[data.episode_of(each.pool)] - each.pool) for name, each in samplers.items()}
    assert int(left["late"].min()) == 50 and int(left["right"].min()) == 1
    early = samplers["right"].pool[left["right"] >= 50]
    assert torch.equal(samplers["late"].pool, early)
    chunk = samplers["late"].batch(early, torch.Generator())
    assert bool(chunk["valid"].all())


@pytest.mark.parametrize(("name", "norm"), [("unit-norm", 0.05), ("noise", 1.876)])
def test_noise_has_the_norm_that_is_claimed_on_tokens_of_norm_one(name, norm):
    camera = CameraInput("far", 64, 192)
    net = replace(training(name).network, width=8, hidden=16, keypoints=2, layers=1)
    network = ChunkNetwork(ChunkConfig((camera,), 3, network=net))
    network.noise = training(name).augment.noise
    batch = {"tokens/0": torch.randn(8, 64, 192) + 3}
    torch.manual_seed(0)
    noisy = network.train()._visual(0, batch, "tokens")
    plain = network.eval()._visual(0, batch, "tokens")
    assert plain.norm(dim=-1).allclose(torch.ones(8, 64))
    assert float((noisy - plain).norm(dim=-1).mean()) == pytest.approx(norm, rel=0.01)


def test_without_statistics_numbers_stay_as_they_are():
    data = shown()
    wanted = training("unnormalised")
    networks = []
    for prepare in (prepare_network, without_statistics):
        torch.manual_seed(0)
        networks.append(ChunkNetwork(config_of(data, wanted)))
        prepare(networks[-1], data, wanted)
    right, wrong = networks
    state, action = data.states[:5], data.actions[:5]
    assert torch.equal(wrong.normaliser.state(state), state)
    assert not right.normaliser.state(state).allclose(state, atol=0.1)
    assert torch.equal(wrong.normaliser.action(action)[:, :2], action[:, :2])
    both = [each.normaliser.action(action)[:, 2] for each in networks]
    assert torch.equal(both[0], both[1]) and set(both[0].tolist()) <= {0.0, 1.0}
    assert wrong.normaliser.denormalised(wrong.normaliser.action(action)).allclose(action)
    changed = {"normaliser.state_mean", "normaliser.state_scale",
               "normaliser.action_mean", "normaliser.action_scale"}  # fmt: skip
    one, two = (each.state_dict() for each in networks)
    assert {key for key in one if not torch.equal(one[key], two[key])} == changed


def test_a_demonstration_shows_its_own_end_and_a_trial_anothers():
    data = shown()
    wanted = training("own-goal")
    config = config_of(data, wanted)
    own = VARIANTS["own-goal"].shown(data)
    assert isinstance(own, OwnGoals)
    rows = data.rows(data.train)
    batches = [
        Sampler(each, config, wanted).batch(rows, torch.Generator().manual_seed(1))
        for each in (data, own)
    ]
    changed = {key for key in batches[0] if not torch.equal(batches[0][key], batches[1][key])}
    assert changed == {"goal/0"}
    ends = data.offsets[data.episode_of(rows) + 1] - 1
    expected = data.features[0][0][ends].view(-1, 4, 6)
    assert torch.equal(batches[1]["goal/0"], expected)
    assert not any(
        torch.equal(one, two) for one, two in zip(batches[0]["goal/0"], expected, strict=True)
    )
    stored = []
    for each in (data, own):  # what a trial is shown: the same for both
        network = ChunkNetwork(config)
        prepare_network(network, each, wanted)
        stored.append(network.goals_0)
    assert torch.equal(*stored) and bool(stored[0].any())


def test_the_presets_sizes():
    assert NetworkConfig().head == training("right").network.head == "l1"
    assert training("right").network.chunk == 50
    head = training("source-head")
    assert (head.preset, head.fit.batch, head.fit.lr) == ("source-head", 32, 1e-4)
    assert head.fit.dtype == "auto"  # a transformer's products in bfloat16, where there is any

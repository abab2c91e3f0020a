"""The network that decides chunks of actions: its sizes, losses, statistics and chunks."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from counted import count_parameters
from foresight.core.checkpoint import load_weights, read_header
from foresight.core.errors import ForesightError
from foresight.policies.chunk.config import PRESETS, ChunkConfig, NetworkConfig, preset
from foresight.policies.chunk.network import ChunkNetwork, weighted_mean
from foresight.policies.chunk.normaliser import canonical_rotation, rotation_reference
from foresight.policies.chunk.policy import ensembled, save_network
from foresight.worldmodel.config import CameraInput

TRUNKS = [(head, trunk) for trunk in ("mlp", "transformer") for head in ("l1", "flow", "cvae")]
TINY = {"width": 16, "heads": 2, "feedforward": 32, "state_hidden": (8,), "layers": 1, "chunk": 4,
        "hidden": 48, "keypoints": 0}  # fmt: skip


def tiny(head: str = "l1", **changes) -> ChunkNetwork:
    torch.manual_seed(0)
    net = NetworkConfig(**{**TINY, "head": head, "dropout": 0.0, "latent": 4} | changes)
    config = ChunkConfig(
        cameras=(CameraInput("front", 1, 6), CameraInput("wrist", 4, 6)),
        actions=3,
        states=2,
        network=net,
        binary=(2,),
        tasks=("push", "pull"),
        goals=2 if net.goal else 0,
    )
    network = ChunkNetwork(config)
    states, actions = torch.randn(50, 2), 0.3 * torch.randn(50, 3) + 1
    actions[:, 2] = torch.where(torch.arange(50) % 2 == 0, -1.0, 1.0)
    network.normaliser.fit_numbers(states, actions)
    for index, camera in enumerate(config.cameras):
        network.normaliser.fit_tokens(index, torch.randn(50, camera.patches, camera.dim))
    return network


def batch_of(network: ChunkNetwork, count: int = 5) -> dict[str, torch.Tensor]:
    config = network.config
    K = config.network.chunk
    batch = {
        f"{kind}/{i}": torch.randn(count, camera.patches, camera.dim)
        for kind in ("tokens", "goal")
        for i, camera in enumerate(config.cameras)
    }
    action = 0.3 * torch.randn(count, K, 3) + 1
    action[..., 2] = torch.randint(0, 2, (count, K)) * 2.0 - 1
    return batch | {
        "state": torch.randn(count, config.network.state_history, 2),
        "task": torch.randint(0, 2, (count,)),
        "action": action,
        "valid": torch.arange(K) < torch.randint(1, K + 1, (count, 1)),
        "weight": torch.rand(count, K, 3) + 0.1,
    }


def test_the_source_head_has_its_size():
    net = PRESETS["source-head"]
    config = ChunkConfig((CameraInput("agentview", 64, 1408),), 7, 15, net, goals=1)
    network = ChunkNetwork(config)
    assert network.place.shape == (64 + 64 + 4, 512) and network.trunk.queries.shape == (50, 512)
    assert (net.layers, net.heads, net.feedforward) == (4, 8, 2048)
    assert count_parameters(network) == 19_188_487
    batch = {
        "tokens/0": torch.randn(1, 64, 1408),
        "goal/0": torch.randn(1, 64, 1408),
        "state": torch.randn(1, 5, 15),
    }
    assert network.eval().predict(batch).shape == (1, 50, 7)


def test_the_default_is_small():
    cameras = tuple(CameraInput(name, 16, 192) for name in ("front", "wrist"))
    network = ChunkNetwork(ChunkConfig(cameras, 4, 4, tasks=tuple(map(str, range(10)))))
    assert 0.5e6 < count_parameters(network) < 2e6


def test_a_preset_keeps_what_is_asked_for():
    changed = preset("source-head", NetworkConfig(head="flow", layers=3))
    assert (changed.head, changed.layers, changed.width, changed.goal) == ("flow", 3, 512, True)


def test_the_weighted_mean_is_that_of_a_loop():
    torch.manual_seed(1)
    error, weight = torch.rand(3, 5, 2), torch.rand(3, 5, 2)
    lengths = [5, 1, 3]
    valid = torch.arange(5) < torch.tensor(lengths)[:, None]
    total = share = 0.0
    for b, length in enumerate(lengths):
        for k in range(length):
            for a in range(2):
                total += float(error[b, k, a] * weight[b, k, a])
                share += float(weight[b, k, a])
    assert float(weighted_mean(error, valid, weight)) == pytest.approx(total / share, rel=1e-5)


@pytest.mark.parametrize(("head", "trunk"), TRUNKS)
def test_what_lies_beyond_the_end_of_an_episode_teaches_nothing(head, trunk):
    network = tiny(head, trunk=trunk)
    batch = batch_of(network)
    other = batch["action"].clone()
    other[~batch["valid"]] += 7.0
    losses = []
    for action in (batch["action"], other):
        torch.manual_seed(3)
        losses.append(float(network({**batch, "action": action})[0]))
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)
    other = batch["action"].clone()
    other[:, 0, :2] += 7.0
    torch.manual_seed(3)
    assert float(network({**batch, "action": other})[0]) > losses[0] + 0.1


def test_the_loss_of_each_number():
    network = tiny()
    chunk, target = torch.randn(2, 4, 3), torch.rand(2, 4, 3).round()
    found = network.error(chunk, target)
    torch.testing.assert_close(found[..., :2], (chunk - target).abs()[..., :2])
    p = 1 / (1 + np.exp(-chunk[..., 2].double().numpy()))
    t = target[..., 2].double().numpy()
    expected = -(t * np.log(p) + (1 - t) * np.log(1 - p))
    np.testing.assert_allclose(found[..., 2].numpy(), expected, rtol=1e-4)


def test_the_target_of_flow_matching(monkeypatch):
    network = tiny("flow")
    batch = batch_of(network, 64)
    seen = {}

    def still(context, chunk, time, valid):
        seen.update(chunk=chunk, time=time)
        return torch.zeros_like(chunk)

    monkeypatch.setattr(network, "velocity", still)
    target = network.normaliser.action(batch["action"])
    error = network.flow_error(batch, target)
    goal = network.to_flow(target)
    # Where nothing moves, the squared error is that of the way itself, from noise to actions.
    way = (goal - seen["chunk"]) / (1 - seen["time"])[:, None, None]
    torch.testing.assert_close(error, way.square(), rtol=1e-3, atol=1e-3)
    assert set(goal[..., 2].unique().tolist()) == {-1.0, 1.0}
    assert float(seen["time"].min()) >= 0 and float(seen["time"].mean()) < 0.5


@pytest.mark.parametrize("keypoints", [0, 5])
@pytest.mark.parametrize(("head", "trunk"), TRUNKS)
def test_learns_a_few_chunks_by_heart(head, trunk, keypoints):
    network = tiny(head, trunk=trunk, chunk=3, width=32, keypoints=keypoints)
    batch = batch_of(network, 6)
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-2)
    many = {k: v.repeat_interleave(8 if head == "flow" else 1, 0) for k, v in batch.items()}
    for _ in range(200 if head == "flow" else 120):
        loss, _ = network(many)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    network.eval()
    chunk = network.predict(batch, torch.Generator().manual_seed(0))
    far = (chunk - batch["action"]).abs()[batch["valid"]].mean()
    still = (batch["action"] - batch["action"].mean((0, 1))).abs()[batch["valid"]].mean()
    assert float(far) < 0.35 * float(still)
    assert set(chunk[..., 2].unique().tolist()) <= {-1.0, 1.0}


@pytest.mark.parametrize(("head", "trunk"), TRUNKS)
def test_actions_that_are_decided_already_stay(head, trunk):
    network = tiny(head, trunk=trunk).eval()
    batch = batch_of(network, 2)
    frozen = batch["action"][:, :2]
    chunk = network.predict(batch, torch.Generator().manual_seed(0), frozen)
    torch.testing.assert_close(chunk[:, :2], frozen)
    free = network.predict(batch, torch.Generator().manual_seed(0))
    assert (head == "flow") == (not torch.equal(free[:, 2:], chunk[:, 2:]))


def test_blind_does_not_see_and_the_task_and_goal_are_read():
    network = tiny(goal=True).eval()
    batch = batch_of(network)
    plain = network.predict(batch)
    for key in ("tokens/1", "goal/0", "state"):
        other = network.predict({**batch, key: torch.randn_like(batch[key])})
        assert not torch.allclose(other, plain), key
    assert not torch.allclose(network.predict({**batch, "task": 1 - batch["task"]}), plain)
    network.blind = True
    blind = network.predict(batch)
    other = {k: torch.randn_like(v) if k[:4] in ("toke", "goal") else v for k, v in batch.items()}
    assert torch.equal(network.predict(other), blind)


def test_noise_has_the_norm_that_was_asked_for():
    for tokens, typical in (("l2", 1.0), ("standardise", 192**0.5)):
        config = ChunkConfig(
            (CameraInput("front", 16, 192),), 2, 0, NetworkConfig(tokens=tokens, width=32)
        )
        network = ChunkNetwork(config).train()
        seen = torch.randn(64, 16, 192)
        clean = network.normaliser.tokens(0, seen)
        network.noise = 0.05
        batch = {"tokens/0": seen}
        norm = (network._visual(0, batch, "tokens") - clean).norm(dim=-1).mean()
        assert float(norm) == pytest.approx(0.05 * typical, rel=0.02)
        network.eval()
        assert torch.equal(network._visual(0, batch, "tokens"), clean)


def test_a_rotation_near_half_a_turn_does_not_jump():
    truth = Rotation.from_rotvec(
        [(np.pi + 0.3 * np.sin(t)) * np.array([0.6, 0.8, 0.02 * t]) for t in np.linspace(0, 6, 60)]
    )
    told = torch.tensor(truth.as_rotvec(), dtype=torch.float32)  # shortest: the sign flips
    assert float((told[1:] - told[:-1]).norm(dim=1).max()) > 3
    reference = rotation_reference(told)
    smooth = canonical_rotation(told, reference)
    assert float((smooth[1:] - smooth[:-1]).norm(dim=1).max()) < 0.2
    again = Rotation.from_rotvec(smooth.double().numpy())
    assert (again.inv() * truth).magnitude().max() < 1e-5


def test_small_rotations_stay_and_long_ones_are_wrapped():
    small = 0.4 * torch.randn(40, 3).clamp(-1, 1)
    assert not rotation_reference(small).any()
    torch.testing.assert_close(canonical_rotation(small, torch.zeros(3)), small)
    long = torch.tensor([[0.0, 0.0, 2 * np.pi + 0.2]])
    found = canonical_rotation(long, torch.zeros(3))
    torch.testing.assert_close(found, torch.tensor([[0, 0, 0.2]]), atol=1e-5, rtol=0)


def test_numbers_that_never_moved_are_left_alone():
    network = tiny()
    normaliser = network.normaliser
    actions = torch.randn(30, 3)
    actions[:, 0], actions[:, 2] = 0.7, torch.where(torch.arange(30) < 9, 5.0, 2.0)
    normaliser.fit_numbers(torch.tensor([[3.0, 1.0], [3.0, 2.0]]).repeat(15, 1), actions)
    unit = normaliser.action(actions)
    assert set(unit[:, 2].tolist()) == {0.0, 1.0} and not unit[:, 0].any()
    torch.testing.assert_close(normaliser.denormalised(unit), actions)
    assert float(normaliser.denormalised(unit + 9)[0, 0]) == pytest.approx(0.7)
    felt = normaliser.state(torch.tensor([4.0, 1e6]))
    assert felt.tolist() == [0.0, 5.0]
    snapped = normaliser.snapped(torch.tensor([0.1, 0.2, 4.4]))
    assert snapped.tolist() == pytest.approx([0.1, 0.2, 5.0])


def test_the_ensemble_is_that_of_the_paper():
    actions = [np.array([v], np.float32) for v in (1.0, 5.0, 9.0)]  # oldest first
    weights = [np.exp(-0.3 * i) for i in range(3)]
    expected = sum(w * float(a[0]) for w, a in zip(weights, actions, strict=True)) / sum(weights)
    assert ensembled(actions, 0.3)[0] == pytest.approx(expected, rel=1e-6)
    assert ensembled(actions[:1], 0.3)[0] == 1.0


@pytest.mark.parametrize(("head", "trunk"), TRUNKS)
def test_a_checkpoint_brings_everything_back(head, trunk, tmp_path):
    network = tiny(head, trunk=trunk, goal=True).eval()
    save_network(network, tmp_path)
    again = ChunkNetwork(ChunkConfig.from_header(read_header(tmp_path))).eval()
    load_weights(again, tmp_path)
    batch = batch_of(network)
    one, two = (n.predict(batch, torch.Generator().manual_seed(1)) for n in (network, again))
    assert torch.equal(one, two) and again.config == network.config


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"chunk": 0}, "chunk is 0"),
        ({"width": 18, "heads": 4, "trunk": "transformer"}, "width of 18"),
        ({"width": 17}, "width of 17"),
        ({"dropout": 1.0}, "dropout of 1"),
        ({"keypoints": -1}, "-1 points"),
        ({"convolution": -1}, "-1 channels"),
    ],
)
def test_sizes_that_cannot_be(changes, words):
    with pytest.raises(ForesightError, match=words):
        NetworkConfig(**changes)

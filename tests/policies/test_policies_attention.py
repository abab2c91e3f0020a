"""What the actions look at: the network's own attention, and occlusion."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from foresight.core.errors import ForesightError
from foresight.policies.chunk.attention import (
    attend,
    attention_weights,
    context_parts,
    neutral_tokens,
    occlude,
)
from foresight.policies.chunk.config import ChunkConfig, NetworkConfig
from foresight.policies.chunk.network import ChunkNetwork
from foresight.worldmodel.config import CameraInput

TINY = {"width": 16, "heads": 2, "feedforward": 32, "state_hidden": (8,), "layers": 2, "chunk": 4,
        "hidden": 24, "latent": 4, "state_tokens": 2, "trunk": "transformer",
        "keypoints": 0}  # fmt: skip


def tiny(**changes) -> ChunkNetwork:
    torch.manual_seed(0)
    net = NetworkConfig(**{**TINY, **changes})
    cameras = (CameraInput("front", 1, 6), CameraInput("wrist", 4, 6))
    config = ChunkConfig(
        cameras, 3, 2, net, tasks=("push", "pull"), goals=2 if net.goal else 0
    )  # fmt: skip
    network = ChunkNetwork(config).eval()
    network.normaliser.fit_numbers(torch.randn(50, 2) + 3, torch.randn(50, 3))
    return network


def batch_of(network: ChunkNetwork, count: int) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    batch = {
        f"{kind}/{i}": torch.randn(count, camera.patches, 6, generator=generator)
        for kind in ("tokens", "goal")
        for i, camera in enumerate(network.config.cameras)
    }
    state = 3 + torch.randn(count, 1, 2, generator=generator)
    return batch | {"state": state, "task": torch.ones(count, dtype=torch.long)}


def test_weights_are_those_of_the_layer():
    torch.manual_seed(0)
    layer = nn.MultiheadAttention(24, 3, batch_first=True)
    nn.init.normal_(layer.in_proj_bias)
    query, key = torch.randn(2, 5, 24), torch.randn(2, 7, 24)
    _, expected = layer(query, key, key, need_weights=True, average_attn_weights=False)
    torch.testing.assert_close(attention_weights(layer, query, key), expected)


@pytest.mark.parametrize("head", ["l1", "flow", "cvae"])
def test_attention_of_a_network_is_what_pytorch_says(head):
    """Weights that PyTorch gives away on the same inputs, in a second pass of our own."""
    network = tiny(head=head, goal=True, flow_steps=3)
    batch, given = batch_of(network, 2), []
    layers = network.trunk.decoder
    for layer in layers:
        layer.multihead_attn.register_forward_pre_hook(lambda own, x: given.append((own, *x)))
    looked = attend(network, batch, torch.Generator().manual_seed(3))
    again = network.predict(batch, torch.Generator().manual_seed(3))
    assert torch.equal(looked.chunk, again)
    told = given[: len(given) // 2]
    each = [own(q, k, v, need_weights=True, average_attn_weights=False)[1] for own, q, k, v in told]
    steps = 3 if head == "flow" else 1
    expected = torch.stack(each).unflatten(0, (steps, len(layers))).mean(0).transpose(0, 1)
    torch.testing.assert_close(looked.weights, expected)
    parts = context_parts(network.config)
    assert looked.weights.shape[-1] == max(place.stop for place in parts.values())
    shares = {name: looked.tokens[:, place].sum(1) for name, place in parts.items()}
    torch.testing.assert_close(sum(shares.values()), torch.ones(2))
    names = ["camera/front", "camera/wrist", "goal/front", "goal/wrist", "state", "task"]
    assert list(shares) == names + ["latent"] * (head == "cvae")


def test_hooks_are_gone_afterwards():
    network = tiny()
    attend(network, batch_of(network, 1))
    assert not any(layer.multihead_attn._forward_pre_hooks for layer in network.trunk.decoder)


def test_residual_layers_have_no_attention():
    network = tiny(trunk="mlp")
    with pytest.raises(ForesightError, match="no attention over patches: ask for occlusion"):
        attend(network, batch_of(network, 1))


@pytest.mark.parametrize("head", ["l1", "flow"])
@pytest.mark.parametrize(("trunk", "keypoints"), [("mlp", 0), ("transformer", 0), ("mlp", 3)])
def test_occlusion_is_the_change_without_a_patch(trunk, keypoints, head):
    network = tiny(trunk=trunk, head=head, keypoints=keypoints)
    network.normaliser.action_scale.copy_(torch.tensor([1.0, 2.0, 0.5]))
    batch = batch_of(network, 1)
    found = occlude(network, batch, torch.Generator().manual_seed(3))

    def predicted(changed):
        return network.predict(changed, torch.Generator().manual_seed(3))

    torch.testing.assert_close(found.chunk, predicted(batch), atol=1e-5, rtol=1e-5)
    changes = []
    for i, camera in enumerate(network.config.cameras):
        for place in range(camera.patches):  # what is zero once standardised
            dark = batch[f"tokens/{i}"].clone()
            dark[:, place] = network.normaliser.get_buffer(f"token_mean_{i}")[place]
            changes.append(predicted({**batch, f"tokens/{i}": dark}))
    still = network.normaliser.state_mean.expand(1, 1, 2)
    changes.append(predicted({**batch, "state": still}))
    scale = network.normaliser.action_scale
    sizes = torch.stack([((c - found.chunk) / scale).abs().mean() for c in changes])
    shares = torch.cat([found.tokens[0, :5], found.tokens[0, 5:7].sum()[None]])
    torch.testing.assert_close(shares / shares.sum(), sizes / sizes.sum(), atol=1e-4, rtol=1e-3)
    torch.testing.assert_close(found.tokens.sum(), torch.tensor(1.0))


def test_what_a_blind_policy_is_shown_has_no_share():
    network = tiny(trunk="mlp")
    network.blind = True
    found = occlude(network, batch_of(network, 1)).tokens[0]
    assert not found[:5].any() and (found[5:] > 0).all()
    assert network.blind


def test_a_neutral_task_is_the_mean_of_all():
    network = tiny()
    batch = batch_of(network, 1)
    each = [network.tokens({**batch, "task": torch.tensor([t])})[0, -1] for t in range(2)]
    torch.testing.assert_close(neutral_tokens(network, batch)[0, -1], sum(each) / 2)

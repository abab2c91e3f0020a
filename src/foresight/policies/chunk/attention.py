"""What the actions of a chunk look at: the decoder's own cross-attention, or occlusion."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from foresight.core.errors import ForesightError
from foresight.policies.chunk.config import ChunkConfig
from foresight.policies.chunk.network import Batch, ChunkNetwork
from foresight.policies.chunk.trunks import AttentionTrunk


@dataclass(frozen=True)
class Looked:
    """A decision and what it looked at.

    Attributes:
        chunk: ``[B, K, A]`` in the robot's units.
        tokens: ``[B, N]``, share of each patch or other part of the context, as `context_parts`
            counts them; they sum to 1.
        weights: ``[B, L, H, K, N]`` of a transformer's attention: of decoder layer, head and action
            query; they sum to 1 over N. Of ``flow``, the mean over its steps. None of occlusion.
    """

    chunk: Float[Tensor, "B K A"]
    tokens: Float[Tensor, "B N"]
    weights: Float[Tensor, "B L H K N"] | None = None


def context_parts(config: ChunkConfig) -> dict[str, slice]:
    """Which patches and other parts of the context are what, in its order.

    Returns:
        ``camera/NAME`` and ``goal/NAME`` of each camera, ``state``, ``task`` and ``latent``, as far
        as the policy has them.
    """
    net = config.network
    sizes = {f"camera/{camera.name}": camera.patches for camera in config.cameras}
    if net.goal:
        sizes |= {f"goal/{camera.name}": camera.patches for camera in config.cameras}
    if config.states:
        sizes["state"] = net.state_tokens
    if config.tasks:
        sizes["task"] = 1
    if net.head == "cvae":
        sizes["latent"] = 1
    return dict(_slices(sizes))


def _slices(sizes: dict[str, int]) -> Iterator[tuple[str, slice]]:
    start = 0
    for name, size in sizes.items():
        yield name, slice(start, start + size)
        start += size


def attention_weights(
    attention: nn.MultiheadAttention, query: Float[Tensor, "B K W"], key: Float[Tensor, "B N W"]
) -> Float[Tensor, "B H K N"]:
    """What a layer multiplies its values with: softmax of scaled products (Vaswani et al. 2017).

    PyTorch gives them away only on a slower path than the one that was acted on, so they are
    computed again from the layer's projections and from what it was given. No mask, no dropout.
    """
    width, heads = attention.embed_dim, attention.num_heads
    weight, bias = attention.in_proj_weight, attention.in_proj_bias
    q = nn.functional.linear(query, weight[:width], bias[:width])
    k = nn.functional.linear(key, weight[width : 2 * width], bias[width : 2 * width])
    q, k = (x.view(*x.shape[:-1], heads, width // heads).transpose(1, 2) for x in (q, k))
    return torch.softmax((q @ k.mT).float() / (width // heads) ** 0.5, dim=-1)


class _Mean:
    """The weights of one decoder layer, averaged over its calls; a hook before its attention."""

    def __init__(self) -> None:
        self.total: Tensor | None = None
        self.calls = 0

    def __call__(self, attention: Any, given: tuple[Tensor, ...]) -> None:
        found = attention_weights(attention, given[0], given[1])
        self.total = found if self.total is None else self.total + found
        self.calls += 1

    @property
    def value(self) -> Tensor:
        assert self.total is not None
        return self.total / self.calls


@torch.inference_mode()
def attend(network: ChunkNetwork, batch: Batch, generator: torch.Generator | None = None) -> Looked:
    """Decide chunks as `ChunkNetwork.predict` does, and say what they attended to.

    A token does not stand for its own place alone where the network has encoder layers: there the
    tokens have attended to each other before.

    Args:
        network: a transformer, in evaluation mode.
        batch: without actions.
        generator: of the noise that ``flow`` starts from.

    Raises:
        ForesightError: the network has no attention.
    """
    if not isinstance(network.trunk, AttentionTrunk) or network.config.network.keypoints:
        raise ForesightError(
            "This policy has no attention over patches: ask for occlusion, or train with "
            "--chunk.preset transformer."
        )
    layers = network.trunk.decoder
    means = [_Mean() for _ in layers]
    with ExitStack() as hooks:
        for layer, mean in zip(layers, means, strict=True):
            attention: Any = layer.multihead_attn
            hooks.callback(attention.register_forward_pre_hook(mean).remove)
        chunk = network.predict(batch, generator)
    weights = torch.stack([mean.value for mean in means], dim=1)
    return Looked(chunk, weights.mean((1, 2, 3)), weights)


@torch.inference_mode()
def occlude(
    network: ChunkNetwork, batch: Batch, generator: torch.Generator | None = None
) -> Looked:
    """Decide a chunk, and say how much each patch changes it when it is taken away.

    One at a time, patches become zero (as for a blind policy), the robot's own numbers become
    their mean and the task becomes the mean of all tasks. A patch's share is the mean absolute
    change of the chunk, in deviations of the actions, divided by the sum over all; 0 where nothing
    changes anything. What several tokens tell alike seems less important than it is (Zeiler &
    Fergus 2014, occlusion).

    Args:
        network: with any trunk, in evaluation mode.
        batch: of one observation, without actions.
        generator: of the noise that ``flow`` starts from; the same for all.
    """
    parts = context_parts(network.config)
    groups, size = list(_groups(parts)), max(part.stop for part in parts.values())
    told = {name: value.repeat(1 + len(groups), *[1] * (value.dim() - 1)) for name, value in
            batch.items()}  # fmt: skip
    taken = torch.zeros(1 + len(groups), size, dtype=torch.bool)
    for row, group in enumerate(groups, start=1):
        taken[row, group] = True
    for index, camera in enumerate(network.config.cameras):
        for kind, name in (("tokens", "camera"), ("goal", "goal")):
            if (place := parts.get(f"{name}/{camera.name}")) is not None:
                told[f"covered/{kind}/{index}"] = taken[:, place]
    rows = network.tokens(told)
    without, beyond = neutral_tokens(network, batch), rows.shape[1] - size
    for name, place in parts.items():  # of what is no picture, the tokens themselves
        if not name.startswith(("camera/", "goal/")):
            here = slice(place.start + beyond, place.stop + beyond)
            rows[:, here] = torch.where(taken[:, place, None], without[:, here], rows[:, here])
    noise = network.draw(1, generator)
    noise = None if noise is None else noise.expand(len(rows), -1, -1)
    chunks = network.decide(network.trunk.read(rows), noise)
    scaled = network.normaliser.action(chunks)
    change = (scaled[1:] - scaled[:1]).abs().mean((1, 2))
    shares = rows.new_zeros(size)
    for group, value in zip(groups, change, strict=True):
        shares[group] = value / (group.stop - group.start)
    return Looked(chunks[:1], (shares / shares.sum().clamp(min=1e-12))[None])


def neutral_tokens(network: ChunkNetwork, batch: Batch) -> Float[Tensor, "1 N W"]:
    """Tokens that tell nothing: no pictures, the mean state, the mean of all tasks."""
    config, before = network.config, network.blind
    told = dict(batch)
    if config.states:
        told["state"] = network.normaliser.state_mean.expand_as(batch["state"])
    network.blind = True
    try:
        count = max(1, len(config.tasks))
        each = [
            network.tokens({**told, "task": torch.full_like(batch["task"], task)})
            if config.tasks
            else network.tokens(told)
            for task in range(count)
        ]
    finally:
        network.blind = before
    return torch.stack(each).mean(0)


def _groups(parts: dict[str, slice]) -> Iterator[slice]:
    """What is taken away together: visual tokens one by one, what is no picture as a whole."""
    for name, place in parts.items():
        if name.startswith(("camera/", "goal/")):
            yield from (slice(i, i + 1) for i in range(place.start, place.stop))
        elif name != "latent":  # acting knows no latent but 0
            yield place

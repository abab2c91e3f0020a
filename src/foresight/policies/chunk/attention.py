"""Where the actions of a chunk look: the decoder's own cross-attention."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from foresight.policies.chunk.config import ChunkConfig
from foresight.policies.chunk.network import Batch, ChunkNetwork


@dataclass(frozen=True)
class Looked:
    """A decision and where it looked.

    Attributes:
        chunk: ``[B, K, A]`` in the robot's units.
        weights: ``[B, L, H, K, N]``: of decoder layer, head and action query, over the N tokens of
            the context; they sum to 1 over N. Of ``flow``, the mean over its steps.
        parts: which tokens are what, see `context_parts`.
    """

    chunk: Float[Tensor, "B K A"]
    weights: Float[Tensor, "B L H K N"]
    parts: dict[str, slice]

    @property
    def tokens(self) -> Float[Tensor, "B N"]:
        """Mean over layers, heads and queries: the share of each token, 1 in all."""
        return self.weights.mean((1, 2, 3))

    def shares(self) -> dict[str, Float[Tensor, " B"]]:
        """Of each part of the context, all its tokens together; 1 in all."""
        tokens = self.tokens
        return {name: tokens[:, place].sum(1) for name, place in self.parts.items()}


def context_parts(config: ChunkConfig) -> dict[str, slice]:
    """Which tokens of the context are what, in its order.

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
    q, k = (x.unflatten(-1, (heads, width // heads)).transpose(1, 2) for x in (q, k))
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
def look(
    network: ChunkNetwork, batch: Batch, generator: torch.Generator | None = None
) -> Looked:
    """Decide chunks as `ChunkNetwork.predict` does, and say where they looked.

    What a token holds is not its own place alone where the network has encoder layers: there the
    tokens have attended to each other before.

    Args:
        network: in evaluation mode.
        batch: without actions.
        generator: of the noise that ``flow`` starts from.
    """
    means = [_Mean() for _ in network.decoder]
    with ExitStack() as hooks:
        for layer, mean in zip(network.decoder, means, strict=True):
            handle = layer.multihead_attn.register_forward_pre_hook(mean)  # type: ignore[union-attr]
            hooks.callback(handle.remove)
        chunk = network.predict(batch, generator)
    weights = torch.stack([mean.value for mean in means], dim=1)
    return Looked(chunk, weights, context_parts(network.config))

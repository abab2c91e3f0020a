"""The recurrent state-space model (PlaNet, DreamerV2 and V3): GRU, categorical latents, a prior."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional

from foresight.worldmodel.mlp import MLP
from foresight.worldmodel.rssm.config import RSSMConfig

UNIMIX = 0.01
"""Share of the uniform distribution in every categorical, so that none is ever sure."""


def perceptron(inputs: int, hidden: int, outputs: int) -> MLP:
    """One LayerNorm-SiLU layer and a linear one."""
    return MLP(
        nn.Linear(inputs, hidden), nn.LayerNorm(hidden), nn.SiLU(), nn.Linear(hidden, outputs)
    )


def log_probabilities(logits: Float[Tensor, "*batch G C"]) -> Float[Tensor, "*batch G C"]:
    """Of categoricals with `UNIMIX` of the uniform distribution in them."""
    even = UNIMIX / logits.shape[-1]
    return ((1 - UNIMIX) * logits.softmax(-1) + even).log()


def drawn(
    log_probability: Float[Tensor, "*batch G C"], chance: Float[Tensor, "*batch G"]
) -> Int[Tensor, "*batch G"]:
    """A value of each categorical, from uniform numbers in [0, 1)."""
    summed = log_probability.exp().cumsum(-1)
    return (summed < chance[..., None] * summed[..., -1:]).sum(-1).clamp(max=summed.shape[-1] - 1)


@dataclass(frozen=True)
class Path:
    """States of B windows of T steps.

    Attributes:
        features: what heads read, ``[B, T, Z]``.
        posterior: log probabilities of the latents with the input known.
        prior: those without.
    """

    features: Float[Tensor, "B T Z"]
    posterior: Float[Tensor, "B T G C"]
    prior: Float[Tensor, "B T G C"]


class RSSM(nn.Module):
    """h' = GRU(h, z, a); z ~ prior(h) in dreams, z ~ posterior(h, x) where the input is known.

    All that reads z does so through one linear map shared by all: with G·C numbers, that of every
    reader of its own would be most of the model.

    Args:
        config: sizes.
    """

    def __init__(self, config: RSSMConfig) -> None:
        super().__init__()
        sizes = self.sizes = config.sizes
        self.width = sizes.groups * sizes.classes
        self.code = nn.Parameter(torch.randn(self.width, sizes.hidden) / sizes.groups**0.5)
        self.moved = perceptron(sizes.hidden + config.actions, sizes.hidden, 3 * sizes.deter)
        self.kept = nn.Linear(sizes.deter, 3 * sizes.deter, bias=False)
        self.norm = nn.LayerNorm(3 * sizes.deter)
        self.foretell = perceptron(sizes.deter, sizes.hidden, self.width)
        self.judge = perceptron(sizes.deter + sizes.hidden, sizes.hidden, self.width)
        self.offsets: Int[Tensor, " G"]
        offsets = torch.arange(sizes.groups) * sizes.classes
        self.register_buffer("offsets", offsets, persistent=False)

    def start(self, count: int) -> Float[Tensor, "N Z"]:
        """Features before anything was seen or done."""
        return self.code.new_zeros(count, self.sizes.deter + self.sizes.hidden)

    def advance(
        self, features: Float[Tensor, "*batch Z"], action: Float[Tensor, "*batch A"]
    ) -> Float[Tensor, "*batch D"]:
        """The recurrent state after an action in [-1, 1]."""
        before, read = features.split([self.sizes.deter, self.sizes.hidden], -1)
        gates = self.norm(self.moved(read, action) + self.kept(before))
        reset, fresh, update = gates.chunk(3, -1)
        update = torch.sigmoid(update - 1)  # a new state keeps most of what it knows
        return torch.lerp(before, torch.tanh(torch.sigmoid(reset) * fresh), update)

    def prior(self, deter: Float[Tensor, "*batch D"]) -> Float[Tensor, "*batch G C"]:
        """Log probabilities of the latents, unseen."""
        return self._latents(self.foretell(deter))

    def posterior(
        self, deter: Float[Tensor, "*batch D"], seen: Float[Tensor, "*batch E"]
    ) -> Float[Tensor, "*batch G C"]:
        """Log probabilities of the latents, given the input's embedding."""
        return self._latents(self.judge(deter, seen))

    def _latents(self, raw: Float[Tensor, "*batch GC"]) -> Float[Tensor, "*batch G C"]:
        return log_probabilities(raw.unflatten(-1, (self.sizes.groups, self.sizes.classes)))

    def features(
        self,
        deter: Float[Tensor, "*batch D"],
        log_probability: Float[Tensor, "*batch G C"],
        chance: Float[Tensor, "*batch G"],
    ) -> Float[Tensor, "*batch Z"]:
        """A latent drawn and read; gradients pass straight through the draw (DreamerV2)."""
        index = drawn(log_probability.detach(), chance)
        if torch.is_grad_enabled() and log_probability.requires_grad:
            odds = log_probability.exp()
            hot = functional.one_hot(index, self.sizes.classes).to(odds)
            read = (hot + odds - odds.detach()).flatten(-2) @ self.code
        else:  # a sum of rows is the same product
            rows = (index + self.offsets).flatten(0, -2)
            read = functional.embedding_bag(rows, self.code, mode="sum")
            read = read.unflatten(0, index.shape[:-1])
        return torch.cat([deter, read], -1)

    def observe(
        self,
        seen: Float[Tensor, "B T E"],
        actions: Float[Tensor, "B T-1 A"],
        known: Bool[Tensor, "B T"],
        chance: Float[Tensor, "B T G"],
    ) -> Path:
        """States of windows whose beginning is taken for an episode's.

        Args:
            seen: embeddings of the inputs.
            actions: what was done between them, in [-1, 1].
            known: which inputs there are; elsewhere the prior stands for the posterior.
            chance: uniform numbers, which decide the latents.
        """
        features, everything = self.start(len(seen)), list[tuple[Tensor, ...]]()
        deter = features[:, : self.sizes.deter]
        for step in range(seen.shape[1]):
            if step:
                deter = self.advance(features, actions[:, step - 1])
            posterior = self.posterior(deter, seen[:, step])
            if not known[:, step].all():
                there = known[:, step, None, None]
                posterior = torch.where(there, posterior, self.prior(deter))
            features = self.features(deter, posterior, chance[:, step])
            everything.append((features, posterior))
        path, posterior = (torch.stack(part, 1) for part in zip(*everything, strict=True))
        return Path(path, posterior, self.prior(path[..., : self.sizes.deter]))

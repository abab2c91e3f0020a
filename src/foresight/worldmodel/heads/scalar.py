"""Heads that give one number for a state: reward and value, by regression or two-hot bins."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from foresight.core.errors import ForesightError
from foresight.worldmodel.dynamics.stacked import stack, unstack
from foresight.worldmodel.mlp import MLP


def symlog(x: Tensor) -> Tensor:
    """``sign(x) log(1 + |x|)`` (DreamerV3; Hafner et al. 2023)."""
    return torch.sign(x) * torch.log1p(x.abs())


def symexp(x: Tensor) -> Tensor:
    """The inverse of `symlog`."""
    return torch.sign(x) * torch.expm1(x.abs())


BINS = 51
SURE = 10.0
"""Logit of the bin that a fresh unbiased head chooses."""
ROUNDING = 1e-3
"""Share by which a reward may leave the usual range."""


class TwoHot(nn.Module):
    """Numbers as weights on two neighbouring bins, evenly spaced in symlog (DreamerV3, TD-MPC2).

    Decoding an encoded number gives it back. What lies between several bins is their mean in symlog
    space (TD-MPC2), by which an even chance of 0 and 190 is worth 13, or with `unbiased` the mean
    of the numbers that they stand for (DreamerV3's last edition), 95.

    Args:
        bins: how many.
        low: symlog of the smallest number; smaller ones are taken for it.
        high: symlog of the largest.
        unbiased: as above.
    """

    centres: Float[Tensor, " bins"]

    def __init__(self, bins: int, low: float, high: float, unbiased: bool = False) -> None:
        super().__init__()
        if bins < 2 or low >= high:
            raise ForesightError(
                f"{bins} bins from {low} to {high} hold no number: choose at least 2, ascending."
            )
        self.low, self.high, self.bins, self.unbiased = low, high, bins, unbiased
        spaced = torch.linspace(low, high, bins)
        self.register_buffer("centres", symexp(spaced) if unbiased else spaced, persistent=False)

    def encode(self, x: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch bins"]:
        """Weights that sum to 1."""
        place = (symlog(x).clamp(self.low, self.high) - self.low) / (self.high - self.low)
        place = place * (self.bins - 1)
        below = place.floor().clamp(max=self.bins - 2)
        index = below.long()[..., None]
        share = (place - below)[..., None]
        if self.unbiased:
            ends = self.centres.to(x)
            left, right = ends[index], ends[index + 1]
            share = ((x[..., None] - left) / (right - left)).clamp(0, 1)
        out = torch.zeros(*x.shape, self.bins, device=x.device, dtype=x.dtype)
        return out.scatter(-1, index, 1 - share).scatter(-1, index + 1, share)

    def decode(self, logits: Float[Tensor, "*batch bins"]) -> Float[Tensor, "*batch"]:
        """The number that logits stand for."""
        mean = (logits.softmax(-1) * self.centres.to(logits)).sum(-1)
        return mean if self.unbiased else symexp(mean)

    @property
    def nothing(self) -> int:
        """The bin nearest to 0."""
        return int(self.centres.abs().argmin())

    def loss(
        self, logits: Float[Tensor, "*batch bins"], target: Float[Tensor, "*batch"]
    ) -> Float[Tensor, "*batch"]:
        """Cross-entropy to the two-hot target."""
        return -(self.encode(target) * logits.log_softmax(-1)).sum(-1)


@dataclass(frozen=True)
class ScalarConfig:
    """Shape of a reward or value head."""

    kind: Literal["twohot", "mse"] = "twohot"
    """twohot: cross-entropy on symlog bins, robust to the scale; mse: plain regression."""
    hidden: int = 256
    """Width."""
    layers: int = 2
    """Hidden layers."""
    members: int = 1
    """Heads side by side, as one batched product."""
    bins: int = 101
    """Bins of twohot."""
    low: float = -10.0
    """symlog of the smallest number that twohot can give."""
    high: float = 10.0
    """symlog of the largest."""
    unbiased: bool = False
    """Whether an uncertain number is the mean of what it may be (`TwoHot`)."""


def bins_for(lowest: float, highest: float, hidden: int) -> ScalarConfig:
    """A two-hot head for numbers between these, with some room, and 0 on a bin.

    Nothing is what most states earn; a fifth of the bins lies on each side of it, at least.
    """
    down, up = (float(symlog(torch.tensor(float(x)))) * 1.1 for x in (-lowest, highest))
    if down <= 0:
        return ScalarConfig(hidden=hidden, bins=BINS, low=-0.25 * up, high=up)
    gaps = BINS - 1
    below = min(max(round(gaps * down / (down + max(up, 0))), gaps // 5), gaps - gaps // 5)
    width = max(down / below, up / (gaps - below))
    return ScalarConfig(hidden=hidden, bins=BINS, low=-below * width, high=(gaps - below) * width)


def reward_range(rewards: Float[Tensor, " n"], repeat: int) -> tuple[float, float] | None:
    """What the bins of a model have to cover to learn from such rewards.

    Four times what was seen: an agent may do much better, or worse, than whoever acted first, and
    where bins lie evenly in symlog that costs few of them.

    Args:
        rewards: of decisions.
        repeat: environment steps of a decision.

    Returns:
        Smallest and largest; None where 0 to ``repeat`` will do, as for tasks of dm_control.
    """
    if not len(rewards):
        return None
    low, high = float(rewards.min()), float(rewards.max())
    if low >= -ROUNDING * repeat and high <= (1 + ROUNDING) * repeat:
        return None
    return min(4 * low, 0.0), max(4 * high, float(repeat))


class ScalarHead(nn.Module):
    """``r(z, a)`` or ``V(z)``: LayerNorm-SiLU layers and a last one that starts at zero.

    Like `RewardModel`, ``head(z, a)`` gives ``[...]``; with several members ``[M, ...]``.

    Args:
        latent: Z.
        actions: A for a reward, 0 for a value.
        config: shape.
    """

    def __init__(self, latent: int, actions: int = 0, config: ScalarConfig | None = None) -> None:
        super().__init__()
        self.config = config or ScalarConfig()
        self.latent, self.actions, self.members = latent, actions, self.config.members
        if self.members < 1 or self.config.kind not in ("twohot", "mse"):
            raise ForesightError(
                f"A head of kind {self.config.kind!r} with {self.members} members cannot be built: "
                "choose twohot or mse and at least 1 member."
            )
        shape = self.config
        self.code = TwoHot(shape.bins, shape.low, shape.high, shape.unbiased)
        networks = [self._build() for _ in range(self.members)]
        self.net = stack(networks) if self.members > 1 else networks[0]

    def _build(self) -> MLP:
        shape, width = self.config, self.latent + self.actions
        blocks: list[nn.Module] = []
        for _ in range(shape.layers):
            blocks += [nn.Linear(width, shape.hidden), nn.LayerNorm(shape.hidden), nn.SiLU()]
            width = shape.hidden
        last = nn.Linear(width, shape.bins if shape.kind == "twohot" else 1)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        if shape.kind == "twohot" and shape.unbiased:
            # All bins alike would be worth their mean, far from the nothing that most states earn.
            last.bias.data[self.code.nothing] = SURE
        return MLP(*blocks, last)

    def raw(self, z: Tensor, action: Tensor | None = None) -> Tensor:
        """Logits or the number, ``[..., bins or 1]``, with members in front if there are several.

        Raises:
            ForesightError: an action is missing, or given to a value.
        """
        if (action is None) == (self.actions > 0):
            raise ForesightError(
                f"This head takes {self.actions} actions beside the state and got "
                f"{0 if action is None else action.shape[-1]}: give what it was built for."
            )
        dtype, given = (
            next(self.net.parameters()).dtype,
            [z] if action is None else [z, action.to(z)],
        )
        parts = [part.to(dtype) for part in given]
        if self.members > 1:
            parts = [part.expand(self.members, *part.shape) for part in parts]
        return self.net(*parts)

    def forward(
        self, z: Float[Tensor, "*batch Z"], action: Float[Tensor, "*batch A"] | None = None
    ) -> Float[Tensor, "*batch"] | Float[Tensor, " M *batch"]:
        """The predicted number, in the dtype of ``z``."""
        raw = self.raw(z, action)
        value = self.code.decode(raw.float()) if self.config.kind == "twohot" else raw.squeeze(-1)
        return value.to(z.dtype)

    def errors(
        self,
        z: Float[Tensor, "*batch Z"],
        target: Float[Tensor, "*batch"],
        action: Float[Tensor, "*batch A"] | None = None,
    ) -> Float[Tensor, "*batch"] | Float[Tensor, " M *batch"]:
        """Cross-entropy or squared error of each prediction, by every member."""
        raw = self.raw(z, action)
        target = target.expand(raw.shape[:-1]).to(raw.dtype)
        if self.config.kind == "twohot":
            return self.code.loss(raw, target)
        return functional.mse_loss(raw.squeeze(-1), target, reduction="none")

    def loss(
        self,
        z: Float[Tensor, "*batch Z"],
        target: Float[Tensor, "*batch"],
        action: Float[Tensor, "*batch A"] | None = None,
    ) -> Float[Tensor, ""]:
        """Mean cross-entropy or squared error; members add up, so each learns as if alone."""
        return self.members * self.errors(z, target, action).mean()

    def member(self, index: int) -> ScalarHead:
        """A single head with the weights of one member."""
        if not 0 <= index < self.members:
            raise ForesightError(
                f"There is no member {index}: the head has the members 0 to {self.members - 1}."
            )
        config = ScalarConfig(**{**vars(self.config), "members": 1})
        single = ScalarHead(self.latent, self.actions, config)
        if self.members == 1:
            single.load_state_dict(self.state_dict())
        else:
            unstack(self.net, index, single.net)
        return single.to(next(self.parameters())).train(self.training)

"""An actor and a critic that learn in a world model's imagination, without a real step.

Dreamer's way (Hafner et al. 2020, arXiv 1912.01603; 2023, arXiv 2301.04104) on an ensemble:
λ-returns of dreams from replayed states, a two-hot critic with a slow target, returns normalised by
their percentiles, and what MOPO and MOReL do against dreams that the members disagree about
(`foresight.training.doubt`).
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from foresight.core.errors import ForesightError
from foresight.perception.encoder import default_dtype
from foresight.training.doubt import Doubt, disagreement, expect_dreamable, own_member, stepped
from foresight.training.replay import Replay
from foresight.training.returns import Spread, lambda_returns
from foresight.worldmodel.heads.prior import ActionPrior
from foresight.worldmodel.heads.scalar import ScalarHead, bins_for, symexp
from foresight.worldmodel.mlp import MLP
from foresight.worldmodel.model import WorldModel

EXPLODED = 10.0
"""Returns beyond so many times what the data says can be earned are no returns."""


@dataclass(frozen=True)
class ImaginationConfig:
    """How an actor learns in imagination."""

    batch: int = 64
    """Dreams of an update."""
    horizon: int = 10
    """Decisions of a dream; 5 to 15."""
    mixture: float = 0.95
    """λ: how much of a return is imagined, not the critic's word."""
    discount: float | None = None
    """γ of one decision; the model's if not given, .97 where it has none."""
    gradient: Literal["dynamics", "reinforce"] = "dynamics"
    """dynamics: the actor's gradient flows through the imagined states; reinforce: from the log
    probability of its actions, which needs no gradient of the model and more dreams."""
    start: Literal["prior", "fresh"] = "prior"
    """The actor's first weights: those of the model's action prior, where it has one, or new."""
    entropy: float = 1e-3
    """Weight of the actor's entropy, in units of the spread of returns."""
    penalty: float = 1.0
    """What the members' disagreement costs; at 1 as much, over the data, as the imagined rewards
    err."""
    quantile: float = 0.99
    """A dream is believed as long as its members disagree no more than in this share of the
    imagined data, and ends in the worst way where they do twice as much; at 1 the limit is the
    most that the data shows."""
    critic_first: int = 200
    """Updates in which the critic learns alone what the first actor is worth."""
    actor_lr: float = 3e-4
    """Adam's learning rate of the actor."""
    critic_lr: float = 1e-3
    """That of the critic."""
    tau: float = 0.02
    """Share by which the target critic moves in every update."""
    memory: float = 0.99
    """Of the running spread of returns."""
    clip: float = 10.0
    """Largest gradient norm, of the actor and of the critic apart."""

    def __post_init__(self) -> None:
        counts = {"batch": self.batch, "horizon": self.horizon}
        for name, count in counts.items():
            if count < 1:
                raise ForesightError(f"A {name} of {count} dreams nothing: choose at least 1.")
        shares = {"mixture": self.mixture, "quantile": self.quantile, "tau": self.tau}
        shares |= {"memory": self.memory}
        for name, share in shares.items():
            if not 0 <= share <= 1:
                raise ForesightError(f"A {name} of {share} is no share: choose 0 to 1.")
        positive = {"entropy": self.entropy, "penalty": self.penalty}
        positive |= {"critic_first": self.critic_first}
        for name, value in positive.items():
            if value < 0:
                raise ForesightError(f"A {name} of {value} is refused: choose 0 or more.")
        if self.discount is not None and not 0 < self.discount < 1:
            raise ForesightError(
                f"A discount of {self.discount} is refused: choose one between 0 and 1."
            )


@dataclass(frozen=True)
class Dream:
    """N dreams of H decisions.

    Attributes:
        states: ``[H+1, N, Z]``.
        noise: what the actions were drawn with, ``[H, N, A]``.
        density: their log probabilities ``[H, N]``.
        rewards: predicted ones less the penalty, and what an end in doubt costs.
        goes_on: chance that the dream goes on after a decision; 0 where it is not believed.
        belief: how far a decision is believed.
        spread: disagreement of the members.
    """

    states: Float[Tensor, "H1 N Z"]
    noise: Float[Tensor, "H N A"]
    density: Float[Tensor, "H N"]
    rewards: Float[Tensor, "H N"]
    goes_on: Float[Tensor, "H N"]
    belief: Float[Tensor, "H N"]
    spread: Float[Tensor, "H N"]


class Imagination:
    """Updates an actor and a critic in a world model that stays as it is.

    A dream begins at a replayed state and follows one member of the ensemble; the others say how
    much they would differ. An action's gradient is that of its own return, through states and
    rewards, with later actions as they are: at the best policy what these would change is nothing.

    All chance follows from the seed and the number of the update. The loop is somebody else's:
    `foresight.training.imagination_run`, or one that goes on learning the model.

    Args:
        model: gives states their futures; its weights are left alone.
        config: how.
        doubt: of this model on its data, by `measure_doubt`.
        seed: of weights, starts and noise.
    """

    def __init__(
        self, model: WorldModel, config: ImaginationConfig, doubt: Doubt, seed: int = 0
    ) -> None:
        self.model, self.config, self.doubt, self.seed = model, config, doubt, seed
        self.device = next(model.parameters()).device
        self.dtype = default_dtype(self.device)
        given = model.config.discount
        self.discount = config.discount or (given if given < 1 else 0.97)
        hidden = model.config.heads.hidden
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.actor = first_actor(model, config.start).to(self.device)
            shape = bins_for(*self.bounds, hidden)
            self.critic = ScalarHead(model.latent, 0, shape).to(self.device)
        self.target = copy.deepcopy(self.critic).requires_grad_(False)
        self.spread = Spread(config.memory, doubt.unit)
        self.noise = torch.Generator(self.device)
        groups: list[dict[str, Any]] = [
            {"params": list(self.actor.parameters()), "lr": config.actor_lr},
            {"params": list(self.critic.parameters()), "lr": config.critic_lr},
        ]
        self.optimizer = torch.optim.Adam(groups, fused=True)
        self.updates = 0

    @property
    def worst(self) -> float:
        """What a dream is worth that ends in doubt: what the worst believable one would be."""
        doubt, charged = self.doubt, 0.0
        if doubt.price and np.isfinite(doubt.limit):
            charged = self.config.penalty * doubt.price * doubt.limit
        return min(0.0, doubt.lowest - charged) / (1 - self.discount)

    @property
    def bounds(self) -> tuple[float, float]:
        """Returns that the critic can tell apart; an actor may do much better than the data."""
        most = max(4 * self.doubt.highest, 0.1 * self.doubt.unit)
        return self.worst, most / (1 - self.discount)

    def update(self, replay: Replay) -> dict[str, Tensor]:
        """Dream from replayed states once; returns detached numbers to log.

        Raises:
            ForesightError: an empty replay, or returns, losses or gradients that are not finite or
                far from what can be earned.
        """
        expect_dreamable(self.model, replay)
        random = np.random.default_rng([self.seed, self.updates])
        self.noise.manual_seed(int(random.integers(2**62)))
        windows = replay.sample((self.config.batch,), 1, random)
        return self.learn(windows.states[:, 0].to(self.device))

    def learn(self, starts: Float[Tensor, "N Z"]) -> dict[str, Tensor]:
        """An update from given states; `update` draws them."""
        acting = self.updates >= self.config.critic_first
        through = acting and self.config.gradient == "dynamics"
        with _still(self.model), self._autocast():
            with torch.set_grad_enabled(through):
                dream = self.dream(starts)
                values = self.target(dream.states).float()
                returns = lambda_returns(
                    dream.rewards, dream.goes_on, values, self.discount, self.config.mixture
                )
            self._expect_sane(returns.detach())
            alive = torch.cat([torch.ones_like(dream.goes_on[:1]), dream.goes_on[:-1]])
            weights = (self.discount * alive).cumprod(0).detach() / self.discount
            critic_loss = self._critic_loss(dream, returns.detach(), weights)
            scale = self.spread(returns.detach().flatten())
            loss = critic_loss
            if acting:
                loss = loss + self._actor_loss(dream, returns, values, weights, scale)
        self._step(loss)
        doubted = 1 - dream.belief.prod(0)
        self.updates += 1
        logs = {
            "return": returns[0].mean(),
            "reward": dream.rewards.mean(),
            "value": values[0].mean(),
            "critic": critic_loss,
            "entropy": -dream.density.mean(),
            "spread": scale,
            "disagreement": dream.spread.mean(),
            "doubted": doubted.mean(),
        }
        return {name: value.detach() for name, value in logs.items()}

    def dream(self, z: Float[Tensor, "N Z"]) -> Dream:
        """Imagine ``horizon`` decisions of the actor from each state."""
        states, every = [z], list[tuple[Tensor, ...]]()
        for _ in range(self.config.horizon):
            mean, deviation = self.actor(z.detach())
            noise = torch.randn(mean.shape, generator=self.noise, device=self.device)
            action, density = self.actor.shaped(mean, deviation, noise)
            after, *judged = self._judged(z, action)
            every.append((noise, density, *judged))
            z = own_member(after)
            states.append(z)
        parts = [torch.stack(part) for part in zip(*every, strict=True)]
        return Dream(torch.stack(states), *parts)

    def _judged(self, z: Tensor, action: Tensor) -> tuple[Tensor, ...]:
        """Next states of all members; reward, chance to go on, belief, disagreement."""
        model, config, doubt = self.model, self.config, self.doubt
        reward = model.reward_of(z, action).float()
        after = stepped(model, z, action).float()
        goes_on = torch.ones_like(reward)
        if model.continuation is not None:
            goes_on = model.continuation.probability(z, action)
        spread = disagreement(after)
        belief = doubt.belief(spread)
        reward = reward - config.penalty * doubt.price * spread
        reward = reward + self.discount * self.worst * goes_on * (1 - belief)
        return after, reward, goes_on * belief, belief, spread

    def _critic_loss(
        self, dream: Dream, returns: Float[Tensor, "H N"], weights: Float[Tensor, "H N"]
    ) -> Float[Tensor, ""]:
        raw = self.critic.raw(dream.states[:-1].detach()).float()
        return (weights * self.critic.code.loss(raw, returns)).mean()

    def _actor_loss(
        self,
        dream: Dream,
        returns: Float[Tensor, "H N"],
        values: Float[Tensor, "H1 N"],
        weights: Float[Tensor, "H N"],
        scale: Float[Tensor, ""],
    ) -> Float[Tensor, ""]:
        config, density = self.config, dream.density
        if config.gradient == "dynamics":
            # The gradient of the first return in a later action is that of this action's own
            # return. Summed over all returns, as in Dreamer, an action would also be praised for
            # what later states are worth by themselves, once for each of them.
            gain = (returns[0] / scale).mean() / len(returns)
        else:
            likely, density = scored(self.actor, dream.states[:-1].detach(), dream.noise)
            better = ((returns - values[:-1]) / scale).detach()
            gain = (weights * likely * better).mean()
        return config.entropy * (weights * density).mean() - gain

    def _step(self, loss: Float[Tensor, ""]) -> None:
        """Clipped gradients, Adam, and the target critic a little nearer.

        Raises:
            ForesightError: a loss or gradient is not finite.
        """
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        norms = [
            nn.utils.clip_grad_norm_(part.parameters(), self.config.clip)
            for part in (self.actor, self.critic)
        ]
        if not (torch.isfinite(loss) and all(map(torch.isfinite, norms))):
            raise ForesightError(
                f"Loss {float(loss.detach())} and gradients of norm "
                f"{', '.join(f'{float(norm):.3g}' for norm in norms)} at dream update "
                f"{self.updates} are not finite: lower the rates (now {self.config.actor_lr} and "
                f"{self.config.critic_lr}) or dream a shorter horizon (now {self.config.horizon})."
            )
        self.optimizer.step()
        with torch.no_grad():
            target: list[Any] = list(self.target.parameters())
            torch._foreach_lerp_(target, list(self.critic.parameters()), self.config.tau)

    def _expect_sane(self, returns: Float[Tensor, "H N"]) -> None:
        """Refuse returns that nobody could earn.

        Raises:
            ForesightError: they are not finite, or far beyond what the data shows.
        """
        most = float(returns.abs().max())
        code = self.critic.code
        earned = max(float(symexp(torch.tensor(abs(end)))) for end in (code.low, code.high))
        if not most <= EXPLODED * earned:
            raise ForesightError(
                f"Imagined returns reached {most:.3g} at dream update {self.updates}, where the "
                f"data allows {earned:.3g}: the model is not to be believed there; let dreams end "
                f"earlier (quantile, now {self.config.quantile}), shorten the horizon (now "
                f"{self.config.horizon}), or train the model again."
            )

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, self.dtype, self.dtype != torch.float32)


def scored(
    actor: ActionPrior, states: Float[Tensor, "*batch Z"], noise: Float[Tensor, "*batch A"]
) -> tuple[Float[Tensor, "*batch"], Float[Tensor, "*batch"]]:
    """What REINFORCE needs of actions that were drawn with this noise.

    Returns:
        Log probability of the actions as they are, up to what does not depend on the weights; and
        that of actions that move with the weights, whose mean is the negative entropy.
    """
    mean, deviation = actor(states)
    _, density = actor.shaped(mean, deviation, noise)
    drawn = (mean + deviation * noise).detach()
    # Squashing does not depend on the weights once the action is given.
    likely = -0.5 * ((drawn - mean) / deviation).square() - deviation.log()
    return likely.sum(-1), density


def first_actor(model: WorldModel, start: Literal["prior", "fresh"]) -> ActionPrior:
    """An actor with the prior's weights, or new ones from torch's generator that try much."""
    actor = ActionPrior(model.latent, model.config.actions, model.config.heads.hidden)
    if start == "prior" and model.prior is not None:
        actor.load_state_dict(model.prior.state_dict())
        return actor
    return actor.widen()


@contextmanager
def _still(model: WorldModel) -> Iterator[None]:
    """The networks that imagine, without gradients of their own, in the form made for updates.

    An `MLP` has a faster form in training; what it computes is the same, and its layers, dropout
    among them, stay as they are.
    """
    parts = [model.dynamics, model.reward, model.continuation]
    modules = [module for part in parts if part is not None for module in part.modules()]
    parameters = [p for part in parts if part is not None for p in part.parameters()]
    asked = [p.requires_grad for p in parameters]
    training = [module.training for module in modules]
    try:
        for parameter in parameters:
            parameter.requires_grad_(False)
        for module in modules:
            module.training = isinstance(module, MLP)
        yield
    finally:
        for parameter, before in zip(parameters, asked, strict=True):
            parameter.requires_grad_(before)
        for module, mode in zip(modules, training, strict=True):
            module.training = mode

"""Updates of the reduced Dreamer: world model, actor and critic, from one batch of windows."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from foresight.core.errors import ForesightError
from foresight.training.imagination import scored
from foresight.training.reduced_dreamer.config import DreamerConfig
from foresight.training.replay import Replay
from foresight.training.returns import Spread, lambda_returns
from foresight.worldmodel.heads.scalar import symlog
from foresight.worldmodel.rssm.agent import ReducedDreamer
from foresight.worldmodel.rssm.losses import balanced, barlow
from foresight.worldmodel.rssm.model import Path


class DreamerLearner:
    """DreamerV3's losses (Hafner et al. 2023, arXiv 2301.04104) without what replays their values.

    All chance follows from the seed and the number of the update.

    Args:
        model: trained in place.
        config: how.
        seed: of windows, latents and dreams.
    """

    def __init__(self, model: ReducedDreamer, config: DreamerConfig, seed: int = 0) -> None:
        # Without dropout there is nothing to train differently, and the form that an `MLP` has in
        # training costs more than it saves on so few rows.
        self.model, self.config, self.seed = model.eval(), config, seed
        self.target = copy.deepcopy(model.critic).requires_grad_(False)
        self.spread = Spread(config.memory, 1.0)
        self.chance = torch.Generator()
        self.parts: dict[str, list[nn.Parameter]] = {
            "world model": model.model_parameters,
            "actor": list(model.actor.parameters()),
            "critic": list(model.critic.parameters()),
        }
        rates = (config.lr, config.actor_lr, config.critic_lr)
        groups: list[dict[str, Any]] = [
            {"params": part, "lr": rate}
            for part, rate in zip(self.parts.values(), rates, strict=True)
        ]
        self.optimizer = torch.optim.Adam(groups, eps=1e-8, fused=True)
        self.updates = 0

    def update(self, replay: Replay) -> dict[str, Tensor]:
        """One step of everything; detached numbers to log.

        Args:
            replay: inputs are its ``proprio``.

        Raises:
            ForesightError: an empty replay, or a loss or gradient that is not finite.
        """
        if not replay.decisions:
            raise ForesightError("There is no episode to learn from: act first, for a round.")
        random = np.random.default_rng([self.seed, self.updates])
        self.chance.manual_seed(int(random.integers(2**62)))
        path, known, logs = self._watch(replay, random)
        self._expect_finite(logs["model-loss"])  # nothing can be dreamt otherwise
        starts = path.features.detach()[known]
        if 0 < self.config.dreams < len(starts):
            starts = starts[torch.randperm(len(starts), generator=self.chance)][
                : self.config.dreams
            ]
        logs |= self._dream(starts)
        losses = torch.stack([logs.pop(f"{name}-loss") for name in ("model", "actor", "critic")])
        self._step(losses.sum())
        self.updates += 1
        return {name: value.detach() for name, value in logs.items()}

    def _watch(
        self, replay: Replay, random: np.random.Generator
    ) -> tuple[Path, Tensor, dict[str, Tensor]]:
        """States of replayed windows, which of them were seen, and the world model's losses."""
        config, model = self.config, self.model
        windows = replay.sample((config.batch,), config.length, random)
        rows, _, _ = replay.follow(windows.rows, config.length)
        inputs, acted = replay.proprio[rows], windows.acted
        known = torch.cat([torch.ones_like(acted[:, :1]), windows.followed & acted], 1)
        seen = model.embedding(inputs)
        odds = torch.rand(*known.shape, model.config.sizes.groups, generator=self.chance)
        path = model.rssm.observe(seen, windows.actions, known, odds)
        after = path.features[:, 1:]
        dynamics, posterior = balanced(path.posterior, path.prior, config.free)
        ended = functional.binary_cross_entropy_with_logits(
            model.goes_on(after), 1 - windows.ended.float(), reduction="none"
        )
        logs = {
            "reward": _mean(model.reward.errors(after, windows.rewards), acted),
            "continuation": _mean(ended, acted),
            "dynamics": _mean(dynamics, known),
            "posterior": _mean(posterior, known),
            "representation": self._representation(
                path.features[known], inputs[known], seen[known]
            ),
        }
        weights = (1.0, 1.0, config.dynamics, config.posterior, 1.0)
        logs["model-loss"] = sum(
            (w * loss for w, loss in zip(weights, logs.values(), strict=True)), torch.zeros(())
        )
        return path, known, logs

    def _representation(
        self, features: Float[Tensor, "N Z"], inputs: Float[Tensor, "N X"], seen: Tensor
    ) -> Float[Tensor, ""]:
        """What makes states tell of inputs: reading them back, or correlation with embeddings."""
        read = self.model.readback(features)
        if self.model.config.sizes.representation == "reconstruction":
            return (read - symlog(inputs)).square().sum(-1).mean()
        # Gradients into the embedding would let it become whatever the state is.
        return self.config.barlow * barlow(read, seen.detach(), self.config.redundancy)

    def _dream(self, features: Float[Tensor, "N Z"]) -> dict[str, Tensor]:
        """Imagine from states, and the losses of actor and critic there."""
        config, model = self.config, self.model
        with torch.no_grad():
            states, noise = self._imagine(features)
            values = model.critic(states)
            rewards = model.reward(states[1:])
            goes_on = model.goes_on(states[1:]).sigmoid()
            returns = lambda_returns(rewards, goes_on, values, config.discount, config.mixture)
            alive = torch.cat([torch.ones_like(goes_on[:1]), goes_on[:-1]])
            weights = (config.discount * alive).cumprod(0) / config.discount
            scale = self.spread(returns.flatten())
            slow = self.target(states[:-1])
        likely, density = scored(model.actor, states[:-1], noise)
        gain = likely * (returns - values[:-1]) / scale - config.entropy * density
        raw, code = model.critic.raw(states[:-1]), model.critic.code
        # The slow critic holds the fast one, whose own values make the returns.
        errors = code.loss(raw, returns) + code.loss(raw, slow)
        return {
            "actor-loss": -(weights * gain).mean(),
            "critic-loss": (weights * errors).mean(),
            "dreamt-return": returns[0].mean(),
            "dreamt-reward": rewards.mean(),
            "value": values[0].mean(),
            "entropy": -density.mean(),
            "spread": scale,
        }

    def _imagine(
        self, features: Float[Tensor, "N Z"]
    ) -> tuple[Float[Tensor, "H+1 N Z"], Float[Tensor, "H N A"]]:
        """States that the actor dreams its way through, and the noise of its actions."""
        model, sizes = self.model, self.model.config.sizes
        states, drawn = [features], []
        for _ in range(self.config.horizon):
            mean, deviation = model.actor(states[-1])
            noise = torch.randn(mean.shape, generator=self.chance)
            action, _ = model.actor.shaped(mean, deviation, noise)
            deter = model.rssm.advance(states[-1], action)
            odds = torch.rand(len(deter), sizes.groups, generator=self.chance)
            states.append(model.rssm.features(deter, model.rssm.prior(deter), odds))
            drawn.append(noise)
        return torch.stack(states), torch.stack(drawn)

    def _step(self, loss: Float[Tensor, ""]) -> None:
        """Clipped gradients, Adam, and the slow critic a little nearer.

        Raises:
            ForesightError: a loss or gradient is not finite.
        """
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        norms = {
            f"gradient of the {name}": float(nn.utils.clip_grad_norm_(part, self.config.clip))
            for name, part in self.parts.items()
        }
        self._expect_finite(loss, **norms)
        self.optimizer.step()
        with torch.no_grad():
            target: list[Any] = list(self.target.parameters())
            torch._foreach_lerp_(target, list(self.model.critic.parameters()), self.config.tau)

    def _expect_finite(self, loss: Float[Tensor, ""], **norms: float) -> None:
        told = {"loss": float(loss.detach()), **norms}
        if not np.isfinite(list(told.values())).all():
            listed = ", ".join(f"{name} {value:.3g}" for name, value in told.items())
            raise ForesightError(
                f"Update {self.updates} of the reduced Dreamer is not finite ({listed}): lower the "
                f"rates (now {self.config.lr}, {self.config.actor_lr} and {self.config.critic_lr}),"
                " or look for inputs and rewards that are far too large."
            )


def _mean(each: Float[Tensor, "B T"], counted: Tensor) -> Float[Tensor, ""]:
    """Over what counts."""
    return (each * counted).sum() / counted.sum().clamp(min=1)

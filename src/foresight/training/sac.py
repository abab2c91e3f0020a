"""Soft actor-critic on frozen features, with an adapter that the critics shape."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from foresight.core.errors import ForesightError
from foresight.training.learner import Learner
from foresight.training.learner_config import LearnerConfig, SACConfig
from foresight.training.learning_parts import those
from foresight.training.replay import Replay, Windows
from foresight.worldmodel.dynamics.simnorm import GROUP
from foresight.worldmodel.model import WorldModel

SPREAD_OF = 4096
"""States whose values' spread is the unit of trust."""


class SoftActorCritic(Learner):
    """Updates what acts of a world model: adapter, two critics and the action prior, its actor.

    Soft actor-critic (Haarnoja et al. 2018, arXiv 1812.05905) with what lets values learn from
    pictures: views that are shifted at random (DrQ), before a frozen encoder (PIE-G), and returns
    of several decisions (DrQ-v2, arXiv 2107.09645). The critics are two-hot (DreamerV3); their
    gradient reaches the adapter, the actor's does not. So does that of foretelling states and
    rewards, and of the lessons that the configuration names. What imagines learns afterwards, on
    states that no longer move (`learn_model`).

    Args:
        model: trained in place.
        config: how what imagines learns.
        sac: how actor and critics learn.
        seed: of batches and noise.
    """

    def __init__(
        self, model: WorldModel, config: LearnerConfig, sac: SACConfig, seed: int = 0
    ) -> None:
        super().__init__(model, config, seed)
        if self.value is None or self.target is None:
            raise ForesightError("Soft actor-critic needs values: give the model at least two.")
        self.sac = sac
        self.log_temperature = nn.Parameter(
            torch.tensor(float(np.log(sac.temperature)), device=self.device)
        )
        self.foretelling = sac.prediction > 0 or sac.reward > 0
        imagining = (self.dynamics, self.reward) if self.foretelling else ()
        self.judging = those(model.state, self.value, *imagining, self.lessons)
        groups: list[dict[str, Any]] = [
            {"params": [*self.judging.parameters(), *self.prior.parameters()], "lr": sac.lr},
            {"params": [self.log_temperature], "lr": sac.temperature_lr},
        ]
        self.optimizer = torch.optim.Adam(groups, fused=True)

    def update(self, replay: Replay) -> dict[str, Tensor]:
        """One step of critics, actor and temperature; returns detached numbers to log.

        Raises:
            ForesightError: an empty replay, or values or a loss that are not finite.
        """
        sac, model = self.sac, self.model
        if not replay.decisions:
            raise ForesightError("There is no episode to learn from: act first, for a round.")
        assert self.value is not None and self.target is not None
        random = np.random.default_rng([self.seed, self.updates])
        assert self.noise is not None
        self.noise.manual_seed(int(random.integers(2**62)))
        windows = replay.sample((sac.batch,), sac.steps, random, see=True).to(self.device)
        last, rewards, goes_on, known = self._returns(replay, windows)
        after = replay.seen(last, random).to(self.device)
        with self._autocast():
            with torch.no_grad():
                ahead = model.encode(after)
            target = self._targets(ahead, rewards, goes_on)
            z = model.encode(windows.features)
            action = windows.actions[:, 0]
            raw = self.value.raw(z, action).float()
            each = self.value.code.loss(raw, target.expand(raw.shape[:-1])).sum(0)
            logs = {"critic": (each * known).mean()}
            loss = logs["critic"]
            if self.foretelling:
                logs |= self._foretold(z, ahead, windows)
                loss = loss + sac.prediction * logs["prediction"] + sac.reward * logs["reward"]
            if self.lessons is not None:
                self.lessons.fit(replay)  # once
                told = self.lessons.losses(z, replay, windows.rows.cpu())
                logs, loss = logs | told, loss + torch.stack(list(told.values())).sum()
        self._backward(loss, self.judging, self.optimizer, "update", self.updates)
        with self._autocast():
            actor_loss, density, value = self._actor_loss(z.detach())
        actor_loss.backward()
        nn.utils.clip_grad_norm_(self.prior.parameters(), sac.clip)
        wanted = sac.target_entropy * action.shape[-1]
        excess = (-density.detach().mean() - wanted).float()
        (self.log_temperature * excess).backward()
        self.optimizer.step()
        with torch.no_grad():
            held: list[Any] = list(self.target.parameters())
            torch._foreach_lerp_(held, list(self.value.parameters()), sac.tau)
        self.updates += 1
        return {
            **{name: number.detach() for name, number in logs.items()},
            "entropy": -density.detach().mean(),
            "temperature": self.log_temperature.detach().exp(),
            "value-estimate": value.detach().mean(),
        }

    def learn_model(self, replay: Replay, count: int) -> dict[str, float]:
        """Teach what imagines, at a falling rate, on states that no longer move.

        Each member of the dynamics learns from its own share of the episodes; the reward, and
        whether an episode goes on, from those of all.

        Args:
            replay: its states are read anew first.
            count: updates.

        Returns:
            The last losses.

        Raises:
            ForesightError: a loss is not finite.
        """

        def loss(windows: Windows) -> tuple[Tensor, dict[str, Tensor]]:
            value, _, logs = self._imagined_loss(windows)
            return value, logs

        self.refresh(replay)
        imagining = those(self.dynamics, self.reward, self.model.continuation)
        last = self._settled(replay, imagining, loss, count, self.config.member_share)
        return {f"model/{name}": value for name, value in last.items()}

    @torch.no_grad()
    def settle(self, replay: Replay) -> None:
        """Measure the spread of values, in which trust is counted, on refreshed states."""
        assert self.value is not None
        rows = torch.linspace(0, int(replay.offsets[-1]) - 1, SPREAD_OF).long()
        z = replay.states[rows].to(self.device)
        value = self.value(z, self.prior.mean_action(z)).mean(0).float()
        ends = torch.quantile(value, torch.tensor([0.05, 0.95], device=self.device))
        self.scale = (ends[1] - ends[0]).clamp(min=1.0).cpu()

    @property
    def held(self) -> dict[str, Tensor]:
        """Numbers beside the networks that a resumed training needs."""
        return {**super().held, "temperature": self.log_temperature.detach()}

    def take(self, held: Mapping[str, Tensor]) -> None:
        """Go on from these."""
        super().take(held)
        self.log_temperature.data.copy_(held["temperature"])

    def _returns(self, replay: Replay, windows: Windows) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Row that the critics are asked about, discounted rewards before it, weight of its value,
        and whether anything is known at all.

        Where an episode ran out of time before the last decision, fewer decisions are summed; where
        its task ended it, nothing follows.
        """
        steps, discount = self.sac.steps, self.model.config.discount
        rows, _, _ = replay.follow(windows.rows.cpu(), steps)
        ended = windows.ended.any(1)
        reached = (rows[:, -1] - rows[:, 0]).to(self.device)
        step = torch.arange(steps, device=self.device)
        counted = torch.where(ended[:, None], windows.acted, step < reached[:, None])
        powers = discount**step
        rewards = (windows.rewards * counted * powers).sum(1)
        goes_on = torch.where(ended, 0.0, discount ** reached.float())
        return rows[:, -1], rewards, goes_on, (ended | (reached > 0)).float()

    def _foretold(
        self, z: Float[Tensor, "B Z"], ahead: Float[Tensor, "B Z"], windows: Windows
    ) -> dict[str, Tensor]:
        """Errors of the state after all decisions of a window, and of the rewards on the way.

        Each member of the dynamics imagines a part of the batch of its own.
        """
        members = self.dynamics.members
        each = len(z) // members

        def apart(x: Tensor) -> Tensor:
            return x[: members * each].unflatten(0, (members, each))

        imagined = self.dynamics.apart(apart(z), apart(windows.actions))
        whole = apart(windows.followed).all(-1)
        error = (imagined[:, :, -1] - apart(ahead)).square().sum(-1) / GROUP
        found = {"prediction": (error * whole).mean(), "reward": z.new_zeros(())}
        if self.reward is not None:
            raw = self.reward.raw(imagined[:, :, :-1], apart(windows.actions)).float()
            errors = self.reward.code.loss(raw, apart(windows.rewards))
            found["reward"] = (errors * apart(windows.acted)).mean()
        return found

    @torch.no_grad()
    def _targets(
        self, z: Float[Tensor, "B Z"], rewards: Tensor, goes_on: Tensor
    ) -> Float[Tensor, " B"]:
        action, density = self.prior.sample(z, self.noise)
        ahead = self.target(z, action).amin(0).float()  # type: ignore[misc]
        if self.sac.bonus:
            ahead = ahead - self.log_temperature.exp() * density
        found = rewards + goes_on * ahead
        if not torch.isfinite(found).all():
            raise ForesightError(
                f"The values became {float(found.sum())} at update {self.updates}: lower the "
                f"learning rate (now {self.sac.lr}), or check rewards and features."
            )
        return found

    def _actor_loss(self, z: Float[Tensor, "B Z"]) -> tuple[Tensor, Tensor, Tensor]:
        assert self.value is not None
        action, density = self.prior.sample(z, self.noise)
        self.value.requires_grad_(False)
        value = self.value(z, action).amin(0).float()
        self.value.requires_grad_(True)
        return (self.log_temperature.detach().exp() * density - value).mean(), density, value

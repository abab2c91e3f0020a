"""One update of everything: prediction, reward, value, and the prior that follows the value."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from foresight.core.errors import ForesightError
from foresight.perception.encoder import default_dtype
from foresight.training.imagined_return import imagined_return
from foresight.training.learner_config import LearnerConfig
from foresight.training.learning_parts import learning_parts, those
from foresight.training.lessons import lessons_of
from foresight.training.masked import distance_to_expert, mean_of
from foresight.training.replay import Replay, Windows
from foresight.training.value_targets import traced
from foresight.worldmodel.dynamics.ensemble import clip_gradients
from foresight.worldmodel.dynamics.simnorm import GROUP
from foresight.worldmodel.heads.scalar import ScalarHead
from foresight.worldmodel.model import WorldModel


class Learner:
    """Updates a world model from a replay: first what to see, then what follows from it.

    *Representation updates* teach the adapter from single observations: reward, proprioception, an
    expert's actions. They are many and cheap, and what they teach holds for places not seen before.
    *Updates* teach the networks that imagine, on states that the adapter gave at the last phase of
    the former: their losses on windows of H decisions are those of TD-MPC2 (equation 3), with the
    adapter left alone, since values and dynamics that reach into it learn episodes by heart. The
    target value of a decision is ``r + γ (1 - terminated) min(Q_i, Q_j)`` at the next state, with
    two target values drawn at random. What lies beyond an episode's end has no weight. A model
    without reward and values learns all the rest.

    All chance follows from the seed and the number of the update, so that a learner that was saved
    and read back goes on as if nothing had happened.

    Args:
        model: trained in place.
        config: weights and rates.
        seed: of windows and noise.
    """

    def __init__(self, model: WorldModel, config: LearnerConfig, seed: int = 0) -> None:
        self.model, self.config = model, config
        self.seed = seed
        self.device = next(model.parameters()).device
        self.dtype = default_dtype(self.device)
        self.noise: torch.Generator | None = torch.Generator(self.device)
        self.dynamics, self.reward, self.value, self.prior = learning_parts(model)
        self.target = copy.deepcopy(self.value)
        if self.target is not None:
            self.target.requires_grad_(False)
        self.lessons = lessons_of(model, config, seed)
        self.seeing = those(model.state, self.reward, self.prior, model.proprio, self.lessons)
        self.imagining = those(self.dynamics, self.reward, self.value, model.continuation)
        both = [*self.imagining.parameters(), *self.prior.parameters()]
        self.optimizer = torch.optim.Adam(both, lr=config.lr, fused=True)
        self.scale = torch.ones(())
        self.updates = self.phases = 0
        self._owned = np.zeros((self.dynamics.members, 0), bool)

    @property
    def held(self) -> dict[str, Tensor]:
        """Numbers beside the networks that a resumed training needs."""
        return {"scale": self.scale}

    def take(self, held: Mapping[str, Tensor]) -> None:
        """Go on from these."""
        self.scale = held["scale"]

    def learn_representation(
        self, replay: Replay, count: int, rate: float = 1.0
    ) -> dict[str, float]:
        """``count`` representation updates at a falling rate, then all states are read anew.

        Args:
            replay: of observations; its states are refreshed.
            count: updates.
            rate: first learning rate, in units of the configuration's.

        Returns:
            Losses of the last updates.

        Raises:
            ForesightError: the loss is not finite.
        """
        config, logs = self.config, {}
        self.model.train()
        if self.lessons is not None:
            self.lessons.fit(replay)
        optimizer = torch.optim.AdamW(
            self.seeing.parameters(), weight_decay=config.weight_decay, fused=True
        )
        for number in range(count):
            ramp = min(1.0, (number + 1) / 50) * (1 - number / count)
            optimizer.param_groups[0]["lr"] = rate * ramp * config.lr
            logs = self._representation_update(replay, optimizer, number)
        self.phases += 1
        self.refresh(replay)
        return {f"representation/{name}": float(value) for name, value in logs.items()}

    def refresh(self, replay: Replay, since: int = 0) -> None:
        """Read the states of the episodes from number ``since`` on with the present adapter."""
        self.model.eval()
        replay.refresh(lambda features: self.model.encode(features.to(self.device)), since)
        self.model.train()

    def _representation_update(
        self, replay: Replay, optimizer: torch.optim.Optimizer, number: int
    ) -> dict[str, Tensor]:
        model, config = self.model, self.config
        random = np.random.default_rng([self.seed, self.phases, number])
        shape = (config.representation_batch,)
        windows = replay.sample(shape, 1, random, config.expert_share, see=True).to(self.device)
        with self._autocast():
            z = model.encode(self._thinned(windows.features, random))
            logs: dict[str, Tensor] = {}
            if self.reward is not None:
                raw = self.reward.raw(z, windows.actions[:, 0]).float()
                logs["reward"] = self.reward.code.loss(raw, windows.rewards[:, 0]).mean()
            error = distance_to_expert(self.prior(z)[0], windows.expert_actions[:, 0])
            if error is not None:
                logs["imitation"] = config.imitation * error
            if model.proprio is not None:
                logs["proprio"] = config.proprio * model.proprio.loss(z, windows.proprio)
            if self.lessons is not None:
                logs |= self.lessons.losses(z, replay, windows.rows.cpu())
        loss = torch.stack(list(logs.values())).sum()
        self._backward(loss, self.seeing, optimizer, "representation update", number)
        optimizer.step()
        return {name: value.detach() for name, value in logs.items()}

    def _thinned(
        self, features: Float[Tensor, "B F"], random: np.random.Generator
    ) -> Float[Tensor, "B F"]:
        """Features without those that an update leaves out; the others make up for them."""
        left_out = self.config.dropout
        if not left_out:
            return features
        chance = random.random(features.shape, dtype=np.float32)
        kept = torch.from_numpy(chance >= left_out).to(features.device)
        return features * kept / (1 - left_out)

    def update(self, replay: Replay) -> dict[str, Tensor]:
        """One step; returns detached numbers to log.

        Raises:
            ForesightError: the loss is not finite.
        """
        config = self.config
        random = np.random.default_rng([self.seed, self.updates])  # the same after a resume
        if self.noise is not None:
            self.noise.manual_seed(_mixed(self.seed, self.updates))
        if self._owned.shape[1] != len(replay):
            self._owned = self._own(len(replay), config.member_share)
        shape = (self.dynamics.members, config.batch)
        windows = replay.sample(shape, config.horizon, random, config.expert_share, own=self._owned)
        windows = windows.to(self.device)
        with self._autocast():
            loss, states, logs = self._model_loss(windows, random)
        self._backward(loss, self.imagining, self.optimizer, "update", self.updates)
        with self._autocast():
            prior_loss, more = self._prior_loss(states.detach(), windows)
        prior_loss.backward()
        nn.utils.clip_grad_norm_(self.prior.parameters(), config.clip)
        self.optimizer.step()
        if self.value is not None and self.target is not None:
            with torch.no_grad():
                target: list[Any] = list(self.target.parameters())
                torch._foreach_lerp_(target, list(self.value.parameters()), config.tau)
        self.updates += 1
        return logs | more

    def finetune_dynamics(self, replay: Replay, count: int) -> dict[str, float]:
        """Teach the dynamics alone, at a falling rate, on states that no longer move.

        While the adapter learns, what the dynamics aim at moves with every phase; and members that
        a planner can trust have seen much the same episodes. Afterwards each member learns its
        own episodes by heart, so that their disagreement says where all of them err.

        Args:
            replay: with the states of the last refresh.
            count: updates.

        Returns:
            The last loss.

        Raises:
            ForesightError: the loss is not finite.
        """

        def loss(windows: Windows) -> tuple[Tensor, dict[str, Tensor]]:
            imagined = self.dynamics.apart(windows.states[:, :, 0], windows.actions)
            prediction = self._prediction(imagined, windows)
            return self.config.prediction * prediction, {"prediction": prediction}

        share = self.config.finetune_share
        last = self._settled(replay, self.dynamics, loss, count, share)
        return {"finetune/prediction": last.get("prediction", 0.0)}

    def _settled(
        self,
        replay: Replay,
        trained: nn.Module,
        loss: Callable[[Windows], tuple[Tensor, dict[str, Tensor]]],
        count: int,
        share: float,
    ) -> dict[str, float]:
        """Updates of ``trained`` at a falling rate on states that no longer move, each member on a
        share of the episodes; what the last one logs.
        """
        config, logs = self.config, dict[str, Tensor]()
        optimizer = torch.optim.Adam(trained.parameters(), lr=config.lr, fused=True)
        shape = (self.dynamics.members, config.batch)
        own = self._own(len(replay), share)
        for number in range(count):
            optimizer.param_groups[0]["lr"] = config.lr * (1 - number / count)
            random = np.random.default_rng([self.seed, self.updates, number])
            windows = replay.sample(shape, config.horizon, random, own=own).to(self.device)
            with self._autocast():
                value, logs = loss(windows)
            self._backward(value, trained, optimizer, "update", number)
            optimizer.step()
        return {name: float(number.detach()) for name, number in logs.items()}

    @torch.no_grad()
    def measure(self, replay: Replay, since: int, segment: int = 5) -> dict[str, float]:
        """What the model says of episodes that it has not learned from yet.

        Args:
            replay: their states are refreshed.
            since: number of the first of them.
            segment: decisions that are imagined at a time, under the actions that were taken.

        Returns:
            ``held-out/prediction`` and, where rewards are predicted, ``held-out/reward``, losses as
            in training, and ``imagined/return``, the mean return of the episodes as imagined.
        """
        own = np.zeros((self.dynamics.members, len(replay)), bool)
        own[:, since:] = True
        shape = (len(own), 4 * self.config.batch)
        random = np.random.default_rng([self.seed, len(replay)])
        windows = replay.sample(shape, self.config.horizon, random, own=own).to(self.device)
        imagined = self.dynamics.apart(windows.states[:, :, 0], windows.actions)
        found = {"held-out/prediction": float(self._prediction(imagined, windows))}
        if self.reward is None:
            return found
        reward = self._reward(self.reward, imagined[:, :, :-1], windows)
        episodes = range(since, len(replay))
        parts = self.dynamics, self.reward, replay
        sums = [imagined_return(*parts, i, segment) for i in episodes]
        return found | {"held-out/reward": float(reward), "imagined/return": float(np.mean(sums))}

    def _own(self, episodes: int, share: float) -> Bool[np.ndarray, "E episodes"]:
        """Which episodes each member learns from; the same in every update."""
        chance = np.random.default_rng(self.seed).random((episodes, self.dynamics.members))
        return share > chance.T

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, self.dtype, self.dtype != torch.float32)

    def _backward(
        self,
        loss: Tensor,
        trained: nn.Module,
        optimizer: torch.optim.Optimizer,
        name: str,
        number: int,
    ) -> None:
        """Clipped gradients of a loss.

        Raises:
            ForesightError: the loss is not finite.
        """
        if not torch.isfinite(loss):
            raise ForesightError(
                f"The loss became {float(loss)} at {name} {number}: lower the learning rate "
                f"(now {self.config.lr})."
            )
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        clip_gradients(trained, self.config.clip)

    def _model_loss(
        self, windows: Windows, random: np.random.Generator
    ) -> tuple[Tensor, Float[Tensor, "E B H+1 Z"], dict[str, Tensor]]:
        config = self.config
        targets = self._value_targets(windows, random)
        loss, imagined, logs = self._imagined_loss(windows)
        if self.value is not None and targets is not None:
            raw = self.value.raw(imagined[:, :, :-1], windows.actions).float()
            each = self.value.code.loss(raw, targets.expand(raw.shape[:-1]))
            logs["value"] = self._over_steps(each, windows.followed | windows.ended)
            loss = loss + config.value * logs["value"]
        return loss, imagined, {name: number.detach() for name, number in logs.items()}

    def _imagined_loss(
        self, windows: Windows
    ) -> tuple[Tensor, Float[Tensor, "E B H+1 Z"], dict[str, Tensor]]:
        """Of dynamics, reward and continuation."""
        model, config, actions = self.model, self.config, windows.actions
        imagined = self.dynamics.apart(windows.states[:, :, 0], actions)
        before = imagined[:, :, :-1]
        logs = {"prediction": self._prediction(imagined, windows)}
        loss = config.prediction * logs["prediction"]
        if self.reward is not None:
            logs["reward"] = self._reward(self.reward, before, windows)
            loss = loss + config.reward * logs["reward"]
        if model.continuation is not None:
            errors = model.continuation.errors(before, actions, windows.ended)
            logs["continuation"] = self._over_steps(errors, windows.acted)
            loss = loss + config.continuation * logs["continuation"]
        return loss, imagined, logs

    def _prediction(
        self, imagined: Float[Tensor, "E B H+1 Z"], windows: Windows
    ) -> Float[Tensor, ""]:
        """Squared error of imagined states, of a group of z, weighted over the steps."""
        error = (imagined[:, :, 1:] - windows.states[:, :, 1:]).square().sum(-1) / GROUP
        return self._over_steps(error, windows.followed)

    def _reward(
        self, reward: ScalarHead, before: Float[Tensor, "E B H Z"], windows: Windows
    ) -> Float[Tensor, ""]:
        each = reward.code.loss(reward.raw(before, windows.actions).float(), windows.rewards)
        return self._over_steps(each, windows.acted)

    def _over_steps(
        self, each: Float[Tensor, "*heads E B H"], counts: Bool[Tensor, "E B H"]
    ) -> Float[Tensor, ""]:
        """Mean of what counts at each step, weighted over the steps."""
        weights = self.config.decay ** torch.arange(each.shape[-1], device=each.device)
        return (mean_of(each, counts) * (weights / weights.sum())).sum()

    @torch.no_grad()
    def _value_targets(
        self, windows: Windows, random: np.random.Generator
    ) -> Float[Tensor, "E B H"] | None:
        """Rewards, and the lower of two target values, drawn at random, at an action of the prior.

        With `traces` later rewards of the window count, too. None without values.
        """
        if self.target is None:
            return None
        z = windows.states[:, :, 1:]
        action, _ = self.prior.sample(z, self.noise)
        pair = random.choice(self.target.members, 2, replace=False)
        ahead = self.target(z, action)[torch.from_numpy(pair)].amin(0).float()
        return traced(windows, ahead, self.model.config.discount, self.config.traces)

    def _prior_loss(
        self, states: Float[Tensor, "E B H+1 Z"], windows: Windows
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Follow the values, in units of their spread, keep some entropy, heed the expert."""
        config = self.config
        mean, deviation = self.prior(states)  # once: the expert's answers are compared with it, too
        action, density = self.prior.drawn(mean, deviation, self.noise)
        powers = config.decay ** torch.arange(states.shape[2], device=states.device)
        each = config.entropy * density / action.shape[-1] ** 0.5
        logs = {"entropy": -density.mean().detach()}
        if self.value is not None:
            self.value.requires_grad_(False)
            value = self.value(states, action)[:2].mean(0)
            self.value.requires_grad_(True)
            spread = value[:, :, 0].detach().float().flatten()
            range_ = torch.quantile(spread, 0.95) - torch.quantile(spread, 0.05)
            self.scale = self.scale.to(range_).lerp(range_.clamp(min=1.0), config.tau)
            each = each - value / self.scale
            logs = {"value-estimate": value.mean().detach(), **logs}
        goes_on = windows.acted & ~windows.ended
        alive = torch.cat([torch.ones_like(goes_on[..., :1]), goes_on], dim=-1)
        loss = (mean_of(each, alive) * powers).sum() / powers.sum()
        asked = windows.expert_actions.where(windows.acted[..., None], torch.nan)
        error = distance_to_expert(mean[:, :, :-1], asked)
        if error is not None:
            loss = loss + self._imitation * error
            logs["imitation"] = error.detach()
        return loss, logs

    @property
    def _imitation(self) -> float:
        """Its weight at this update."""
        config = self.config
        gone = min(1.0, self.updates / max(1, config.imitation_updates))
        return config.imitation + gone * (config.imitation_end - config.imitation)


def _mixed(*numbers: int) -> int:
    """One seed of several."""
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0] >> np.uint64(1))

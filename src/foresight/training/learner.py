"""One update of everything: prediction, reward, value, and the prior that follows the value."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from foresight.core.errors import ForesightError
from foresight.core.files import late
from foresight.perception.encoder import default_dtype
from foresight.training.replay import Replay, Windows
from foresight.worldmodel.dynamics.ensemble import clip_gradients
from foresight.worldmodel.joint.config import GROUP
from foresight.worldmodel.joint.model import JointModel


@dataclass(frozen=True)
class LearnConfig:
    """How the joint model is updated."""

    lesson: int = 256
    """Pictures of a lesson."""
    batch: int = 32
    """Windows per member and update."""
    own: float = 0.4
    """Share of the episodes that a member learns from while all networks learn, drawn for each."""
    settled: float = 0.3
    """That share while the dynamics settle: members that have seen the same agree where all of them
    are wrong."""
    horizon: int = 3
    """Decisions imagined in the losses."""
    lr: float = 1e-3
    """Adam's learning rate."""
    weight_decay: float = 1e-2
    """AdamW's, in lessons."""
    dropout: float = late(0.0)
    """Share of the place numbers that a lesson leaves out, drawn anew for each."""
    decay: float = 0.7
    """Weight of each later imagined step, relative to the one before (ρ)."""
    prediction: float = 2.0
    """Weight of the latent prediction error, summed over the groups of z."""
    reward: float = 1.0
    """Weight of the reward loss."""
    value: float = 0.5
    """Weight of the value loss."""
    senses: float = 1.0
    """Weight of reading proprioception off the state, where there is any."""
    imitation: float = 1.0
    """Weight of the prior's squared distance to a teacher's actions, where there are any."""
    imitation_end: float = 0.2
    """What that weight falls to, linearly over `fade` updates."""
    fade: int = 10_000
    """See above."""
    share: float = 0.25
    """Least share of windows from episodes with a teacher's answers, where there are any."""
    entropy: float = 0.01
    """Weight of the prior's entropy, in units of the spread of values."""
    slow: float = 0.01
    """Share by which the target values move in every update."""
    clip: float = 20.0
    """Largest gradient norm."""


class Learner:
    """Updates a joint model from a replay: first what to see, then what follows from it.

    *Lessons* teach the adapter from single pictures: reward, proprioception, a teacher's actions.
    They are many and cheap, and what they teach holds for places not seen before. *Updates* teach
    the networks that imagine, on states that the adapter gave at the last lesson: their losses on
    windows of H decisions are those of TD-MPC2 (equation 3), with the adapter left alone, since
    values and dynamics that reach into it learn episodes by heart. The target value of a decision
    is ``r + γ min(Q_i, Q_j)`` at the next state, with two slow values drawn at random.

    Args:
        model: trained in place.
        config: weights and rates.
        seed: of windows and noise.
    """

    def __init__(self, model: JointModel, config: LearnConfig, seed: int = 0) -> None:
        self.model, self.config = model, config
        self.seed = seed
        self.random = np.random.default_rng(seed)
        self.slow = copy.deepcopy(model.value).requires_grad_(False)
        self.seeing = nn.ModuleList([model.adapter, model.reward, model.prior])
        if model.sense is not None:
            self.seeing.append(model.sense)
        self.imagining = nn.ModuleList([model.dynamics, model.reward, model.value])
        both = [*self.imagining.parameters(), *model.prior.parameters()]
        self.optimizer = torch.optim.Adam(both, lr=config.lr, fused=True)
        self.scale = torch.ones(())
        self.updates = self.studies = 0
        self._owned = np.zeros((model.config.members, 0), bool)

    def study(self, replay: Replay, count: int, rate: float = 1.0) -> dict[str, float]:
        """Give ``count`` lessons at a falling learning rate, then read all states anew.

        Args:
            replay: of pictures; its states are refreshed.
            count: lessons.
            rate: first learning rate, in units of the configuration's.

        Returns:
            Losses of the last lessons.

        Raises:
            ForesightError: the loss is not finite.
        """
        config, logs = self.config, {}
        self.model.train()
        optimizer = torch.optim.AdamW(
            self.seeing.parameters(), weight_decay=config.weight_decay, fused=True
        )
        for number in range(count):
            ramp = min(1.0, (number + 1) / 50) * (1 - number / count)
            optimizer.param_groups[0]["lr"] = rate * ramp * config.lr
            logs = self._lesson(replay, optimizer, number)
        self.studies += 1
        self.look(replay)
        return {f"lesson-{name}": float(value) for name, value in logs.items()}

    def look(self, replay: Replay, since: int = 0) -> None:
        """Read the states of the episodes from number ``since`` on with the present adapter."""
        self.model.eval()
        replay.refresh(self.model.encode, since)
        self.model.train()

    def _lesson(
        self, replay: Replay, optimizer: torch.optim.Optimizer, number: int
    ) -> dict[str, Tensor]:
        model, config = self.model, self.config
        device = next(model.parameters()).device
        dtype = default_dtype(device)
        self.random = np.random.default_rng([self.seed, self.studies, number])
        windows = replay.sample((config.lesson,), 1, self.random, config.share, see=True)
        windows = windows.to(device)
        with torch.autocast(device.type, dtype, dtype != torch.float32):
            z = model.encode(self._thinned(windows.features))
            raw = model.reward.raw(z, windows.actions[:, 0]).float()
            logs = {"reward": model.reward.code.loss(raw, windows.rewards[:, 0]).mean()}
            error = self._distance_to_teacher(z, windows.taught[:, 0])
            if error is not None:
                logs["imitation"] = config.imitation * error
            if model.sense is not None:
                logs["senses"] = config.senses * model.sense.loss(z, windows.senses)
        loss = torch.stack(list(logs.values())).sum()
        self._backward(loss, self.seeing, optimizer, "lesson", number)
        optimizer.step()
        return {name: value.detach() for name, value in logs.items()}

    def _thinned(self, features: Float[Tensor, "B F"]) -> Float[Tensor, "B F"]:
        """Place numbers without those that a lesson leaves out; the others make up for them."""
        left_out = self.config.dropout
        if not left_out:
            return features
        chance = self.random.random(features.shape, dtype=np.float32)
        kept = torch.from_numpy(chance >= left_out).to(features.device)
        return features * kept / (1 - left_out)

    def update(self, replay: Replay) -> dict[str, Tensor]:
        """One step; returns detached numbers to log.

        Raises:
            ForesightError: the loss is not finite.
        """
        device = next(self.model.parameters()).device
        dtype = default_dtype(device)
        config = self.config
        self.random = np.random.default_rng([self.seed, self.updates])  # the same after a resume
        shape = (self.model.config.members, config.batch)
        if self._owned.shape[1] != len(replay.actions):
            self._owned = self._own(len(replay.actions), config.own)
        own = self._owned
        windows = replay.sample(shape, config.horizon, self.random, config.share, own=own)
        windows = windows.to(device)
        with torch.autocast(device.type, dtype, dtype != torch.float32):
            loss, states, logs = self._model_loss(windows)
        self._backward(loss, self.imagining, self.optimizer, "update", self.updates)
        with torch.autocast(device.type, dtype, dtype != torch.float32):
            prior_loss, more = self._prior_loss(states.detach(), windows.taught)
        prior_loss.backward()
        nn.utils.clip_grad_norm_(self.model.prior.parameters(), config.clip)
        self.optimizer.step()
        with torch.no_grad():
            slow: list[Any] = list(self.slow.parameters())
            torch._foreach_lerp_(slow, list(self.model.value.parameters()), config.slow)
        self.updates += 1
        return logs | more

    def settle(self, replay: Replay, count: int) -> dict[str, float]:
        """Teach the dynamics alone, at a falling rate, on states that no longer move.

        While the adapter learns, what the dynamics aim at moves with every study; and members that
        a planner can trust have seen much the same episodes. Afterwards each member learns its
        own episodes by heart, so that their disagreement says where all of them err.

        Args:
            replay: with the states of the last look.
            count: updates.

        Returns:
            The last loss.

        Raises:
            ForesightError: the loss is not finite.
        """
        config, dynamics = self.config, self.model.dynamics
        device = next(dynamics.parameters()).device
        dtype = default_dtype(device)
        optimizer = torch.optim.Adam(dynamics.parameters(), lr=config.lr, fused=True)
        shape = (self.model.config.members, config.batch)
        own = self._own(len(replay.actions), config.settled)
        weights = self._weights(device)
        prediction = torch.zeros(())
        for number in range(count):
            optimizer.param_groups[0]["lr"] = config.lr * (1 - number / count)
            random = np.random.default_rng([self.seed, self.updates, number])
            windows = replay.sample(shape, config.horizon, random, own=own).to(device)
            with torch.autocast(device.type, dtype, dtype != torch.float32):
                imagined = dynamics.apart(windows.states[:, :, 0], windows.actions)
                prediction = _prediction(imagined, windows.states, weights)
            self._backward(config.prediction * prediction, dynamics, optimizer, "update", number)
            optimizer.step()
        return {"settled": float(prediction.detach())}

    def _own(self, episodes: int, share: float) -> Bool[np.ndarray, "E episodes"]:
        """Which episodes each member learns from; the same in every update."""
        chance = np.random.default_rng(self.seed).random((episodes, self.model.config.members))
        return share > chance.T

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
        self, windows: Windows
    ) -> tuple[Tensor, Float[Tensor, "E B H+1 Z"], dict[str, Tensor]]:
        model, config = self.model, self.config
        states, actions, rewards = windows.states, windows.actions, windows.rewards
        ahead = states[:, :, 1:]
        with torch.no_grad():
            targets = rewards + model.config.discount * self._slow_value(ahead)
        imagined = model.dynamics.apart(states[:, :, 0], actions)
        weights = self._weights(rewards.device)
        prediction = _prediction(imagined, states, weights)
        before = imagined[:, :, :-1]
        reward_each = model.reward.code.loss(model.reward.raw(before, actions).float(), rewards)
        value_raw = model.value.raw(before, actions).float()
        value_each = model.value.code.loss(value_raw, targets.expand(value_raw.shape[:-1]))
        reward = (reward_each.mean((0, 1)) * weights).sum()
        value = (value_each.mean((0, 1, 2)) * weights).sum()
        loss = config.prediction * prediction + config.reward * reward + config.value * value
        logs = {"prediction": prediction, "reward": reward, "value": value}
        return loss, imagined, {name: number.detach() for name, number in logs.items()}

    def _weights(self, device: torch.device) -> Float[Tensor, " H"]:
        powers = self.config.decay ** torch.arange(self.config.horizon, device=device)
        return powers / powers.sum()

    @torch.no_grad()
    def _slow_value(self, z: Float[Tensor, "*batch Z"]) -> Float[Tensor, "*batch"]:
        """The lower of two slow values, drawn at random, at an action of the prior."""
        action, _ = self.model.prior.sample(z)
        pair = self.random.choice(self.model.config.values, 2, replace=False)
        return self.slow(z, action)[torch.from_numpy(pair)].amin(0).float()

    def _prior_loss(
        self, states: Float[Tensor, "E B H+1 Z"], taught: Float[Tensor, "E B H A"]
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Follow the values, in units of their spread, keep some entropy, heed the teacher."""
        config, model = self.config, self.model
        action, density = model.prior.sample(states)
        model.value.requires_grad_(False)
        value = model.value(states, action)[:2].mean(0)
        model.value.requires_grad_(True)
        spread = value[:, :, 0].detach().float().flatten()
        range_ = torch.quantile(spread, 0.95) - torch.quantile(spread, 0.05)
        self.scale = self.scale.to(range_).lerp(range_.clamp(min=1.0), config.slow)
        powers = config.decay ** torch.arange(states.shape[2], device=states.device)
        each = config.entropy * density / action.shape[-1] ** 0.5 - value / self.scale
        loss = (each.mean((0, 1)) * powers).sum() / powers.sum()
        logs = {"worth": value.mean().detach(), "entropy": -density.mean().detach()}
        error = self._distance_to_teacher(states[:, :, :-1], taught)
        if error is not None:
            loss = loss + self._imitation * error
            logs["imitation"] = error.detach()
        return loss, logs

    def _distance_to_teacher(
        self, z: Float[Tensor, "*batch Z"], taught: Float[Tensor, "*batch A"]
    ) -> Float[Tensor, ""] | None:
        """The prior's mean square error where a teacher answered; None where none did.

        Averaged over everything, so that few answers weigh little.
        """
        known = taught.isfinite()
        if not known.any():
            return None
        error = torch.tanh(self.model.prior(z)[0]) - taught.nan_to_num()
        return torch.where(known, error, 0).square().mean()

    @property
    def _imitation(self) -> float:
        """Its weight at this update."""
        config = self.config
        gone = min(1.0, self.updates / max(1, config.fade))
        return config.imitation + gone * (config.imitation_end - config.imitation)


def _prediction(
    imagined: Float[Tensor, "E B H+1 Z"],
    states: Float[Tensor, "E B H+1 Z"],
    weights: Float[Tensor, " H"],
) -> Float[Tensor, ""]:
    """Squared error of imagined states, of a group of z, weighted over the steps."""
    error = (imagined[:, :, 1:] - states[:, :, 1:]).square().sum(-1) / GROUP
    return (error.mean((0, 1)) * weights).sum()

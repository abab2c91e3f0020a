"""What a state has to tell beside the present reward, where there is no teacher: lessons.

A reward says little about where things are. What the frozen encoder sees does, and so do the
rewards to come; both are there in every episode. The networks here are for training alone.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from foresight.training.learner_config import LearnerConfig
from foresight.training.replay import Replay
from foresight.worldmodel.heads.scalar import symlog
from foresight.worldmodel.mlp import MLP
from foresight.worldmodel.model import WorldModel

AXES = 64
"""Leading axes of whole pictures that a state has to tell."""
PICTURES = 1024
"""Observations, at most, that these are fitted on."""


class Lessons(nn.Module):
    """Networks that a representation update reads from states, and what they are compared with.

    Args:
        model: whose states tell.
        config: weights and horizons.
    """

    mean: Float[Tensor, " f"]
    axes: Float[Tensor, "f K"]
    fitted: Tensor

    def __init__(self, model: WorldModel, config: LearnerConfig) -> None:
        super().__init__()
        state, hidden = model.state, model.config.heads.hidden
        step = state.step_features
        start = state.width - state.step_width
        self.place = slice(start, start + step)  # the newest picture among the features
        self.config, self.discount = config, model.config.discount
        self.kept = min(AXES, step)
        self.now = _network(state.dim, self.kept + 1, hidden)
        inputs = state.dim + config.ahead * model.config.actions
        self.later = _network(inputs, self.kept + config.ahead, hidden)
        self.register_buffer("mean", torch.zeros(step))
        self.register_buffer("axes", torch.zeros(step, self.kept))
        self.register_buffer("fitted", torch.zeros(()))

    @torch.no_grad()
    def fit(self, replay: Replay) -> None:
        """Take the leading axes of the pictures seen so far, once."""
        if self.fitted:
            return
        seen = int(replay.offsets[-1])
        rows = torch.arange(0, seen, -(-seen // PICTURES))
        pictures = replay.features[rows, self.place].to(self.mean)
        self.mean.copy_(pictures.mean(0))
        centred = pictures - self.mean
        values, vectors = torch.linalg.eigh(centred @ centred.T / len(rows))
        values = values[-self.kept :].clamp(min=1e-12)
        directions = centred.T @ vectors[:, -self.kept :] / (values * len(rows)).sqrt()
        # Half whitened, as the patches' numbers are: small axes count, and noise does not rule.
        axes = torch.zeros_like(self.axes)
        axes[:, : len(values)] = directions / values**0.25
        scale = (centred @ axes).square().mean().sqrt().clamp(min=1e-6)
        self.axes.copy_(axes / scale)
        self.fitted.fill_(1.0)

    def losses(
        self, z: Float[Tensor, "B Z"], replay: Replay, first: Int[Tensor, " B"]
    ) -> dict[str, Tensor]:
        """Errors of what is told of the picture and of rewards, now and later.

        Args:
            z: states of some observations.
            replay: what became of them.
            first: their rows.
        """
        config, ahead, device = self.config, self.config.ahead, z.device
        rows, acted, whole = replay.follow(first, max(config.far, ahead))
        followed = rows[:, ahead] == rows[:, 0] + ahead
        actions = replay.actions[rows[:, :ahead]].flatten(1).to(device)
        now, later = self.now(z).float(), self.later(z, actions).float()
        rewards = replay.rewards[rows[:, :-1]] * acted
        far = (rewards * self.discount ** torch.arange(rewards.shape[1])).sum(1)
        found = {
            "rewards": _mean(later[:, :ahead] - symlog(rewards[:, :ahead]).to(device), acted),
            "far": _mean(now[:, :1] - symlog(far).to(device)[:, None], whole[:, None]),
            "picture": _mean(now[:, 1:] - self._told(replay, rows[:, 0]), acted[:, :1]),
            "later": _mean(
                later[:, ahead:] - self._told(replay, rows[:, ahead]), followed[:, None]
            ),
        }
        return {
            "foretold": config.foretold * (found["rewards"] + found["far"]),
            "pictures": config.pictures * (found["picture"] + found["later"]),
        }

    def _told(self, replay: Replay, rows: Int[Tensor, " B"]) -> Float[Tensor, "B K"]:
        """Leading axes of the pictures as they were acted on, whatever view the state is of."""
        return (replay.features[rows, self.place].to(self.mean) - self.mean) @ self.axes


def lessons_of(model: WorldModel, config: LearnerConfig, seed: int = 0) -> Lessons | None:
    """The lessons that a configuration asks for, with weights of a seed; None for none."""
    if not config.foretold and not config.pictures:
        return None
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Lessons(model, config).to(next(model.parameters()).device)


def _mean(error: Float[Tensor, "B n"], counts: Bool[Tensor, "B _"]) -> Float[Tensor, ""]:
    """Mean square of the errors that count."""
    counts = counts[:, : error.shape[1]].expand(error.shape).to(error.device)
    return (error.square() * counts).sum() / counts.sum().clamp(min=1)


def _network(inputs: int, outputs: int, hidden: int) -> MLP:
    return MLP(
        nn.Linear(inputs, hidden), nn.LayerNorm(hidden), nn.ReLU(), nn.Linear(hidden, outputs)
    )

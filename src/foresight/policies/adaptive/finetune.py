"""The dynamics itself learns on while acting: the rival of every residual."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from foresight.core.errors import ForesightError
from foresight.policies.adaptive.config import FinetuneConfig
from foresight.policies.adaptive.correction import Correction, Transition
from foresight.policies.adaptive.gate import Gate
from foresight.worldmodel.dynamics.rollout import Dynamics, is_ensemble, mean_step


class Finetuned(Correction):
    """All weights of the dynamics, by steps of Adam on the last decisions; one robot at a time.

    Every member of an ensemble learns from the same decisions.

    Args:
        config: steps, rate, batch.
        dynamics: in fp32; it learns, so give a copy.
        planned: makes of it what a planner imagines with.
    """

    def __init__(
        self, config: FinetuneConfig, dynamics: nn.Module, planned: Callable[[nn.Module], Dynamics]
    ) -> None:
        self.config, self.dynamics, self.planned = config, dynamics.eval(), planned
        self._first = {name: value.clone() for name, value in dynamics.state_dict().items()}
        self._made: Dynamics | None = None
        self._random = torch.Generator()
        self.gate = Gate(config.gated)
        self.reset(1, 0)

    def reset(self, robots: int, seed: int) -> None:
        """Back to the weights that were loaded.

        Raises:
            ForesightError: several robots at once, for there is one dynamics.
        """
        if robots > 1:
            raise ForesightError(
                f"One dynamics cannot be fine-tuned for {robots} robots side by side: let them act "
                "one at a time (--parallel 1), or adapt by rls, gradient or gain."
            )
        self.active, self._made = False, None
        self.gate.reset(robots)
        self._random.manual_seed(seed)
        with torch.inference_mode(False), torch.no_grad():
            self.dynamics.load_state_dict(self._first)
            self.dynamics.requires_grad_(True)
            self._adam = torch.optim.Adam(self.dynamics.parameters(), self.config.rate)
        self._known: list[tuple[Tensor, Tensor, Tensor]] = []

    def learn(self, seen: Transition) -> None:
        """Take in a decision, and step on the recent ones."""
        if not bool(seen.usable.all()):
            return
        with torch.inference_mode():
            ours = mean_step(self.dynamics, seen.z.float(), seen.action.float())
            self.gate.judge(seen.predicted, ours, seen.after, seen.usable)
        with torch.inference_mode(False), torch.enable_grad():
            parts = (seen.z, seen.action, seen.after)
            z, action, after = (part[0].float().clone() for part in parts)
            self._known = [*self._known, (z, action, after)][-self.config.recent :]
            for _ in range(self.config.steps):
                shape = (min(self.config.batch, len(self._known)),)
                picked = torch.randint(len(self._known), shape, generator=self._random).tolist()
                states, actions, there = (
                    torch.stack(part)
                    for part in zip(*(self._known[i] for i in picked), strict=True)
                )
                imagined = self.dynamics(states, actions[:, None])[..., 1, :]
                # In units of how far a decision moves the state.
                unit = (there - states).square().mean().clamp(min=1e-12)
                loss = (imagined - there).square().mean(-1) / unit
                members = loss.sum(0) if is_ensemble(self.dynamics) else loss
                self._adam.zero_grad()
                torch.autograd.backward(members.mean())
                self._adam.step()
        self.active = self.gate.any
        self._made = self.planned(self.dynamics) if self.active else None

    def base(self, dynamics: Dynamics) -> Dynamics:
        """The dynamics as it has learned on."""
        return dynamics if self._made is None else self._made

    def frozen(self) -> Finetuned:
        """A copy with these weights, of what the planner imagines with."""
        return copy.copy(self)  # what the planner gets is made anew after each decision

    def notes(self) -> list[dict[str, Any]]:
        """How far the weights have moved, as a share of their size."""
        moved, size = 0.0, 0.0
        for name, value in self.dynamics.state_dict().items():
            moved += float((value - self._first[name]).square().sum())
            size += float(self._first[name].square().sum())
        return [{"residual_size": (moved / max(size, 1e-12)) ** 0.5}]

"""Planning with a world model that is corrected by what happens."""

from __future__ import annotations

import copy
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from foresight.core.errors import ForesightError
from foresight.core.observation import Observation
from foresight.core.spec import Spec
from foresight.perception.encoder import Encoder, default_dtype
from foresight.planning.config import MPCConfig
from foresight.planning.fast import fast
from foresight.planning.mpc import MPCPlanner
from foresight.planning.solvers import imagine
from foresight.policies.adaptive.config import (
    Adaptation,
    FinetuneConfig,
    GainConfig,
    GradientConfig,
    RLSConfig,
)
from foresight.policies.adaptive.correction import Correction, Space, Transition
from foresight.policies.adaptive.dynamics import AdaptedDynamics, Adapting
from foresight.policies.adaptive.errors import ErrorLog
from foresight.policies.adaptive.finetune import Finetuned
from foresight.policies.adaptive.gain import ActuatorGain
from foresight.policies.adaptive.residual import LinearResidual, NetworkResidual
from foresight.policies.mpc import MPCFactory, MPCPolicy
from foresight.worldmodel.dynamics.rollout import Dynamics, context_of
from foresight.worldmodel.model import WorldModel


class AdaptivePolicy(MPCPolicy):
    """`MPCPolicy` whose dynamics is corrected, at each decision, by what the last one brought.

    Reward, value and action prior stay what they are. The first decision of an episode is that of
    the usual agent, unless what was learned is kept from the last one.

    Args:
        model: trained.
        encoder: the one it was trained with.
        config: the search.
        hold: as for `MPCPolicy`.
        adaptation: how; None never corrects anything.
        measured: keep account of the model's errors over the episode, for `notes`; takes time.

    Raises:
        ForesightError: the model belongs to another encoder, or its dynamics remembers more than a
            state.
    """

    def __init__(
        self,
        model: WorldModel,
        encoder: Encoder,
        config: MPCConfig,
        hold: int | None = None,
        adaptation: Adaptation | None = None,
        measured: bool = False,
    ) -> None:
        correction = None if adaptation is None else correction_of(model, config, adaptation)
        adapting = None if correction is None else Adapting(correction)
        planner = MPCPlanner.of(model, config, adapting=adapting)
        super().__init__(model, encoder, config, hold, planner)
        self.adaptation, self.correction = adaptation, correction
        imagines = planner.dynamics
        self._plain = imagines.dynamics if isinstance(imagines, AdaptedDynamics) else imagines
        self._errors = ErrorLog(self._plain) if measured else None
        self._robots = 0
        self._begin()

    def _begin(self) -> None:
        self._last: tuple[Tensor, Tensor] | None = None
        self._z: Float[Tensor, "N Z"] | None = None
        self._seconds, self._learned = 0.0, 0

    def reset_batch(self, observations: Sequence[Observation], seeds: Sequence[int]) -> None:
        """Begin episodes; what the last ones taught is forgotten, unless it is to be kept."""
        super().reset_batch(observations, seeds)
        self._begin()
        if self._errors is not None:
            self._errors.reset()
        robots = len(observations)
        fresh = robots != self._robots or self.adaptation is None or not self.adaptation.keep
        if self.correction is not None and fresh:
            self.correction.reset(robots, seeds[0])
        self._robots = robots

    def decide(self, stacked: Float[Tensor, "N X"]) -> Float[Tensor, "N A"]:
        """Learn from what the last decision brought, then plan the next, in [-1, 1]."""
        decision = self.planner.act(stacked, ahead=self._arrive)
        assert self._z is not None
        if self._errors is not None:
            known = None if self.correction is None else self.correction.frozen()
            self._errors.decided(self._z, decision, known)
        self._last = self._z, decision
        return decision

    def notes_batch(self) -> list[dict[str, Any]]:
        """Milliseconds a decision took to learn, and what was found out."""
        if self.correction is None and self._errors is None:
            return []
        found: list[dict[str, Any]] = [{} for _ in range(self._robots)]
        several = [] if self.correction is None else [self.correction.notes()]
        if self._learned:
            spent = 1000 * self._seconds / self._learned
            several.append([{"adapt_ms": spent}] * self._robots)
        if self._errors is not None:
            several.append(self._errors.notes(self._robots))
        for told in several:
            for robot, more in zip(found, told, strict=True):
                robot.update(more)
        return found

    def _arrive(self, z: Float[Tensor, "N Z"]) -> Float[Tensor, "N Z"]:
        """The states in which is decided: those that are seen, and learned from."""
        self._z = z
        if self._last is None:
            return z
        if self._errors is not None:
            self._errors.arrived(z)
        if self.correction is not None:
            began = time.perf_counter()
            self.correction.learn(self._transition(*self._last, z))
            self._seconds += time.perf_counter() - began
            self._learned += 1
        return z

    def _transition(self, z: Tensor, action: Tensor, after: Tensor) -> Transition:
        imagined = imagine(self._plain, z, action[:, None, None])[:, :, 0, 1].float().mean(0)
        seen = torch.cat([z, action, imagined, after], dim=-1)
        usable = seen.isfinite().all(-1).to(z.dtype)
        return Transition(z, action, imagined, after, usable)


def correction_of(model: WorldModel, config: MPCConfig, adaptation: Adaptation) -> Correction:
    """What an adaptation is, for a model and the members that a search imagines with.

    Raises:
        ForesightError: its dynamics remembers more than a state.
    """
    if context_of(model.dynamics) is not None:
        raise ForesightError(
            f"A dynamics of kind {model.config.dynamics.kind} remembers more than a state, and "
            "cannot be adapted while acting: leave --adapt out, or train one of kind mlp, resblock "
            "or simnorm."
        )
    actions = model.config.actions
    if isinstance(adaptation, RLSConfig):
        return LinearResidual(adaptation, Space.of(model, adaptation.directions), actions)
    if isinstance(adaptation, GradientConfig):
        return NetworkResidual(adaptation, Space.of(model, adaptation.directions), actions)
    device = next(model.parameters()).device
    own = model.for_planning(config.members, torch.float32)
    if isinstance(adaptation, GainConfig):
        return ActuatorGain(adaptation, own.dynamics, actions)
    assert isinstance(adaptation, FinetuneConfig)
    rapid = model.config.dynamics.kind == "mlp" and device.type == "cpu"
    dtype = default_dtype(device)
    planned = partial(fast, dtype=dtype) if rapid else partial(_as_planned, dtype=dtype)
    return Finetuned(adaptation, own.dynamics, planned)


def _as_planned(dynamics: nn.Module, dtype: torch.dtype) -> Dynamics:
    copied: Any = copy.deepcopy(dynamics).to(dtype).requires_grad_(False)
    return copied  # type: ignore[no-any-return]


@dataclass(frozen=True)
class AdaptiveFactory(MPCFactory):
    """Makes the adapting policy of a checkpoint; picklable."""

    adaptation: Adaptation | None = None
    measured: bool = False

    def __call__(self, spec: Spec) -> AdaptivePolicy:
        """Load everything and build the policy.

        Raises:
            ForesightError: as `MPCFactory` and `AdaptivePolicy`.
        """
        model, encoder, hold = self.loaded(spec)
        return AdaptivePolicy(model, encoder, self.search, hold, self.adaptation, self.measured)

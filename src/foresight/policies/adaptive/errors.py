"""How far a model errs in an episode, as it is and as it was corrected."""

from __future__ import annotations

from collections import deque
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from foresight.planning.solvers import imagine
from foresight.policies.adaptive.correction import Correction
from foresight.policies.adaptive.dynamics import AdaptedDynamics
from foresight.worldmodel.dynamics.rollout import Dynamics

LATE = 0.25
"""The share of an episode, at its end, whose errors are told apart."""


class ErrorLog:
    """Squared errors of imagined states, in units of how far states are from where one began.

    A prediction over h decisions is made with what was known before the first of them: the
    correction is frozen then, so that nothing it learned later helps. 1 is the error of a model
    in which nothing moves.

    Args:
        dynamics: uncorrected.
        horizons: decisions ahead.
    """

    def __init__(self, dynamics: Dynamics, horizons: tuple[int, ...] = (1, 5)) -> None:
        self.dynamics, self.horizons = dynamics, horizons
        self.reset()

    def reset(self) -> None:
        """Begin episodes."""
        longest = max(self.horizons)
        self._states: deque[Tensor] = deque(maxlen=longest)
        self._actions: deque[Tensor] = deque(maxlen=longest)
        self._known: deque[Correction | None] = deque(maxlen=longest)
        self._errors: dict[str, list[Float[np.ndarray, " N"]]] = {}

    def decided(
        self, z: Float[Tensor, "N Z"], action: Float[Tensor, "N A"], known: Correction | None
    ) -> None:
        """A decision, and a frozen copy of what was known at it; None of nothing."""
        self._states.append(z)
        self._actions.append(action)
        self._known.append(known)

    @torch.inference_mode()
    def arrived(self, z: Float[Tensor, "N Z"]) -> None:
        """Where the decisions so far have led."""
        for horizon in self.horizons:
            if len(self._states) < horizon:
                continue
            start, known = self._states[-horizon], self._known[-horizon]
            actions = torch.stack(list(self._actions)[-horizon:], 1)[:, None]
            self._note(f"movement{horizon}", start, z)
            self._note(f"model_error{horizon}", self._end(self.dynamics, start, actions), z)
            if known is not None:
                adapted = AdaptedDynamics(self.dynamics, known)
                self._note(f"adapted_error{horizon}", self._end(adapted, start, actions), z)

    def notes(self, robots: int) -> list[dict[str, Any]]:
        """Mean errors of each robot's episode, and of its last quarter as ``..._late``."""
        found: list[dict[str, Any]] = [{} for _ in range(robots)]
        for name, values in self._errors.items():
            kind, horizon = name[:-1], name[-1]
            if kind == "movement":
                continue
            errors, moved = np.stack(values), np.stack(self._errors[f"movement{horizon}"])
            late = max(1, round(LATE * len(errors)))
            for robot, told in enumerate(found):
                told[name] = _share(errors[:, robot], moved[:, robot])
                told[f"{name}_late"] = _share(errors[-late:, robot], moved[-late:, robot])
        return found

    def _end(self, dynamics: Dynamics, z: Tensor, actions: Float[Tensor, "N 1 h A"]) -> Tensor:
        return imagine(dynamics, z, actions)[:, :, 0, -1].float().mean(0)

    def _note(self, name: str, imagined: Tensor, z: Tensor) -> None:
        error = (imagined - z).square().sum(-1).nan_to_num(0.0, 0.0, 0.0)
        self._errors.setdefault(name, []).append(error.double().cpu().numpy())


def _share(errors: Float[np.ndarray, " n"], moved: Float[np.ndarray, " n"]) -> float:
    return float(errors.sum() / max(float(moved.sum()), 1e-12))

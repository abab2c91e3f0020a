"""What every dynamics network offers, and how it imagines several steps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import torch
from jaxtyping import Float
from torch import Tensor, nn


class Dynamics(Protocol):
    """Anything that predicts the next latent state.

    An ensemble has the attribute ``members: int`` and a leading E on every state that its ``step``
    takes and gives, while all members share the actions.
    """

    def step(self, z: Tensor, action: Tensor) -> Tensor:
        """``z [..., Z], action [..., A] -> z' [..., Z]``."""
        ...


class StepDynamics(nn.Module):
    """A network whose next state depends on the present state and action alone."""

    def step(
        self, z: Float[Tensor, "*batch Z"], action: Float[Tensor, "*batch A"]
    ) -> Float[Tensor, "*batch Z"]:
        """One imagined step."""
        raise NotImplementedError

    def forward(
        self,
        z: Float[Tensor, "*batch Z"],
        actions: Float[Tensor, "*batch H A"],
        truncate: int | None = None,
    ) -> Float[Tensor, "*batch H+1 Z"]:
        """Imagine ``H`` steps open loop; entry 0 is ``z`` itself.

        Args:
            z: the present.
            actions: what is done from now on.
            truncate: stop the gradient every so many steps; None lets it flow through all.
        """
        return rollout(self.step, z, actions, truncate)


def rollout(
    step: Callable[[Tensor, Tensor], Tensor],
    z: Float[Tensor, "*batch Z"],
    actions: Float[Tensor, "*batch H A"],
    truncate: int | None = None,
) -> Float[Tensor, "*batch H+1 Z"]:
    """Feed ``step`` its own predictions, with truncated back-propagation through time.

    The state that enters steps k, 2k, 3k, … is detached: what is predicted there stays the same,
    but its error teaches only the last k steps before it.
    """
    states = [z]
    for index, action in enumerate(actions.unbind(-2)):
        states.append(step(cut(states[-1], index, truncate), action))
    return torch.stack(states, dim=-2)


def cut(state: Tensor, index: int, truncate: int | None) -> Tensor:
    """``state``, detached if a new stretch of ``truncate`` steps begins with step ``index``."""
    return state.detach() if truncate and index and index % truncate == 0 else state


def members_of(dynamics: object) -> int:
    """How many networks a dynamics holds; 1 for a single network, which has no leading axis."""
    return int(getattr(dynamics, "members", 1))


def is_ensemble(dynamics: object) -> bool:
    """Whether states that ``dynamics`` gives have a leading axis of members."""
    return hasattr(dynamics, "members")


def each_member(dynamics: object, z: Float[Tensor, "N Z"]) -> Tensor:
    """States as the ``step`` of ``dynamics`` takes them: the same ones for every member."""
    return z.expand(members_of(dynamics), -1, -1) if is_ensemble(dynamics) else z


def context_of(dynamics: object) -> int | None:
    """The longest history plus horizon that a dynamics can take; None where there is no limit."""
    return getattr(dynamics, "context", None)


def mean_rollout(
    dynamics: Callable[..., Tensor],
    z: Float[Tensor, "*batch Z"],
    actions: Float[Tensor, "*batch H A"],
    **more: object,
) -> Float[Tensor, "*batch H+1 Z"]:
    """What a dynamics predicts as one model: the mean over members, which imagine apart.

    ``more`` goes to the dynamics, for instance ``history``.
    """
    imagined = dynamics(z, actions, **more)
    return imagined.mean(0) if is_ensemble(dynamics) else imagined


def mean_step(
    dynamics: Callable[..., Tensor], z: Float[Tensor, "*batch Z"], action: Float[Tensor, "*batch A"]
) -> Float[Tensor, "*batch Z"]:
    """One step of a dynamics as one model."""
    return mean_rollout(dynamics, z, action[..., None, :])[..., 1, :]

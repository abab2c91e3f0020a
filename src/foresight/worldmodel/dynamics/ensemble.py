"""Ensembles: several networks of one shape, run as one batched product."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from foresight.core.errors import ForesightError
from foresight.worldmodel.dynamics.config import DynamicsConfig, Single, build_single
from foresight.worldmodel.dynamics.history import History, HistoryDynamics, Remembering, no_history
from foresight.worldmodel.dynamics.stacked import stack, unstack


class EnsembleDynamics(nn.Module):
    """E networks of any kind, their weights stacked with a leading E (PETS; Chua et al. 2018).

    A member is initialised as the single network under the seed ``seed + i`` would be.

    Attributes:
        members: E.
        network: the stacked network; like a single one, with an axis E in front of all it takes
            and gives. Its parameters have a single network's names.

    Args:
        config: kind, sizes and members.
        latent: Z.
        actions: A.
        seed: of the first member; None draws it from the global random stream.
    """

    def __init__(
        self, config: DynamicsConfig, latent: int, actions: int, seed: int | None = None
    ) -> None:
        super().__init__()
        self.config, self.latent, self.actions = config, latent, actions
        self.members = config.members
        first = int(torch.randint(2**31, ())) if seed is None else seed
        networks = []
        with torch.random.fork_rng(devices=[]):
            for index in range(config.members):
                torch.manual_seed(first + index)
                networks.append(build_single(config, latent, actions))
        self.network = stack(networks)

    def step(
        self, z: Float[Tensor, "E *batch Z"], action: Float[Tensor, "*batch A"]
    ) -> Float[Tensor, "E *batch Z"]:
        """One imagined step of every member from its own state, under shared actions."""
        return self.network.step(z, action.expand(*z.shape[:-1], action.shape[-1]))

    def forward(
        self,
        z: Float[Tensor, "*batch Z"] | Float[Tensor, "E *batch Z"],
        actions: Float[Tensor, "*batch H A"],
        truncate: int | None = None,
        **more: Any,
    ) -> Float[Tensor, "E *batch H+1 Z"]:
        """Imagine ``H`` steps open loop under shared actions; entry 0 is ``z`` itself.

        Args:
            z: the present, one for all members or one for each.
            actions: what is done from now on.
            truncate: stop the gradient every so many steps.
            more: ``history`` (the same for all members) of dynamics that take one.

        Raises:
            ForesightError: ``z`` has another number of members, or a history does not fit.
        """
        if z.ndim == actions.ndim - 1:
            z = z.expand(self.members, *z.shape)
        elif z.ndim != actions.ndim or len(z) != self.members:
            raise ForesightError(
                f"States of shape {list(z.shape)} do not fit actions of shape "
                f"{list(actions.shape)} and {self.members} members: give [..., Z] or "
                f"[{self.members}, ..., Z]."
            )
        past: History | None = more.pop("history", None)
        if past is not None:
            more["history"] = tuple(part.expand(self.members, *part.shape) for part in past)
        return self.network(z, actions.expand(self.members, *actions.shape), truncate, **more)

    def apart(
        self,
        z: Float[Tensor, "E *batch Z"],
        actions: Float[Tensor, "E *batch H A"],
        truncate: int | None = None,
        **more: Any,
    ) -> Float[Tensor, "E *batch H+1 Z"]:
        """Imagine with states, actions (and history) of each member's own, as in training."""
        return self.network(z, actions, truncate, **more)

    def member(self, index: int) -> Single:
        """A plain network with the weights of one member, in the mode and dtype of this one.

        Raises:
            ForesightError: there is no such member.
        """
        if not 0 <= index < self.members:
            raise ForesightError(
                f"There is no member {index}: the ensemble has the members 0 to {self.members - 1}."
            )
        with torch.random.fork_rng(devices=[]):
            single = build_single(self.config, self.latent, self.actions)
        like = next(self.parameters())
        return unstack(self.network, index, single.to(like)).train(self.training)


class HistoryEnsemble(EnsembleDynamics):
    """An ensemble whose members remember; see `HistoryDynamics` for the contract of histories."""

    network: HistoryDynamics

    @property
    def context(self) -> int:
        """The most frames seen at once."""
        return self.network.context

    def predict(
        self, z: Float[Tensor, "E *batch T Z"], actions: Float[Tensor, "E *batch T A"]
    ) -> Float[Tensor, "E *batch T Z"]:
        """The state after each of T known frames, with states and actions of each member's own."""
        return self.network.predict(z, actions)[0]

    def imagine(
        self, z0: Float[Tensor, "B Z"], actions: Float[Tensor, "B S H A"]
    ) -> Float[Tensor, "E B S H+1 Z"]:
        """Imagine whole futures of S candidates for B scenes, each frame computed once."""
        return Remembering(self, no_history(z0, actions)).imagine(z0, actions)


def clip_gradients(model: nn.Module, largest: float) -> None:
    """Scale gradients down to a norm of at most ``largest``, every member of an ensemble apart.

    One common norm would let a member's outlier shrink the others' steps. All parameters that
    belong to no ensemble share one norm, as `torch.nn.utils.clip_grad_norm_` has it.
    """
    stacked: set[nn.Parameter] = set()
    for module in model.modules():
        if isinstance(module, EnsembleDynamics):
            found = [p for p in module.parameters() if p.grad is not None]
            stacked.update(found)
            if found:
                norms = torch.stack([p.grad.flatten(1).norm(dim=1) for p in found]).norm(dim=0)  # type: ignore[union-attr]
                scale = (largest / (norms + 1e-6)).clamp(max=1.0)
                if scale.device.type == "cpu" and bool((scale == 1).all()):
                    continue  # nothing to change; on other devices asking takes longer
                for p in found:
                    assert p.grad is not None
                    p.grad.mul_(scale.view(-1, *[1] * (p.ndim - 1)))
    rest = [p for p in model.parameters() if p not in stacked]
    nn.utils.clip_grad_norm_(rest, largest)

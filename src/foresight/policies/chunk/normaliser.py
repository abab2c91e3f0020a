"""Tokens, states and actions to the scale on which a network learns, and back."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from foresight.perception.axes import standard_scale
from foresight.policies.chunk.config import ChunkConfig

FARTHEST = 5.0
"""States are cut this many deviations from their mean: nothing farther was ever shown."""


def canonical_rotation(
    vector: Float[Tensor, "*n 3"], reference: Float[Tensor, "3"]
) -> Float[Tensor, "*n 3"]:
    """The one axis-angle vector of a rotation that lies on the reference's side.

    A vector v and v - 2π v/|v| are the same rotation. Near half a turn a recorded orientation jumps
    between the two; here it does not.

    Args:
        vector: axis times angle in radians, of any length.
        reference: a direction; zero wraps angles to at most π and does no more.
    """
    angle = vector.norm(dim=-1, keepdim=True)
    axis = vector / angle.clamp(min=1e-12)
    wrapped = axis * (angle - 2 * math.pi * torch.round(angle / (2 * math.pi)))
    length = wrapped.norm(dim=-1, keepdim=True)
    other = wrapped - 2 * math.pi * wrapped / length.clamp(min=1e-12)
    behind = (wrapped @ reference)[..., None] < 0
    return torch.where(behind & (length > math.pi / 2), other, wrapped)


def rotation_reference(vectors: Float[Tensor, "n 3"]) -> Float[Tensor, "3"]:
    """The principal axis of rotations that are mostly beyond a quarter turn, else zero."""
    wrapped = canonical_rotation(vectors, torch.zeros(3))
    length = wrapped.norm(dim=-1, keepdim=True)
    if float(length.median()) < math.pi / 2:
        return torch.zeros(3)
    units = (wrapped / length.clamp(min=1e-12)).double()
    axis: Tensor = torch.linalg.eigh(units.T @ units).eigenvectors[:, -1]
    return (axis * axis[axis.abs().argmax()].sign()).float()


class Normaliser(nn.Module):
    """Statistics of the demonstrations, kept in the checkpoint.

    Numbers that never moved are told as 0, and acted as they were.
    """

    def __init__(self, config: ChunkConfig) -> None:
        super().__init__()
        self.config = config
        for index, camera in enumerate(config.cameras):
            self.register_buffer(f"token_mean_{index}", torch.zeros(camera.patches, camera.dim))
            self.register_buffer(f"token_scale_{index}", torch.ones(camera.dim))
        sizes = {"state": config.states, "action": config.actions}
        for name, size in sizes.items():
            self.register_buffer(f"{name}_mean", torch.zeros(size))
            self.register_buffer(f"{name}_scale", torch.ones(size))
        # Mean and scale of a binary number of an action: its lower value, and how far the other is.
        self.register_buffer("rotation", torch.zeros(len(config.rotations), 3))
        binary = torch.zeros(config.actions, dtype=torch.bool)
        binary[list(config.binary)] = True
        self.register_buffer("binary", binary, persistent=False)

    def fit_tokens(self, index: int, tokens: Float[Tensor, "n P D"]) -> None:
        """Learn the mean of each place and the deviation of each channel around it."""
        mean = tokens.mean(0)
        deviation = (tokens - mean).square().mean((0, 1)).sqrt()
        self.get_buffer(f"token_mean_{index}").copy_(mean)
        self.get_buffer(f"token_scale_{index}").copy_(standard_scale(deviation))

    def fit_numbers(self, states: Float[Tensor, "n S"], actions: Float[Tensor, "n A"]) -> None:
        """Learn means, deviations, the values of binary numbers and directions of rotations."""
        for index, first in enumerate(self.config.rotations):
            self.rotation[index] = rotation_reference(states[:, first : first + 3])
        for name, values in (("state", self.canonical(states)), ("action", actions)):
            if not values.shape[1]:
                continue
            deviation = values.std(0, correction=0)
            still = values.amax(0) - values.amin(0) <= 1e-6 * (1 + values.abs().amax(0))
            floor = 1e-3 * float(deviation.mean()) + 1e-8
            scale = deviation.clamp(min=floor).masked_fill(still, torch.inf)
            self.get_buffer(f"{name}_mean").copy_(values.mean(0))
            self.get_buffer(f"{name}_scale").copy_(scale)
        low, high = actions.amin(0), actions.amax(0)
        self.action_mean[self.binary] = low[self.binary]
        self.action_scale[self.binary] = (high - low)[self.binary]

    def canonical(self, states: Float[Tensor, "*n S"]) -> Float[Tensor, "*n S"]:
        """States whose rotations do not jump."""
        found = states.clone()
        for index, first in enumerate(self.config.rotations):
            part = slice(first, first + 3)
            found[..., part] = canonical_rotation(states[..., part], self.rotation[index])
        return found

    def tokens(self, index: int, tokens: Float[Tensor, "B P D"]) -> Float[Tensor, "B P D"]:
        """Tokens of a camera as the network reads them."""
        if self.config.network.tokens == "l2":
            return functional.normalize(tokens.float(), dim=-1)
        mean = self.get_buffer(f"token_mean_{index}")
        return (tokens.float() - mean) * self.get_buffer(f"token_scale_{index}")

    def noise_scale(self, index: int) -> float:
        """Deviation of noise in each channel whose norm is that of a typical token."""
        dim = self.config.cameras[index].dim
        return 1 / math.sqrt(dim) if self.config.network.tokens == "l2" else 1.0

    def state(self, states: Float[Tensor, "*n S"]) -> Float[Tensor, "*n S"]:
        """Standardised states, cut where nothing was ever shown."""
        found = (self.canonical(states) - self.state_mean) / self.state_scale
        return found.clamp(-FARTHEST, FARTHEST)

    def action(self, actions: Float[Tensor, "*n A"]) -> Float[Tensor, "*n A"]:
        """Standardised actions; 0 or 1 where an action is binary."""
        return (actions - self.action_mean) / self.action_scale

    def denormalised(self, actions: Float[Tensor, "*n A"]) -> Float[Tensor, "*n A"]:
        """The actions of standardised ones, in the robot's units."""
        scale = torch.where(self.action_scale.isinf(), 0.0, self.action_scale)
        return self.action_mean + scale * actions

    @torch.no_grad()
    def snapped(self, actions: Float[Tensor, "*n A"]) -> Float[Tensor, "*n A"]:
        """Actions whose binary numbers take the nearer of their two values."""
        actions = actions.to(self.action_mean.device)
        high = self.action(actions) > 0.5
        nearer = self.action_mean + torch.where(high, self.action_scale, 0.0)
        return torch.where(self.binary, nearer, actions).cpu()

    # Buffers, named for those who read and check the code above.
    action_mean: Tensor
    action_scale: Tensor
    state_mean: Tensor
    state_scale: Tensor
    rotation: Tensor
    binary: Tensor

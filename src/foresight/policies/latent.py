"""Policies that are networks over latent states, and how an observation becomes such a state."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from jaxtyping import Float
from torch import Tensor

from foresight.core.observation import Observation, pictures_of
from foresight.core.policy import Action, Policy
from foresight.core.spec import Spec
from foresight.perception.config import EncoderConfig
from foresight.policies.cloned import ClonedPolicy
from foresight.policies.mpc import expect_robot
from foresight.worldmodel.observation import ObservationEncoder


class LatentObserver:
    """One robot's observations to latent states; remembers what the history needs.

    Args:
        observer: encodes pictures, joins what was felt and stacks the past.
    """

    def __init__(self, observer: ObservationEncoder) -> None:
        assert observer.state is not None
        self.observer, self.state = observer, observer.state

    def reset(self) -> None:
        """Forget the last episode."""
        self.observer.reset()

    @torch.inference_mode()
    def see(self, observation: Observation) -> Float[Tensor, "1 Z"]:
        """The present latent state."""
        pictures = pictures_of([observation], self.observer.cameras)
        felt = None
        if self.state.config.proprio:
            felt = torch.from_numpy(observation.state)[None]
        z: Tensor = self.state(self.observer.see(pictures, felt).float())
        return z


class Network(Protocol):
    """A policy over latent states."""

    def select_action(self, z: Tensor) -> Tensor:
        """``z [B, Z] -> action [B, A]``."""
        ...


class NetworkPolicy(Policy):
    """See, then let a network choose.

    Args:
        observer: turns observations into latent states.
        network: chooses.
    """

    def __init__(self, observer: LatentObserver, network: Network) -> None:
        self.observer, self.network = observer, network

    def reset(self, observation: Observation, seed: int) -> None:
        """Start an episode; the first picture is seen by the first ``act``."""
        self.observer.reset()

    def act(self, observation: Observation) -> Action:
        """The next action ``[A]`` float32, within the bounds."""
        return self.network.select_action(self.observer.see(observation))[0].float().cpu().numpy()


@dataclass(frozen=True)
class ClonedFactory:
    """Makes the policy of a cloned checkpoint; picklable."""

    checkpoint: str
    eyes: EncoderConfig

    def __call__(self, spec: Spec) -> NetworkPolicy:
        """Load everything and build the policy.

        Raises:
            ForesightError: the policy belongs to another encoder, readout or robot, or is damaged.
        """
        policy = ClonedPolicy.load(self.checkpoint)
        encoder, readout = self.eyes.load()
        config = policy.config
        expect_robot(config, spec, f"The policy {self.checkpoint}")
        config.expect_encoder(encoder.fingerprint, readout.fingerprint)
        cameras = tuple(camera.name for camera in config.cameras)
        observer = ObservationEncoder(encoder, policy.state, readout, cameras)
        return NetworkPolicy(LatentObserver(observer), policy)

"""What a network of flat numbers takes in: the robot's state, or pooled tokens of its pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
from jaxtyping import Float32

from foresight.core.checkpoint import Header, TrainedOn
from foresight.core.errors import ForesightError
from foresight.core.observation import Observation, pictures_of
from foresight.core.spec import Spec
from foresight.envs.registry import EnvConfig, blind
from foresight.perception.config import EncoderConfig
from foresight.perception.stream import FeatureStream


@dataclass(frozen=True, kw_only=True)
class FlatRobot(TrainedOn):
    """What a network knows of its robot; without an encoder its input is the robot's state."""

    inputs: int
    """X, numbers of an observation."""
    action_low: tuple[float, ...]
    """What -1 stands for."""
    action_high: tuple[float, ...]
    """What 1 stands for."""

    @property
    def actions(self) -> int:
        """A, numbers of an action."""
        return len(self.action_low)

    @classmethod
    def from_header(cls, header: Header, **parts: Any) -> Self:
        """Read what `to_json` wrote; within `foresight.core.checkpoint.building`."""
        low, high = (tuple(header.config[name]) for name in ("action_low", "action_high"))
        return cls.read(header, action_low=low, action_high=high, **parts)


class Senses:
    """Turns observations into flat numbers, one row for each robot.

    Args:
        encoder: of whose tokens the rows are made; empty for the robot's state.
        readout: how tokens become features (`foresight.perception.config.EncoderConfig`).
        device: where the encoder runs.

    Raises:
        ForesightError: no such encoder or readout.
    """

    def __init__(self, encoder: str = "", readout: str = "", device: str = "cpu") -> None:
        self.names = (encoder, readout if encoder else "")
        self.eyes = EncoderConfig(encoder, readout, device).load() if encoder else None
        self._streams: list[list[FeatureStream]] = []

    @property
    def fingerprint(self) -> str:
        """Of encoder and readout; empty without."""
        if self.eyes is None:
            return ""
        encoder, readout = self.eyes
        return f"{encoder.fingerprint} {readout.fingerprint}"

    def environment(self, env: EnvConfig) -> EnvConfig:
        """The environment with pictures as the encoder takes them, or with none."""
        if self.eyes is None:
            return blind(env)
        return replace(env, size=self.eyes[0].image_size, quality=env.quality or "smooth")

    def robot(self, spec: Spec) -> FlatRobot:
        """What a network for this robot knows of it.

        Raises:
            ForesightError: there is nothing to take in.
        """
        eyes: tuple[str, str] = ("", "")
        inputs = len(spec.state)
        if self.eyes is not None:
            encoder, readout = self.eyes
            eyes = (encoder.fingerprint, readout.fingerprint)
            inputs = len(spec.cameras) * readout.feature_dim(encoder)
        if not inputs:
            raise ForesightError(
                "The robot has no numbers of its own and nobody looks: name an encoder, or choose "
                "a robot with a state."
            )
        return FlatRobot(
            inputs=inputs,
            action_low=tuple(map(float, spec.low)),
            action_high=tuple(map(float, spec.high)),
            encoder=self.names[0],
            readout=self.names[1],
            encoder_fingerprint=eyes[0],
            readout_fingerprint=eyes[1],
            spec=spec,
        )

    def reset(self) -> None:
        """Forget the last episodes."""
        self._streams = []

    def read(self, observations: Sequence[Observation]) -> Float32[np.ndarray, "N X"]:
        """The next row of every robot; the features of all cameras side by side."""
        if self.eyes is None:
            return np.stack([one.state for one in observations])
        shown = pictures_of(observations, list(observations[0].images))
        if not self._streams:
            self._streams = [[FeatureStream(*self.eyes) for _ in observations] for _ in shown]
        cameras = [
            np.stack([stream.push(picture) for stream, picture in zip(own, seen, strict=True)])
            for own, seen in zip(self._streams, shown.values(), strict=True)
        ]
        return np.concatenate(cameras, 1)

"""From live pictures of several scenes to what a state is read from; each is encoded once."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from foresight.core.errors import ForesightError
from foresight.perception.encoder import Encoder
from foresight.perception.readout import Readout
from foresight.perception.stream import FeatureStream
from foresight.worldmodel.state import StateEncoder

Frames = UInt8[np.ndarray, "B H W 3"]


class ObservationEncoder:
    """Frames (and the robot's own numbers) of N scenes to stacked steps ``[N, X]``.

    Only the newest frame is encoded; features of the steps before are kept. Before an episode has
    a past, its first step stands for it.

    Args:
        encoder: frozen.
        state: what reads the features; None gives whole tokens, to fit it on.
        readout: how tokens become features, as a cache of them has it. None takes the tokens of one
            tubelet as they are: the last decision's frame and this one.
        cameras: their names, in the order of the model's; a lone camera's name does not matter.
    """

    def __init__(
        self,
        encoder: Encoder,
        state: StateEncoder | None = None,
        readout: Readout | None = None,
        cameras: tuple[str, ...] = ("camera",),
    ) -> None:
        self.encoder, self.state, self.readout, self.cameras = encoder, state, readout, cameras
        self._before: list[Frames] | None = None
        self._streams: list[list[FeatureStream]] = []
        self._past: list[Float[Tensor, "B w"]] = []

    def reset(self) -> None:
        """Forget the last episodes, of all scenes."""
        self._before = None
        self._past = []
        for stream in (stream for streams in self._streams for stream in streams):
            stream.reset()

    def see(
        self, frames: Frames | Mapping[str, Frames], proprio: Float[Tensor, "B S"] | None = None
    ) -> Float[Tensor, "B X"]:
        """Take in the next frame of every scene.

        Args:
            frames: of a lone camera, or of each by its name.
            proprio: the robots' own numbers, where the state joins them.

        Returns:
            A stacked step for each scene, for `WorldModel.encode`; without a state the tokens
            ``[B, P, D]`` of these frames alone, those of several cameras side by side.

        Raises:
            ForesightError: a camera is missing, or a frame does not fit.
        """
        shown = self._in_order(frames)
        tokens = self._tokens(shown) if self.readout is None else self._features(shown)
        if self.state is None:
            return torch.cat(tokens, dim=-2)
        now = self.state.join(self.state.compress(tokens), proprio)
        config = self.state.config
        kept = 1 + config.stride * (config.history - 1)
        self._past = [now, *(self._past or [now] * kept)][:kept]
        return torch.cat(self._past[:: config.stride][::-1], dim=-1)

    def _in_order(self, frames: Frames | Mapping[str, Frames]) -> list[Frames]:
        if not isinstance(frames, Mapping):
            frames = {self.cameras[0]: frames}
        if len(self.cameras) == 1 and len(frames) == 1:
            return list(frames.values())
        missing = [name for name in self.cameras if name not in frames]
        if missing:
            seen = ", ".join(map(repr, frames)) or "none"
            raise ForesightError(
                f"There is no picture of camera {missing[0]!r} (there is {seen}): give the cameras "
                "that the model was trained on."
            )
        return [frames[name] for name in self.cameras]

    def _tokens(self, shown: list[Frames]) -> list[Float[Tensor, "B P D"]]:
        shown = [self.encoder.prepare(camera) for camera in shown]
        before = shown if self._before is None else self._before
        self._before = shown
        clips = [np.stack(pair, axis=1) for pair in zip(before, shown, strict=True)]
        return [self.encoder.encode(clip)[:, 0].flatten(1, 2) for clip in clips]

    def _features(self, shown: list[Frames]) -> list[Float[Tensor, "B 1 F"]]:
        assert self.readout is not None
        if not self._streams or len(self._streams[0]) != len(shown[0]):
            self._streams = [
                [FeatureStream(self.encoder, self.readout) for _ in camera] for camera in shown
            ]
        found = []
        for camera, streams in zip(shown, self._streams, strict=True):
            pushed = [stream.push(one) for stream, one in zip(streams, camera, strict=True)]
            found.append(torch.from_numpy(np.stack(pushed)).float()[:, None])
        return found

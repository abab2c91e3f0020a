"""Features of an episode: one vector per step, from the window that ends at that step."""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from weakref import WeakKeyDictionary

import numpy as np
import torch
from jaxtyping import Float, UInt8

from foresight.core.errors import ForesightError
from foresight.core.thread_pool import lane_pool, run_in_lanes
from foresight.perception.encoder import CPU_TOKENS, Encoder
from foresight.perception.preprocess import check_pictures
from foresight.perception.readout import Readout

# Tokens per encoder call: a GPU wants more work at once than a CPU, but a live step may have to be
# padded to as much (see `live_batch`).
GPU_TOKENS = 16384
# What `live_batch` found, so that many streams of one encoder try once.
_LIVE_BATCHES: WeakKeyDictionary[Encoder, dict[Readout, int]] = WeakKeyDictionary()


class FeatureStream:
    """Encoder and readout over time; whole episodes and live frames give the same features.

    Feature t depends on frames up to t only. The first windows are filled by repeating frame 0, so
    an episode may be shorter than a window. Frames may have any size and shape; the encoder's
    ``prepare`` says how they become its squares.

    The same clip gives other last bits in a batch of another size, because kernels are chosen by
    shape, and bfloat16 makes them visible. So every call of an episode has one size, the last one
    padded, and live frames are padded to the smallest size that was found to give equal bits.
    """

    def __init__(self, encoder: Encoder, readout: Readout) -> None:
        self.encoder = encoder
        self.readout = readout
        self.prepare = replace(encoder.prepare, size=readout.frame_size(encoder))
        self.dim = readout.feature_dim(encoder)
        self._pooled_dim = readout.pooled_dim(encoder)
        # Of each past step: its views, and for `difference` what was pooled from them.
        self._recent: deque[np.ndarray] = deque(maxlen=1 - int(readout.back[0]))
        self._pooled: deque[np.ndarray] = deque(maxlen=1 + readout.lag)
        self._shape: tuple[int, ...] | None = None

    def episode(
        self, frames: UInt8[np.ndarray, "t h w 3"], batch: int | None = None
    ) -> Float[np.ndarray, "t f"]:
        """Features of every step of an episode.

        Args:
            frames: uint8 RGB ``[T, H, W, 3]`` of any size.
            batch: clips per encoder call; None chooses for the device.

        Returns:
            float32 ``[T, F]``.

        Raises:
            ForesightError: no uint8 RGB frames, or features not finite.
        """
        frames = np.asarray(frames)
        if frames.ndim != 4 or len(frames) == 0:
            raise ForesightError(
                f"An episode's frames of shape {frames.shape} cannot be encoded: expected [time, "
                "height, width, 3] with at least one frame."
            )
        batch = batch or self.default_batch
        steps = len(frames)
        views = self._views(frames)
        # All clips of the first view, then all of the second: rows of `pixels` for each.
        pixels = views.reshape(-1, *views.shape[2:])
        clip = np.maximum(np.arange(steps)[:, None] + self.readout.back, 0)
        clips = np.concatenate([clip + view * steps for view in range(self.readout.views)])
        pooled = np.empty((len(clips), self._pooled_dim), np.float32)

        def fill(start: int) -> None:
            rows = clips[start : start + batch]
            pooled[start : start + batch] = self._encode(pixels[rows], batch)

        starts = range(0, len(clips), batch)
        if self.encoder.device.type == "cpu":
            run_in_lanes(fill, starts)
        else:
            for start in starts:
                fill(start)
        moments = pooled.reshape(self.readout.views, steps, -1).swapaxes(0, 1)
        past = moments[np.maximum(np.arange(steps) - self.readout.lag, 0)]
        return self._feature(moments, past)

    def expect_size(self, height: int, width: int) -> None:
        """Refuse pictures that a zoom would have to blow up.

        Raises:
            ForesightError: they are smaller than a zoom looks at.
        """
        zoom, size = self.readout.zoom, self.prepare.size
        if zoom is not None and min(height, width) < size:
            own = self.encoder.image_size
            raise ForesightError(
                f"Frames of {height}x{width} pixels are too small for a zoom of {zoom.factor} on "
                f"an encoder of {own}x{own}: record them with at least {size}x{size}, or leave the "
                "zoom out."
            )

    @property
    def reach(self) -> int:
        """Steps back from the present that a feature depends on."""
        return self.readout.lag - int(self.readout.back[0])

    def reset(self) -> None:
        """Forget the frames seen: the next one starts an episode."""
        self._recent.clear()
        self._pooled.clear()
        self._shape = None

    def push(self, frame: UInt8[np.ndarray, "h w 3"]) -> Float[np.ndarray, " f"]:
        """Feature ``[F]`` (float32) of the step that shows ``frame`` ``[H, W, 3]``.

        Equal to ``episode`` on all frames since `reset`.

        Raises:
            ForesightError: no uint8 RGB frame, one of another size than those before, or features
                not finite.
        """
        seen = [*self._recent, self._look(frame)]
        newest = len(seen) - 1
        clip = np.stack([seen[max(0, newest + int(back))] for back in self.readout.back], axis=1)
        moment = self._encode(clip, self.live_batch)
        # Only now: a frame that was refused leaves no trace.
        self._recent.append(seen[-1])
        self._pooled.append(moment)
        self._shape = np.shape(frame)
        return self._feature(moment[None], self._pooled[0][None])[0]

    def skip(self, frame: UInt8[np.ndarray, "h w 3"]) -> None:
        """Take in a step whose feature nobody asks for: only what later ones look back on is kept.

        Raises:
            ForesightError: as `push`.
        """
        if self.readout.lag:
            self.push(frame)
            return
        self._recent.append(self._look(frame))
        self._shape = np.shape(frame)

    def _look(self, frame: UInt8[np.ndarray, "h w 3"]) -> np.ndarray:
        """The views ``[V, h, w, 3]`` of a live frame."""
        frame = np.array(frame)  # a copy: renderers reuse their buffers
        if self._shape is not None and frame.shape != self._shape:
            raise ForesightError(
                f"A frame of shape {frame.shape} follows frames of shape {self._shape}: call "
                "reset() between episodes and keep one size."
            )
        return self._views(frame[None])[:, 0]

    @property
    def default_batch(self) -> int:
        """Clips per encoder call that keep this device busy without leaving its caches."""
        encoder = self.encoder
        tokens = self.readout.clip // encoder.tubelet * encoder.grid**2
        wanted = CPU_TOKENS if encoder.device.type == "cpu" else GPU_TOKENS
        return max(1, wanted // tokens)

    @property
    def live_batch(self) -> int:
        """Clips per encoder call of a live step, the present one and padding.

        The smallest power of two whose result is that of an episode's call to the last bit; found
        by trying, once for an encoder, with the threads of that moment.
        """
        found = _LIVE_BATCHES.setdefault(self.encoder, {})
        if self.readout not in found:
            found[self.readout] = self._find_live_batch()
        return found[self.readout]

    def _find_live_batch(self) -> int:
        full = self.default_batch
        size = self.encoder.image_size
        noise = np.random.default_rng(0).integers(
            0, 256, (1, self.readout.clip, size, size, 3), np.uint8
        )
        batch = 1
        if full > 1:
            # As the lanes of an episode run.
            expected = lane_pool(1).submit(self._encode, noise, full).result()
            while batch < full and not np.array_equal(self._encode(noise, batch), expected):
                batch *= 2
        return min(batch, full)

    def _views(self, frames: np.ndarray) -> np.ndarray:
        """What the encoder looks at: ``[V, T, h, w, 3]``."""
        check_pictures(frames)
        self.expect_size(*frames.shape[1:3])
        frames = self.prepare(frames)
        if self.readout.zoom is None:
            return frames[None]
        whole = torch.from_numpy(np.require(frames, requirements=["C", "W"]))
        return self.readout.zoom.views(whole, self.encoder.image_size).numpy()

    def _encode(self, clips: np.ndarray, batch: int) -> np.ndarray:
        """Pooled features ``[B, P]`` of clips ``[B, T, h, w, 3]``, every call with ``batch``."""
        out = np.empty((len(clips), self._pooled_dim), np.float32)
        for start in range(0, len(clips), batch):
            part = clips[start : start + batch]
            missing = batch - len(part)
            padded = np.concatenate([part, part[-1:].repeat(missing, 0)]) if missing else part
            pooled = self.readout.apply(self.encoder.encode(torch.from_numpy(padded)))
            out[start : start + batch] = pooled[: len(part)].cpu().numpy()
        return out

    def _feature(self, now: np.ndarray, past: np.ndarray) -> np.ndarray:
        """Features ``[T, F]`` from what was pooled now and ``lag`` steps ago, ``[T, V, P]``."""
        if self.readout.pool == "difference":
            now = np.concatenate([now, now - past], axis=2)
        return np.ascontiguousarray(now.reshape(len(now), -1))

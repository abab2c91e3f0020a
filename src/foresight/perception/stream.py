"""Features of an episode: one vector per step, from the window that ends at that step."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import numpy as np
import torch
from jaxtyping import Float, UInt8

from foresight.errors import ForesightError
from foresight.perception.encoder import Encoder
from foresight.perception.readout import Readout

# Tokens per encoder call. On a CPU the activations of about 1k tokens stay in the caches; a GPU
# wants more work at once.
CPU_TOKENS = 1024
GPU_TOKENS = 65536


class FeatureStream:
    """Encoder and readout over time; whole episodes and live frames give the same features.

    Feature t depends on frames up to t only. The first windows are filled by repeating frame 0.
    """

    def __init__(self, encoder: Encoder, readout: Readout) -> None:
        self.encoder = encoder
        self.readout = readout
        self.dim = readout.feature_dim(encoder)
        self._recent: deque[np.ndarray] = deque(maxlen=readout.window)

    def episode(
        self, frames: UInt8[np.ndarray, "t h w 3"], batch: int | None = None
    ) -> Float[np.ndarray, "t f"]:
        """Features of every step of an episode.

        Args:
            frames: uint8 RGB ``[T, H, W, 3]``.
            batch: windows per encoder call; None chooses for the device.

        Returns:
            float32 ``[T, F]``.

        Raises:
            ForesightError: frames of another shape, size or dtype, or features not finite.
        """
        frames = np.asarray(frames)
        if frames.ndim != 4 or len(frames) == 0:
            raise ForesightError(
                f"An episode's frames of shape {frames.shape} cannot be encoded: expected [time, "
                "height, width, 3] with at least one frame."
            )
        batch = batch or self.default_batch
        back = np.arange(1 - self.readout.window, 1)
        out = np.empty((len(frames), self.dim), np.float32)

        def fill(start: int) -> None:
            steps = np.arange(start, min(start + batch, len(frames)))
            out[steps] = self._features(frames[np.maximum(steps[:, None] + back, 0)])

        starts = range(0, len(frames), batch)
        lanes = min(torch.get_num_threads(), len(starts))
        if lanes > 1 and self.encoder.device.type == "cpu":
            with _single_threaded(lanes) as pool:
                for _ in pool.map(fill, starts):
                    pass
        else:
            for start in starts:
                fill(start)
        return out

    def reset(self) -> None:
        """Forget the frames seen: the next one starts an episode."""
        self._recent.clear()

    def push(self, frame: UInt8[np.ndarray, "h w 3"]) -> Float[np.ndarray, " f"]:
        """Feature ``[F]`` (float32) of the step that shows ``frame`` ``[H, W, 3]``.

        Equal to ``episode`` on all frames since `reset`, up to rounding between batch sizes.

        Raises:
            ForesightError: a frame of another shape, size or dtype, or features not finite.
        """
        frame = np.array(frame)  # a copy: renderers reuse their buffers
        window = [*self._recent, frame]
        window = [window[0]] * (self.readout.window - len(window)) + window
        window = window[-self.readout.window :]
        if any(past.shape != frame.shape for past in window):
            raise ForesightError(
                f"A frame of shape {frame.shape} follows frames of shape {window[0].shape}: call "
                "reset() between episodes and keep one size."
            )
        feature = self._features(np.stack(window)[None])[0]
        self._recent.append(frame)
        return feature

    @property
    def default_batch(self) -> int:
        """Windows per encoder call that keep this device busy without leaving its caches."""
        encoder = self.encoder
        tokens = self.readout.window // encoder.tubelet * encoder.grid**2
        wanted = CPU_TOKENS if encoder.device.type == "cpu" else GPU_TOKENS
        return max(1, wanted // tokens)

    def _features(self, windows: np.ndarray) -> np.ndarray:
        tokens = self.encoder.encode(torch.from_numpy(windows))
        return self.readout.apply(tokens).cpu().numpy()


@contextmanager
def _single_threaded(lanes: int) -> Iterator[ThreadPoolExecutor]:
    """A pool whose threads each run torch's operations alone.

    One batch for each thread, instead of every small operation shared by all threads: those meet
    after each operation, and where another program holds one core they all wait for it, which has
    been seen to cost a factor of 40.
    """
    threads = torch.get_num_threads()
    try:
        with ThreadPoolExecutor(lanes, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            yield pool
    finally:
        # What a thread sets for itself is also what threads to come begin with.
        torch.set_num_threads(threads)

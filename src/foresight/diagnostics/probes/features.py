"""The features that probes compare: an encoder's tokens, random weights, PCA of raw pixels."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from foresight.core.errors import ForesightError
from foresight.core.files import fingerprint
from foresight.core.progress import track
from foresight.diagnostics.probes.components import principal_scores
from foresight.diagnostics.probes.data import ProbeData, Split
from foresight.perception.encoder import CPU_TOKENS, Encoder
from foresight.perception.stream import GPU_TOKENS


class Eye(Protocol):
    """What can be probed: the interface of `foresight.perception.encoder.Encoder`."""

    name: str
    fingerprint: str
    image_size: int

    def encode(self, frames: Any) -> Float[Tensor, "b t h w d"]:
        """Tokens ``[B, T', h, w, D]`` of uint8 frames ``[B, T, H, W, 3]``."""
        ...


class Resized:
    """An encoder that is given frames of another size than its own, and brings them to its own.

    Args:
        encoder: what sees them.
        image_size: side of the square frames that it is given, in pixels.
    """

    def __init__(self, encoder: Encoder, image_size: int) -> None:
        self.encoder = encoder
        self.name, self.device = encoder.name, encoder.device
        self.image_size = image_size
        self.patch = max(1, image_size // encoder.grid)
        rule = encoder.prepare.fingerprint(image_size, image_size)
        self.fingerprint = fingerprint([encoder.fingerprint, rule])

    def encode(self, frames: Any) -> Float[Tensor, "b t h w d"]:
        """Tokens ``[B, T', h, w, D]`` of uint8 frames ``[B, T, H, W, 3]``."""
        clips = np.asarray(frames)
        squares = self.encoder.prepare(clips.reshape(-1, *clips.shape[2:]))
        return self.encoder.encode(squares.reshape(*clips.shape[:2], *squares.shape[1:]))


def encode_windows(eye: Eye, data: ProbeData) -> Float[Tensor, "n t h w d"]:
    """Tokens of all windows, each encoded once.

    They are kept in half precision, less the mean of the first batch: a step of a robot often
    changes a token by less than half precision resolves of the whole token. No probe minds a
    constant.

    Args:
        eye: the frozen encoder.
        data: the windows.

    Returns:
        float16 ``[N, T', h, w, D]`` on the CPU.

    Raises:
        ForesightError: frames that do not fit, or features that are not finite.
    """
    kept: Tensor | None = None
    offset: Tensor | None = None
    done = 0
    for clips in track(_batches(eye, data), f"{data.name}: {eye.name}"):
        tokens = eye.encode(clips).float().cpu()
        if kept is None or offset is None:
            offset = tokens.mean(dim=0)
            kept = torch.empty(len(data), *tokens.shape[1:], dtype=torch.float16)
        part = (tokens - offset).half()
        if not torch.isfinite(part.sum(dtype=torch.float32)):
            raise ForesightError(
                f"The features of {eye.name} on {data.name} are not finite: its weights are "
                "damaged, check them or use dtype float32."
            )
        kept[done : done + len(part)] = part
        done += len(part)
    if kept is None or done != len(data):
        raise ForesightError(
            f"{data.name} gave {done} of {len(data)} windows: its data have changed meanwhile, run "
            "the command again."
        )
    return kept


def pixel_components(data: ProbeData, split: Split, seed: int = 0) -> Float[Tensor, "n k"]:
    """Principal components of the raw pixels of a window, fitted on the training windows.

    Returns:
        Scores ``[N, K]`` (fp32) of all windows, scaled to mean square 1.
    """
    rows = [np.reshape(clips, (len(clips), -1)) for clips in data.clips()]
    pixels = torch.from_numpy(np.concatenate(rows))
    return principal_scores(pixels, torch.from_numpy(split.train), seed=seed)


def _batches(eye: Eye, data: ProbeData) -> Iterator[UInt8[np.ndarray, "b t h w 3"]]:
    """The clips in batches of a size that suits the encoder's device."""
    device = getattr(eye, "device", torch.device("cpu"))
    budget = CPU_TOKENS if device.type == "cpu" else GPU_TOKENS
    side = max(1, eye.image_size // int(getattr(eye, "patch", 16)))
    waiting: list[np.ndarray] = []
    for clips in data.clips():
        size = max(1, budget // max(1, clips.shape[1] // 2 * side**2))
        waiting.extend(clips)
        while len(waiting) >= size:
            yield np.stack(waiting[:size])
            waiting = waiting[size:]
    if waiting:
        yield np.stack(waiting)

"""The frozen V-JEPA 2 or 2.1 encoder: uint8 frames in, tokens out."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from foresight.core.errors import ForesightError
from foresight.core.files import fingerprint
from foresight.core.thread_pool import run_in_lanes
from foresight.perception.checkpoint import Size, open_checkpoint
from foresight.perception.preprocess import (
    DEFAULT_FIT,
    IMAGENET_MEAN,
    IMAGENET_STD,
    Fit,
    PicturePreparation,
)
from foresight.perception.trunk import Trunk
from foresight.perception.vit import VisionTransformer, initialise
from foresight.perception.vit21 import Vit21Config

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
CPU_TOKENS = 2048
"""Tokens per pass on a CPU core: the activations of about so many stay in its caches."""


class Encoder:
    """A frozen V-JEPA 2 or 2.1 encoder; made by `load_encoder`.

    Attributes:
        name: folder or file name, hub id, or name of a bundled encoder.
        generation: ``2.0`` or ``2.1``; the second takes single frames and has levels.
        part: where in its file it was, in words: ``target_encoder, names without module.``.
        fingerprint: hash of weights, configuration, preprocessing and dtype: two encoders with
            one fingerprint give the same tokens (up to rounding between devices).
        frame_shape: frame height and width in pixels; nothing else is accepted.
        image_size: the smaller of the two, which for square frames is both.
        grid_shape: tokens along height and width; ``grid`` is the smaller of the two.
        patch: patch side in pixels.
        tubelet: frames per token.
        dim: features per token (D).
        device: where it runs.
        prepare: brings pictures of any size to ``image_size``; `encode` itself takes no other
            than ``frame_shape``.
        dtype: dtype of the products; residual stream and tokens are always fp32.
    """

    def __init__(
        self,
        module: VisionTransformer,
        name: str,
        content: str,
        dtype: torch.dtype,
        device: Any,
        native: bool = True,
        part: str = "",
        fit: Fit = DEFAULT_FIT,
    ) -> None:
        """Take over a module.

        Args:
            module: the reference encoder with its weights in fp32; emptied.
            name: what to call it.
            content: fingerprint of weights and configuration.
            dtype: of the products.
            device: where to run.
            native: run in C++ where that can be.
            part: where in its file it was, in words.
            fit: how pictures of another shape become its squares.
        """
        config = module.config
        self.device = torch.device(device)
        self.trunk = Trunk(module, dtype, self.device, native)
        self.name = name
        self.part = part
        self.dtype = dtype
        self.config = config
        self.generation = "2.1" if isinstance(config, Vit21Config) else "2.0"
        self.patch, self.tubelet, self.dim = config.patch, config.tubelet, config.dim
        self.frame_shape = (config.height, config.width)
        self.image_size = min(self.frame_shape)
        self.prepare = PicturePreparation(self.image_size, fit)
        self.grid_shape = config.grid
        self.grid = min(config.grid)
        square = len(set(self.frame_shape)) == 1
        self.fingerprint = fingerprint(
            {
                "content": content,
                "mean": IMAGENET_MEAN,
                "std": IMAGENET_STD,
                "image_size": self.image_size if square else self.frame_shape,
                "dtype": str(self.dtype),
                **({} if fit == DEFAULT_FIT else {"fit": fit}),
            }
        )

    @property
    def described(self) -> str:
        """Generation and part of the file, in words."""
        name = "V-JEPA 2.1" if self.generation == "2.1" else "V-JEPA 2"
        return f"{name}, {self.part}" if self.part else name

    @torch.no_grad()
    def encode(
        self,
        frames: UInt8[Tensor, "b t h w 3"] | UInt8[np.ndarray, "b t h w 3"],
        levels: bool = False,
    ) -> Float[Tensor, "b n h/p w/p d"]:
        """Tokens of a batch of clips, in fp32, on the encoder's device.

        Time is seen in both directions: a token knows the later frames of its clip, so a clip must
        end at the present step.

        Args:
            frames: uint8 RGB ``[B, T, H, W, 3]``, upright, of ``frame_shape``, T a multiple of
                ``tubelet`` (an odd clip would silently lose its last, present, frame). V-JEPA 2.1
                takes T = 1 as a still, which has patches and an embedding of its own.
            levels: V-JEPA 2.1's levels side by side, shallow first, each after its own LayerNorm;
                the last ``dim`` channels are what is given without.

        Returns:
            Tokens ``[B, T/tubelet, H/patch, W/patch, dim]``, after the final LayerNorm; with
            ``levels`` as many times ``dim`` as there are levels, 4 in Meta's files.

        Raises:
            ForesightError: wrong dtype, shape, size or length, no levels, or the tokens are not
                finite.
        """
        clips = self._check(frames).to(self.device, non_blocking=True)
        return self._encoded(self.trunk, clips, levels)

    @torch.no_grad()
    def tokens(
        self, clip: Float[Tensor, "b t 3 h w"], levels: bool = False
    ) -> Float[Tensor, "b n h/p w/p d"]:
        """Tokens of clips that are ImageNet-normalised already; else as `encode`.

        Args:
            clip: floats ``[B, T, 3, H, W]`` of ``frame_shape``, T a multiple of ``tubelet``.
            levels: as in `encode`.

        Raises:
            ForesightError: as `encode`.
        """
        if not isinstance(clip, Tensor) or not clip.is_floating_point():
            raise ForesightError(
                f"A clip of {getattr(clip, 'dtype', type(clip).__name__)} is not normalised: pass "
                "float frames [batch, time, 3, height, width], or bytes to encode()."
            )
        height, width = self.frame_shape
        if clip.ndim != 5 or clip.shape[2] != 3 or 0 in clip.shape:
            raise ForesightError(
                f"A clip of shape {tuple(clip.shape)} cannot be encoded: expected [batch, time, 3, "
                f"{height}, {width}] with at least one clip."
            )
        self._check_size(clip.shape[3], clip.shape[4])
        self._check_time(clip.shape[1])
        return self._encoded(self.trunk.tokens, clip.float().to(self.device), levels)

    def _encoded(self, function: Callable[..., Tensor], clips: Tensor, levels: bool) -> Tensor:
        if levels and self.generation == "2.0":
            raise ForesightError(
                f"The encoder {self.name} has one output, levels are of V-JEPA 2.1: leave them out "
                "or load a 2.1 checkpoint."
            )
        return self._finished(self._in_parts(partial(function, levels=levels), clips))

    def _in_parts(self, function: Callable[[Tensor], Tensor], clips: Tensor) -> Tensor:
        """The whole batch at once on a GPU; small parts, side by side, on a CPU."""
        whole = self.device.type != "cpu" or self.trunk.native is not None  # which divides it
        if whole or len(clips) == 1 or torch.get_num_threads() == 1:
            return function(clips)
        rows, columns = self.grid_shape
        tokens = max(1, clips.shape[1] // self.tubelet) * rows * columns
        lanes = -(-len(clips) // torch.get_num_threads())
        parts = clips.split(max(1, min(lanes, CPU_TOKENS // tokens)))
        return torch.cat(run_in_lanes(torch.no_grad()(function), parts))

    def _finished(self, tokens: Tensor) -> Tensor:
        if not torch.isfinite(tokens.sum()):
            raise ForesightError(
                f"The encoder {self.name} gave features that are not finite ({self.dtype}): its "
                "weights are damaged, or use dtype float32."
            )
        return tokens.view(tokens.shape[0], -1, *self.grid_shape, tokens.shape[-1])

    def _check(self, frames: Tensor | np.ndarray) -> Tensor:
        height, width = self.frame_shape
        if isinstance(frames, np.ndarray):
            if frames.dtype == np.uint8:
                frames = np.ascontiguousarray(frames)
                frames = torch.from_numpy(frames if frames.flags.writeable else frames.copy())
            else:
                raise ForesightError(_bad_dtype(frames.dtype))
        if frames.dtype != torch.uint8:
            raise ForesightError(_bad_dtype(frames.dtype))
        shape = tuple(frames.shape)
        if len(shape) != 5 or shape[-1] != 3 or 0 in shape:
            raise ForesightError(
                f"Frames of shape {shape} cannot be encoded: expected [batch, time, {height}, "
                f"{width}, 3] with at least one clip."
            )
        self._check_size(shape[2], shape[3])
        self._check_time(shape[1])
        return frames.contiguous()

    def _check_size(self, height: int, width: int) -> None:
        if (height, width) != self.frame_shape:
            wanted = "x".join(map(str, self.frame_shape))
            raise ForesightError(
                f"Frames of {height}x{width} pixels do not fit the encoder {self.name}, which "
                f"expects {wanted}: render at {wanted}, or load it with image_size={height}."
            )

    def _check_time(self, frames: int) -> None:
        if frames % self.tubelet and (frames > 1 or self.generation == "2.0"):
            raise ForesightError(
                f"A clip of {frames} frames cannot be encoded: the encoder {self.name} takes "
                f"multiples of {self.tubelet}, else the present frame would be dropped."
            )


def load_encoder(
    path_or_id: str | Path,
    device: str | torch.device = "cpu",
    dtype: str | torch.dtype | None = None,
    image_size: Size | None = None,
    random_weights: int | None = None,
    part: str | None = None,
    fit: Fit = DEFAULT_FIT,
) -> Encoder:
    """Load a frozen V-JEPA 2 or 2.1 encoder; the names of its weights tell which it is.

    >>> import numpy as np
    >>> import foresight
    >>> encoder = foresight.load_encoder("foresight-small")
    >>> frames = np.zeros((1, 8, 64, 64, 3), np.uint8)
    >>> tuple(encoder.encode(frames).shape)  # clips, tubelets, rows, columns, channels
    (1, 4, 8, 8, 192)

    Args:
        path_or_id: a ``save_pretrained`` folder, a hub id such as
            ``facebook/vjepa2-vitl-fpc64-256``, one of Meta's ``.pt`` files, a safetensors file
            with either names, or a bundled encoder: ``foresight-small``, ``random-small``.
        device: ``cpu``, ``cuda``, ``cuda:1``, …, or ``auto`` (cuda where there is one).
        dtype: ``bfloat16`` or ``float32``; None takes bfloat16 where the hardware computes in it.
        image_size: frame size in pixels (one number, or height and width) if other than the
            checkpoint's; multiples of the patch.
        random_weights: a seed; the same architecture untrained, for baselines.
        part: ``ema_encoder``, ``target_encoder`` or ``encoder`` where a file holds several; None
            takes the first of them, and ``Encoder.part`` says what was taken.
        fit: how pictures of another size or shape become its squares when they are encoded for a
            dataset or live: ``squash`` (everything is seen, proportions change), ``crop`` (the
            middle square) or ``pad`` (between black bars).

    Raises:
        ForesightError: an unknown or damaged checkpoint, no V-JEPA 2 or 2.1, weights
            that no trained encoder has, a device or dtype that is not there, or a size that does
            not fit.
    """
    place = find_device(device)
    kind = find_dtype(dtype, place)
    checkpoint = open_checkpoint(path_or_id, image_size, part)
    module, taken = checkpoint.load()
    if random_weights is None:
        content = checkpoint.fingerprint()
        return Encoder(module, checkpoint.name, content, kind, place, part=taken, fit=fit)
    initialise(module, torch.Generator().manual_seed(random_weights))
    content = fingerprint({"random": random_weights, "config": module.config})
    return Encoder(module, f"random:{checkpoint.name}", content, kind, place, fit=fit)


def default_dtype(device: torch.device) -> torch.dtype:
    """bfloat16 where the hardware multiplies it natively (CUDA, AMX, AVX512-BF16), else fp32."""
    if device.type == "cuda":
        fast = torch.cuda.get_device_capability(device) >= (8, 0)
    elif device.type == "cpu":
        # No public query exists in all supported versions of torch; without one, fp32 is right.
        names = ("_is_amx_tile_supported", "_is_avx512_bf16_supported")
        fast = any(getattr(torch.cpu, name, lambda: False)() for name in names)
    else:
        fast = False
    return torch.bfloat16 if fast else torch.float32


def find_device(device: str | torch.device) -> torch.device:
    """A device by name; ``auto`` is cuda where there is one.

    Raises:
        ForesightError: there is no such device here.
    """
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        place = torch.device(device)
        torch.empty(0, device=place)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise ForesightError(
            f"The device {str(device)!r} is not available here: use cpu, auto, or a machine and a "
            "build of PyTorch that have it."
        ) from error
    return place


def find_dtype(dtype: str | torch.dtype | None, device: torch.device) -> torch.dtype:
    """A dtype of products by name; None is the fastest that the device computes in.

    Raises:
        ForesightError: neither bfloat16 nor float32.
    """
    if dtype is None:
        return default_dtype(device)
    kind = DTYPES.get(str(dtype).removeprefix("torch."))
    if kind is None:
        raise ForesightError(
            f"The dtype {str(dtype)!r} is not supported: use bfloat16 or float32 (float16 "
            "overflows, and is very slow on a CPU)."
        )
    return kind


def _bad_dtype(dtype: object) -> str:
    return f"Frames of dtype {dtype} cannot be encoded: expected uint8 RGB from 0 to 255."

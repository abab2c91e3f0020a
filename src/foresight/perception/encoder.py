"""The frozen V-JEPA 2 encoder: uint8 frames in, tokens out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from foresight.errors import ForesightError
from foresight.files import fingerprint
from foresight.perception.checkpoint import load_encoder_module, open_checkpoint
from foresight.perception.random_small import NAME as RANDOM_SMALL
from foresight.perception.random_small import random_small_folder
from foresight.perception.trunk import IMAGENET_MEAN, IMAGENET_STD, Trunk

DEFAULT_HUB_ENCODER = "facebook/vjepa2-vitl-fpc64-256"
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


class Encoder:
    """A frozen V-JEPA 2 encoder; made by `load_encoder`.

    Attributes:
        name: folder name, hub id or ``random-small``.
        fingerprint: hash of weights, configuration, preprocessing and dtype: two encoders with
            one fingerprint give the same tokens (up to rounding between devices).
        image_size: frame height and width in pixels; nothing else is accepted.
        patch: patch side in pixels.
        tubelet: frames per token.
        dim: features per token (D).
        device: where it runs.
        dtype: dtype of the products; residual stream and tokens are always fp32.
    """

    def __init__(self, trunk: Trunk, name: str, content: str, device: torch.device) -> None:
        self.trunk = trunk.to(device)
        self.name = name
        self.device = device
        self.dtype = trunk.dtype
        self.patch = trunk.embedding.patch
        self.tubelet = trunk.embedding.tubelet
        self.grid = trunk.grid
        self.image_size = self.grid * self.patch
        self.dim = int(trunk.norm.weight.shape[0])
        self.fingerprint = fingerprint(
            {
                "content": content,
                "mean": IMAGENET_MEAN,
                "std": IMAGENET_STD,
                "image_size": self.image_size,
                "dtype": str(self.dtype),
            }
        )

    @torch.no_grad()
    def encode(
        self, frames: UInt8[Tensor, "b t h w 3"] | UInt8[np.ndarray, "b t h w 3"]
    ) -> Float[Tensor, "b n h/p w/p d"]:
        """Tokens of a batch of clips, in fp32, on the encoder's device.

        Time is seen in both directions: a token knows the later frames of its clip, so a clip must
        end at the present step.

        Args:
            frames: uint8 RGB ``[B, T, H, W, 3]``, upright, ``H = W = image_size``, T a multiple of
                ``tubelet`` (an odd clip would silently lose its last, present, frame).

        Returns:
            Tokens ``[B, T/tubelet, H/patch, W/patch, dim]``, after the final LayerNorm.

        Raises:
            ForesightError: wrong dtype, shape, size or length, or the tokens are not finite.
        """
        clips = self._check(frames).to(self.device, non_blocking=True)
        tokens = self.trunk(clips)
        if not torch.isfinite(tokens.sum()):
            raise ForesightError(
                f"The encoder {self.name} gave features that are not finite ({self.dtype}): its "
                "weights are damaged, or use dtype float32."
            )
        return tokens.view(tokens.shape[0], -1, self.grid, self.grid, self.dim)

    def _check(self, frames: Tensor | np.ndarray) -> Tensor:
        size = self.image_size
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
                f"Frames of shape {shape} cannot be encoded: expected [batch, time, {size}, {size},"
                " 3] with at least one clip."
            )
        if shape[2:4] != (size, size):
            raise ForesightError(
                f"Frames of {shape[2]}x{shape[3]} pixels do not fit the encoder {self.name}, which "
                f"expects {size}x{size}: render at {size}, or load it with image_size={shape[2]}."
            )
        if shape[1] % self.tubelet:
            raise ForesightError(
                f"A clip of {shape[1]} frames cannot be encoded: the encoder {self.name} takes "
                f"multiples of {self.tubelet}, else the present frame would be dropped."
            )
        return frames.contiguous()


def load_encoder(
    path_or_id: str | Path,
    device: str | torch.device = "cpu",
    dtype: str | torch.dtype | None = None,
    image_size: int | None = None,
) -> Encoder:
    """Load a frozen V-JEPA 2 encoder.

    Args:
        path_or_id: a local ``save_pretrained`` folder, a hub id such as
            ``facebook/vjepa2-vitl-fpc64-256``, or ``random-small`` (made on the spot).
        device: ``cpu``, ``cuda``, ``cuda:1``, …, or ``auto`` (cuda where there is one).
        dtype: ``bfloat16`` or ``float32``; None takes bfloat16 where the hardware computes in it.
        image_size: frame size in pixels if other than the checkpoint's; a multiple of the patch.

    Raises:
        ForesightError: an unknown or damaged checkpoint, one that is not V-JEPA 2, a device or
            dtype that is not there, or a size that does not fit.
    """
    place = _device(device)
    kind = _dtype(dtype, place)
    bundled = str(path_or_id) == RANDOM_SMALL
    checkpoint = open_checkpoint(random_small_folder() if bundled else path_or_id, image_size)
    trunk = Trunk(load_encoder_module(checkpoint), kind)
    return Encoder(trunk, checkpoint.name, checkpoint.fingerprint(), place)


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


def _device(device: str | torch.device) -> torch.device:
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


def _dtype(dtype: str | torch.dtype | None, device: torch.device) -> torch.dtype:
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

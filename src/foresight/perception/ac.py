"""V-JEPA 2-AC as one thing: the encoder and the predictor that was trained on its tokens."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from foresight.core.errors import ForesightError
from foresight.core.files import file_fingerprint
from foresight.perception.ac_checkpoint import load_ac_predictor
from foresight.perception.ac_predictor import ACPredictor, normalise
from foresight.perception.encoder import Encoder, load_encoder

BATCH = 32  # frames per encoder call


def represent(
    encoder: Encoder, frames: UInt8[Tensor, "b t h w 3"] | UInt8[np.ndarray, "b t h w 3"]
) -> Float[Tensor, "b tn d"]:
    """Tokens of single frames as V-JEPA 2-AC wants them.

    Each frame is shown twice to the encoder, alone, so that no frame knows a later one; its tokens
    are then normalised without scale and shift.

    Args:
        encoder: the frozen encoder; a frame fills one tubelet.
        frames: uint8 RGB ``[B, T, H, W, 3]``, upright.

    Returns:
        ``[B, T * N, D]`` in fp32, frame-major.

    Raises:
        ForesightError: frames that do not fit the encoder.
    """
    shape = tuple(frames.shape)
    if len(shape) != 5 or 0 in shape:
        raise ForesightError(
            f"Frames of shape {shape} cannot be represented: expected [batch, time, height, width, "
            "3] with at least one frame."
        )
    batch, time = shape[:2]
    single = frames.reshape(batch * time, 1, *shape[2:])
    parts = []
    for start in range(0, batch * time, BATCH):
        part = single[start : start + BATCH]
        doubled = (
            part.repeat_interleave(encoder.tubelet, 1)
            if isinstance(part, Tensor)
            else np.repeat(part, encoder.tubelet, 1)
        )
        parts.append(normalise(encoder.encode(doubled)).flatten(1, 3))
    return torch.cat(parts).reshape(batch, -1, encoder.dim)


class ACModel:
    """An encoder and its action-conditioned predictor.

    Attributes:
        encoder: the frozen encoder.
        predictor: the predictor.
        source: fingerprint of the file that both came from; empty for a foreign pair.
    """

    def __init__(
        self,
        encoder: Encoder,
        predictor: ACPredictor,
        encoder_source: str = "",
        allow_foreign: bool = False,
    ) -> None:
        """Pair the two.

        Args:
            encoder: the encoder.
            predictor: the predictor.
            encoder_source: fingerprint of the file that the encoder was read from; must be the
                predictor's.
            allow_foreign: take any encoder of the right sizes, for experiments: the published
                predictor gives noise on the tokens of another ViT-g.

        Raises:
            ForesightError: the two come from different files, or their sizes differ.
        """
        own = bool(encoder_source) and encoder_source == predictor.source
        if not own and not allow_foreign:
            raise ForesightError(
                f"The encoder {encoder.name} ({encoder_source or 'of unknown origin'}) is not the "
                f"one this AC predictor ({predictor.source or 'made in memory'}) was trained with: "
                "load both from one file with load_ac, or say allow_foreign=True."
            )
        wanted = (predictor.config.dim, predictor.config.grid)
        if (encoder.dim, encoder.grid) != wanted:
            raise ForesightError(
                f"The encoder {encoder.name} gives {encoder.grid}x{encoder.grid} tokens of "
                f"{encoder.dim} features and the AC predictor takes {wanted[1]}x{wanted[1]} of "
                f"{wanted[0]}: use its own encoder at its own image size."
            )
        self.encoder = encoder
        self.predictor = predictor
        self.source = predictor.source if own else ""

    def represent(
        self, frames: UInt8[Tensor, "b t h w 3"] | UInt8[np.ndarray, "b t h w 3"]
    ) -> Float[Tensor, "b tn d"]:
        """Tokens of frames, see `represent`."""
        return represent(self.encoder, frames)


def load_ac(
    path: str | Path,
    device: str | torch.device = "cpu",
    dtype: str | torch.dtype | None = None,
    encoder: str | Path | None = None,
    allow_foreign: bool = False,
) -> ACModel:
    """Load encoder and predictor from one Meta file such as ``vjepa2-ac-vitg.pt``.

    Args:
        path: the checkpoint with ``encoder`` and ``predictor``.
        device: where both run.
        dtype: of the products; None takes bfloat16 where the hardware computes in it.
        encoder: another encoder, for predictor-only files and experiments.
        allow_foreign: needed with ``encoder``.

    Raises:
        ForesightError: as `load_ac_predictor`, `load_encoder` and `ACModel`.
    """
    predictor = load_ac_predictor(path, device, dtype)
    own = load_encoder(encoder or path, device, dtype)
    same = encoder is None or Path(encoder).expanduser().resolve() == Path(path).resolve()
    source = predictor.source if same else _origin(encoder)
    return ACModel(own, predictor, source, allow_foreign)


def _origin(encoder: str | Path | None) -> str:
    path = Path(encoder or "").expanduser()
    return file_fingerprint(path) if path.is_file() else ""

"""V-JEPA 2 checkpoints: find the folder, check it, read the encoder's weights, name its content.

Every failure that a user can cause ends in one sentence: an unknown folder, a hub that cannot be
reached, a damaged or truncated file, a model of another kind, missing weights.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from foresight.errors import ForesightError
from foresight.files import file_fingerprint, fingerprint, read_json

HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"
# What decides the encoder's output; the predictor's part of a configuration does not.
ENCODER_FIELDS = (
    "patch_size",
    "tubelet_size",
    "in_chans",
    "hidden_size",
    "num_attention_heads",
    "num_hidden_layers",
    "mlp_ratio",
    "layer_norm_eps",
    "qkv_bias",
    "hidden_act",
)


@dataclass(frozen=True)
class Checkpoint:
    """A V-JEPA 2 checkpoint on disk whose configuration has been read and checked.

    Attributes:
        folder: folder with ``config.json`` and the weights.
        name: what the user called it (folder name or hub id).
        config: ``transformers.VJEPA2Config``; ``crop_size`` is the wanted frame size.
        weights: the weight files, sorted.
    """

    folder: Path
    name: str
    config: Any
    weights: tuple[Path, ...]

    def fingerprint(self) -> str:
        """Hash over the weight files' bytes and the encoder's configuration."""
        fields = {name: getattr(self.config, name) for name in ENCODER_FIELDS}
        return fingerprint(
            {"config": fields, "weights": [file_fingerprint(p) for p in self.weights]}
        )


def open_checkpoint(path_or_id: str | Path, image_size: int | None = None) -> Checkpoint:
    """Find and check a V-JEPA 2 checkpoint.

    Args:
        path_or_id: a folder written by ``save_pretrained``, or a hub id ``owner/name``.
        image_size: frame size in pixels; sets ``crop_size``, on which no weight depends but every
            position id does. None keeps the checkpoint's own.

    Raises:
        ForesightError: nothing there, not reachable, damaged, or not a V-JEPA 2 model.
    """
    folder = find_folder(path_or_id)
    name = folder.name if Path(path_or_id).expanduser().is_dir() else str(path_or_id)
    config = _read_config(folder)
    if image_size is not None:
        config.crop_size = image_size
    _check_geometry(config, folder)
    return Checkpoint(folder, name, config, _weight_files(folder))


def find_folder(path_or_id: str | Path) -> Path:
    """A local folder as it is, or the snapshot of a hub id, downloaded when it is not cached."""
    folder = Path(path_or_id).expanduser()
    if folder.is_dir():
        return folder.resolve()
    if isinstance(path_or_id, Path) or not HUB_ID.fullmatch(str(path_or_id)):
        raise ForesightError(
            f"There is no encoder folder {str(path_or_id)!r}: give a folder with config.json and "
            "model.safetensors, a hub id such as facebook/vjepa2-vitl-fpc64-256, or random-small."
        )
    return _download(str(path_or_id))


def load_encoder_module(checkpoint: Checkpoint) -> Any:
    """Read the encoder's weights (never the predictor's) into a ``VJEPA2Encoder`` in fp32.

    Raises:
        ForesightError: the files are damaged, or weights are missing or of the wrong shape.
    """
    from transformers.models.vjepa2.modeling_vjepa2 import VJEPA2Encoder, VJEPA2PreTrainedModel

    class EncoderOnly(VJEPA2PreTrainedModel):
        # The predictor costs 18 % of the time and is not needed; a fine-tuned classifier's
        # pooler neither.
        _keys_to_ignore_on_load_unexpected = [r"predictor\.", r"pooler\.", r"classifier\."]  # noqa: RUF012

        def __init__(self, config: Any) -> None:
            super().__init__(config)
            self.encoder = VJEPA2Encoder(config)
            self.post_init()

    damaged = f"The encoder folder {checkpoint.folder} cannot be loaded"
    with quiet_transformers():
        try:
            model, report = EncoderOnly.from_pretrained(
                str(checkpoint.folder), config=checkpoint.config, output_loading_info=True
            )
        except Exception as error:  # safetensors, torch and transformers raise many kinds here
            raise ForesightError(
                f"{damaged} ({_first_line(error)}): the files are damaged or do not fit its "
                "config.json, fetch or make them again."
            ) from error
    missing = sorted(report["missing_keys"])
    if missing:
        raise ForesightError(
            f"{damaged}: {len(missing)} weights are missing, the first is {missing[0]}; it is not "
            "a whole V-JEPA 2 checkpoint, fetch or make it again."
        )
    return model.encoder.eval().requires_grad_(False).float()


def _read_config(folder: Path) -> Any:
    values = read_json(folder / "config.json")
    kind = values.get("model_type") if isinstance(values, dict) else None
    if kind != "vjepa2":
        raise ForesightError(
            f"{folder} holds a model of type {kind!r}, expected 'vjepa2': give a V-JEPA 2 "
            "checkpoint such as facebook/vjepa2-vitl-fpc64-256."
        )
    from transformers import VJEPA2Config

    try:
        return VJEPA2Config.from_dict(values)
    except Exception as error:  # strict dataclasses raise their own kinds
        raise ForesightError(
            f"{folder / 'config.json'} is not a valid V-JEPA 2 configuration "
            f"({_first_line(error)}): fetch or make it again."
        ) from error


def _check_geometry(config: Any, folder: Path) -> None:
    if not isinstance(config.patch_size, int):
        sides = set(config.patch_size)
        if len(sides) != 1:
            raise ForesightError(
                f"{folder} has patches of {tuple(config.patch_size)} pixels, expected squares: use "
                "another checkpoint."
            )
        config.patch_size = int(sides.pop())
    size, patch = config.crop_size, config.patch_size
    if not isinstance(size, int) or size <= 0 or size % patch:
        raise ForesightError(
            f"The frame size {size!r} does not fit {folder}: choose a positive multiple of its "
            f"patch size {patch}."
        )
    head, rest = divmod(config.hidden_size, config.num_attention_heads)
    if config.in_chans != 3 or rest or head % 2 or head < 6:
        raise ForesightError(
            f"{folder} has {config.in_chans} channels and {config.num_attention_heads} heads over "
            f"{config.hidden_size} features, expected RGB and even heads: use another checkpoint."
        )


def _weight_files(folder: Path) -> tuple[Path, ...]:
    index = folder / INDEX
    if index.exists() and not (folder / WEIGHTS).exists():
        shards = read_json(index).get("weight_map", {}).values()
        files = tuple(folder / name for name in sorted(set(shards)))
    else:
        files = (folder / WEIGHTS,)
    for file in files:
        if not file.exists():
            raise ForesightError(
                f"{folder} has no {file.name}: the checkpoint is incomplete, fetch or make it "
                "again."
            )
    return files


def _download(hub_id: str) -> Path:
    from huggingface_hub import snapshot_download

    try:
        folder = snapshot_download(
            hub_id, allow_patterns=["config.json", WEIGHTS, INDEX, "model-*"]
        )
    except Exception as error:  # http, hub and file errors of many kinds
        raise ForesightError(
            f"The encoder {hub_id} is neither a folder here nor could it be fetched from the "
            f"Hugging Face hub ({_first_line(error)}): check the name and the network, or use "
            "--encoder random-small."
        ) from error
    return Path(folder)


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """No progress bar and no load report: what matters is raised."""
    from transformers.utils import logging

    level, bar = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bar:
            logging.enable_progress_bar()


def _first_line(error: Exception) -> str:
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[0][:160].rstrip('.:')}" if text else type(error).__name__

"""V-JEPA 2 and 2.1 checkpoints on disk: find one, read its configuration, name its content.

A checkpoint is a folder as ``save_pretrained`` of ``transformers`` writes it, a hub id of one,
Meta's own ``.pt`` file, or a safetensors file with either kind of names. Every failure that a user
can cause ends in one sentence.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from foresight.core.errors import ForesightError
from foresight.core.files import file_fingerprint, fingerprint
from foresight.core.hub import fetch
from foresight.perception import bundled
from foresight.perception.generations import PUBLISHED, SIZE, Hints, read_hints, settled
from foresight.perception.vit import VisionTransformer, VitConfig
from foresight.perception.vit21 import Vit21Config
from foresight.perception.weight_files import (
    INDEX,
    TORCH_FILES,
    WEIGHTS,
    read_config,
    read_safetensors,
    read_torch,
    weight_files,
)
from foresight.perception.weights import (
    EncoderWeights,
    build,
    encoder_part,
    infer_config,
    meta_names,
)

HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")

Size = int | tuple[int, int]


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint whose configuration has been read; its weights are read by `load`.

    Attributes:
        name: what the user called it (folder or file name, hub id).
        files: the weight files, sorted.
        config: sizes; None until the weights are read where only they can tell.
        size: height and width of frames, None for the checkpoint's own.
        part: which of several encoders in one file; None for the usual one.
        hints: what name and configuration say of V-JEPA 2.1.
        read: reads the files into weights under Meta's names.
    """

    name: str
    files: tuple[Path, ...]
    config: VitConfig | None
    size: tuple[int, int] | None
    part: str | None
    hints: Hints
    read: Callable[[], EncoderWeights]

    @property
    def source(self) -> str:
        """What messages call it."""
        return str(self.files[0] if len(self.files) == 1 else self.files[0].parent)

    def load(self) -> tuple[VisionTransformer, str]:
        """The encoder, frozen, in fp32, and in words where in the files it was.

        It is a `vit21.VisionTransformer21` where the names of the weights are those of V-JEPA 2.1.

        Raises:
            ForesightError: damaged files, weights missing, unknown, of the wrong shape or without
                sense, a configuration of another generation, or a frame size that does not fit.
        """
        found, config = self._opened()
        return build(found.tensors, checked_size(config, self.source), self.source), str(found)

    def describe(self) -> str:
        """Generation, sizes and the part that is taken, in words.

        Raises:
            ForesightError: as `load`, but that single weights are not looked at.
        """
        found, config = self._opened()
        generation = "2.1" if isinstance(config, Vit21Config) else "2"
        return (
            f"V-JEPA {generation}, {config.depth} blocks of {config.dim} channels, "
            f"{config.height}x{config.width} pixels; {found}"
        )

    def _opened(self) -> tuple[EncoderWeights, VitConfig]:
        found = self.read()
        sizes = self.config or infer_config(found.tensors, self.source, self.size)
        configured = self.config is not None
        return found, settled(sizes, found.tensors, self.hints, configured, self.source)

    def fingerprint(self) -> str:
        """Hash over the weight files' bytes and the configuration that came with them."""
        sizes = None if self.config is None else replace(self.config, height=0, width=0)
        content: dict[str, object] = {
            "config": sizes,
            "weights": [file_fingerprint(p) for p in self.files],
        }
        if self.part is not None:
            content["part"] = self.part
        if self.hints.sign and (self.hints.levels or not self.hints.scaled):
            content["rotary"] = [self.hints.levels, self.hints.scaled]
        return fingerprint(content)


def open_checkpoint(
    path_or_id: str | Path, image_size: Size | None = None, part: str | None = None
) -> Checkpoint:
    """Find a V-JEPA 2 checkpoint.

    Args:
        path_or_id: a folder, a file, a hub id ``owner/name``, or the name of a bundled encoder.
        image_size: frame size in pixels (one number, or height and width) if other than the
            checkpoint's own: no weight depends on it, but every token's position does.
        part: one of `weights.PARTS` where a file holds several; None takes the first of them.

    Raises:
        ForesightError: nothing there, not reachable, damaged, or not a V-JEPA 2 or 2.1 model.
    """
    size = (image_size, image_size) if isinstance(image_size, int) else image_size
    if str(path_or_id) in bundled.NAMES:
        return _folder(bundled.folder(str(path_or_id)), str(path_or_id), size, part)
    path = Path(path_or_id).expanduser()
    if path.is_file():
        return _file(path.resolve(), size, part)
    if path.is_dir():
        return _folder(path.resolve(), path.resolve().name, size, part)
    if isinstance(path_or_id, Path) or not HUB_ID.fullmatch(str(path_or_id)):
        raise ForesightError(
            f"There is no encoder {str(path_or_id)!r}: give a folder with config.json and "
            "model.safetensors, one of Meta's .pt files, a hub id such as "
            f"facebook/vjepa2-vitl-fpc64-256, or {' or '.join(bundled.NAMES)}."
        )
    return _folder(_download(str(path_or_id)), str(path_or_id), size, part)


def checked_size(config: VitConfig, source: str) -> VitConfig:
    """The configuration itself.

    Raises:
        ForesightError: the frame size is no multiple of the patch.
    """
    for size in (config.height, config.width):
        if isinstance(size, bool) or not isinstance(size, int) or size <= 0 or size % config.patch:
            raise ForesightError(
                f"The frame size {size!r} does not fit {source}: choose a positive multiple of "
                f"its patch size {config.patch}."
            )
    return config


def _folder(folder: Path, name: str, size: tuple[int, int] | None, part: str | None) -> Checkpoint:
    values = read_config(folder / "config.json")
    config = transformers_config(values, folder / "config.json")
    if size is not None:
        config = replace(config, height=size[0], width=size[1])
    checked_size(config, str(folder))
    files = weight_files(folder)

    def read() -> EncoderWeights:
        return meta_names(read_safetensors(files), str(folder), part)

    return Checkpoint(name, files, config, size, part, read_hints(values, name), read)


def _file(path: Path, size: tuple[int, int] | None, part: str | None) -> Checkpoint:
    torch_file = path.suffix in TORCH_FILES
    if not torch_file and path.suffix != ".safetensors":
        raise ForesightError(
            f"{path} is no checkpoint that can be read: expected .safetensors, "
            f"{', '.join(TORCH_FILES)}, or a folder."
        )

    def read() -> EncoderWeights:
        if torch_file:
            return encoder_part(read_torch(path), str(path), part)
        return meta_names(read_safetensors((path,)), str(path), part)

    config, size, hints = _beside(path, size)
    return Checkpoint(path.stem, (path,), config, size, part, hints, read)


def _beside(
    path: Path, size: tuple[int, int] | None
) -> tuple[VitConfig | None, tuple[int, int] | None, Hints]:
    """What a configuration in the folder of a weight file tells: sizes, or the frame size alone."""
    file = path.parent / "config.json"
    values = read_config(file) if file.is_file() else {}
    values = values if isinstance(values, dict) else {}
    if _of_transformers(values):
        config = transformers_config(values, file)
        config = config if size is None else replace(config, height=size[0], width=size[1])
        return config, size, read_hints(values, path.stem)
    encoder = values.get("encoder")  # as Meta's configurations say
    encoder = encoder if isinstance(encoder, dict) else {}
    own = encoder.get("img_size")
    if size is None and own is not None:
        size = (own, own) if isinstance(own, int) else (own[0], own[1])
    return None, size, read_hints(values | encoder, path.stem)


def _of_transformers(values: dict[str, Any]) -> bool:
    """Whether a configuration is one of ``transformers``, or of a port of 2.1 to it."""
    kind = str(values.get("model_type"))
    return kind == "vjepa2" or PUBLISHED.search(kind) is not None


def transformers_config(values: Any, source: Path | str) -> VitConfig:
    """Sizes from a ``config.json`` of ``transformers``, or of a port of 2.1 to it.

    Raises:
        ForesightError: another kind of model, or values that no V-JEPA 2 has.
    """
    kind = values.get("model_type") if isinstance(values, dict) else None
    if not isinstance(values, dict) or not _of_transformers(values):
        raise ForesightError(
            f"{source} describes a model of type {kind!r}, expected 'vjepa2': give a V-JEPA 2 "
            "checkpoint such as facebook/vjepa2-vitl-fpc64-256."
        )
    usual = {} if kind == "vjepa2" else {"crop_size": SIZE}
    own = {**TRANSFORMERS_DEFAULTS, **usual, **values}
    patch = own["patch_size"]
    patch = patch[0] if isinstance(patch, list) and len(set(patch)) == 1 else patch
    numbers = {name: own[name] for name in TRANSFORMERS_DEFAULTS if name in WHOLE} | {
        "patch_size": patch
    }
    for name, value in numbers.items():
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise ForesightError(
                f"{source} is not a valid V-JEPA 2 configuration ({name} is {value!r}, expected a "
                "positive whole number): fetch or make it again."
            )
    head, rest = divmod(own["hidden_size"], own["num_attention_heads"])
    if own["in_chans"] != 3 or rest or head % 2 or head < 6 or own["hidden_act"] != "gelu":
        raise ForesightError(
            f"{source} has {own['in_chans']} colours, {own['num_attention_heads']} heads over "
            f"{own['hidden_size']} channels and {own['hidden_act']!r}, expected RGB, even heads "
            "and gelu: use another checkpoint."
        )
    return VitConfig(
        height=own["crop_size"],
        width=own["crop_size"],
        patch=patch,
        tubelet=own["tubelet_size"],
        dim=own["hidden_size"],
        depth=own["num_hidden_layers"],
        heads=own["num_attention_heads"],
        hidden=int(own["hidden_size"] * own["mlp_ratio"]),
        eps=float(own["layer_norm_eps"]),
        qkv_bias=bool(own["qkv_bias"]),
    )


# What a configuration means that leaves a value out (ViT-L at 256 pixels).
TRANSFORMERS_DEFAULTS: dict[str, Any] = {
    "patch_size": 16,
    "crop_size": 256,
    "tubelet_size": 2,
    "in_chans": 3,
    "hidden_size": 1024,
    "num_attention_heads": 16,
    "num_hidden_layers": 24,
    "mlp_ratio": 4.0,
    "layer_norm_eps": 1e-6,
    "qkv_bias": True,
    "hidden_act": "gelu",
}
WHOLE = ("tubelet_size", "in_chans", "hidden_size", "num_attention_heads", "num_hidden_layers")


def _download(hub_id: str) -> Path:
    try:
        return fetch(hub_id, ["config.json", WEIGHTS, INDEX, "model-*"])
    except ForesightError as error:
        raise ForesightError(
            f"{str(error).rstrip('.')}, or use --encoder {bundled.DEFAULT}."
        ) from error

"""V-JEPA 2 checkpoints on disk: find one, read its configuration, name its content.

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

import torch

from foresight.core.errors import ForesightError
from foresight.core.extras import require
from foresight.core.files import file_fingerprint, fingerprint, read_json
from foresight.perception import bundled
from foresight.perception.vit import VisionTransformer, VitConfig
from foresight.perception.weights import State, build, encoder_part, infer_config, meta_names

HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"
TORCH_FILES = (".pt", ".pth", ".tar", ".bin")

Size = int | tuple[int, int]


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint whose configuration has been read; its weights are read by `load`.

    Attributes:
        name: what the user called it (folder or file name, hub id).
        files: the weight files, sorted.
        config: sizes; None until the weights are read where only they can tell.
        size: height and width of frames, None for the checkpoint's own.
        read: reads the files into weights under Meta's names.
    """

    name: str
    files: tuple[Path, ...]
    config: VitConfig | None
    size: tuple[int, int] | None
    read: Callable[[], State]

    def load(self) -> VisionTransformer:
        """The encoder, frozen, in fp32.

        Raises:
            ForesightError: damaged files, weights missing, unknown or of the wrong shape, or a
                frame size that does not fit.
        """
        source = str(self.files[0] if len(self.files) == 1 else self.files[0].parent)
        try:
            tensors = self.read()
        except ForesightError:
            raise
        except Exception as error:  # safetensors, torch, zip and pickle raise many kinds here
            raise ForesightError(
                f"{source} cannot be loaded ({first_line(error)}): the file is damaged or cut "
                "short, fetch or make it again."
            ) from error
        config = self.config or infer_config(tensors, source, self.size)
        return build(tensors, checked_size(config, source), source)

    def fingerprint(self) -> str:
        """Hash over the weight files' bytes and the configuration that came with them."""
        sizes = None if self.config is None else replace(self.config, height=0, width=0)
        return fingerprint({"config": sizes, "weights": [file_fingerprint(p) for p in self.files]})


def open_checkpoint(path_or_id: str | Path, image_size: Size | None = None) -> Checkpoint:
    """Find a V-JEPA 2 checkpoint.

    Args:
        path_or_id: a folder, a file, a hub id ``owner/name``, or the name of a bundled encoder.
        image_size: frame size in pixels (one number, or height and width) if other than the
            checkpoint's own: no weight depends on it, but every token's position does.

    Raises:
        ForesightError: nothing there, not reachable, damaged, or not a V-JEPA 2 model.
    """
    size = (image_size, image_size) if isinstance(image_size, int) else image_size
    if str(path_or_id) in bundled.NAMES:
        return _folder(bundled.folder(str(path_or_id)), str(path_or_id), size)
    path = Path(path_or_id).expanduser()
    if path.is_file():
        return _file(path.resolve(), size)
    if path.is_dir():
        return _folder(path.resolve(), path.resolve().name, size)
    if isinstance(path_or_id, Path) or not HUB_ID.fullmatch(str(path_or_id)):
        raise ForesightError(
            f"There is no encoder {str(path_or_id)!r}: give a folder with config.json and "
            "model.safetensors, one of Meta's .pt files, a hub id such as "
            f"facebook/vjepa2-vitl-fpc64-256, or {' or '.join(bundled.NAMES)}."
        )
    return _folder(_download(str(path_or_id)), str(path_or_id), size)


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


def first_line(error: Exception) -> str:
    """Kind and first line of an error of another library, short."""
    text = str(error).strip().splitlines()
    return (
        f"{type(error).__name__}: {text[0][:160].rstrip('.: ')}" if text else type(error).__name__
    )


def _folder(folder: Path, name: str, size: tuple[int, int] | None) -> Checkpoint:
    config = transformers_config(read_json(folder / "config.json"), folder / "config.json")
    if size is not None:
        config = replace(config, height=size[0], width=size[1])
    checked_size(config, str(folder))
    files = _weight_files(folder)

    def read() -> State:
        return meta_names(_safetensors(files), str(folder))

    return Checkpoint(name, files, config, size, read)


def _file(path: Path, size: tuple[int, int] | None) -> Checkpoint:
    if path.suffix in TORCH_FILES:

        def read() -> State:
            held = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
            return meta_names(encoder_part(held, str(path)), str(path))

        return Checkpoint(path.stem, (path,), None, size, read)
    if path.suffix != ".safetensors":
        raise ForesightError(
            f"{path} is no checkpoint that can be read: expected .safetensors, "
            f"{', '.join(TORCH_FILES)}, or a folder."
        )

    def read_safetensors() -> State:
        return meta_names(_safetensors((path,)), str(path))

    config = None
    beside = path.parent / "config.json"
    values = read_json(beside) if beside.is_file() else {}
    if values.get("model_type") == "vjepa2":
        config = transformers_config(values, beside)
        if size is not None:
            config = replace(config, height=size[0], width=size[1])
    elif size is None and "img_size" in values.get("encoder", {}):  # as Meta's configurations say
        own = values["encoder"]["img_size"]
        size = (own, own) if isinstance(own, int) else (own[0], own[1])
    return Checkpoint(path.stem, (path,), config, size, read_safetensors)


def transformers_config(values: Any, source: Path | str) -> VitConfig:
    """Sizes from a ``config.json`` of ``transformers``.

    Raises:
        ForesightError: another kind of model, or values that no V-JEPA 2 has.
    """
    kind = values.get("model_type") if isinstance(values, dict) else None
    if kind != "vjepa2":
        raise ForesightError(
            f"{source} describes a model of type {kind!r}, expected 'vjepa2': give a V-JEPA 2 "
            "checkpoint such as facebook/vjepa2-vitl-fpc64-256."
        )
    own = {**TRANSFORMERS_DEFAULTS, **values}
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


def _safetensors(files: tuple[Path, ...]) -> State:
    from safetensors.torch import load_file

    found: State = {}
    for file in files:
        found |= load_file(file)
    return found


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
    require(
        "huggingface_hub",
        f"The encoder {hub_id} is no folder here, and to fetch it from the Hugging Face hub",
    )
    from huggingface_hub import snapshot_download

    try:
        folder = snapshot_download(
            hub_id, allow_patterns=["config.json", WEIGHTS, INDEX, "model-*"]
        )
    except Exception as error:  # http, hub and file errors of many kinds
        raise ForesightError(
            f"The encoder {hub_id} is neither a folder here nor could it be fetched from the "
            f"Hugging Face hub ({first_line(error)}): check the name and the network, or use "
            f"--encoder {bundled.DEFAULT}."
        ) from error
    return Path(folder)

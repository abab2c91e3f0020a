"""Checkpoint folders: ``config.json`` and ``model.safetensors``, no pickles."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from foresight.core.errors import ForesightError
from foresight.core.files import atomic_write, read_json, write_json
from foresight.worldmodel.latent import LatentConfig

CONFIG, WEIGHTS = "config.json", "model.safetensors"

Model = TypeVar("Model", bound=nn.Module)


def save_checkpoint(module: nn.Module, config: Any, folder: Path | str) -> None:
    """Write weights, then configuration, each atomically."""
    folder = Path(folder)
    tensors = {name: value.contiguous() for name, value in module.state_dict().items()}
    atomic_write(folder / WEIGHTS, lambda path: save_file(tensors, path))
    write_json(folder / CONFIG, asdict(config))


def load_checkpoint(
    folder: Path | str, build: Callable[[dict[str, Any]], Model], what: str
) -> Model:
    """Build a model from its configuration and load its weights, in eval mode.

    Args:
        folder: what :func:`save_checkpoint` wrote.
        build: makes the model from the fields of its configuration.
        what: the kind of model, for the error.

    Raises:
        ForesightError: a file is missing or damaged, or belongs to another kind or size of model.
    """
    folder = Path(folder)
    raw = read_json(folder / CONFIG)
    try:
        raw["latent"] = LatentConfig(**raw["latent"])
        raw["action_low"] = tuple(raw["action_low"])
        raw["action_high"] = tuple(raw["action_high"])
        model = build(raw)
    except (KeyError, TypeError) as error:
        raise ForesightError(
            f"{folder / CONFIG} is not the configuration of a {what} ({error}): point to a folder "
            f"that holds a trained {what}."
        ) from error
    load_weights(model, folder / WEIGHTS)
    return model.eval()


def load_weights(model: nn.Module, path: Path | str) -> None:
    """Load safetensors into ``model``, naming the first tensor that does not fit.

    Raises:
        ForesightError: the file is missing, truncated or of another architecture or latent size.
    """
    try:
        tensors = load_file(path)
    except FileNotFoundError as error:
        raise ForesightError(f"{path} does not exist: check the path or train first.") from error
    except (SafetensorError, OSError, json.JSONDecodeError) as error:
        raise ForesightError(
            f"{path} cannot be read as safetensors ({error}): it is damaged, train again."
        ) from error
    expected = model.state_dict()
    for name, value in expected.items():
        if name not in tensors:
            raise ForesightError(
                f"{path} has no tensor {name}: it is a checkpoint of another model, choose the one "
                "that fits."
            )
        if tensors[name].shape != value.shape:
            raise ForesightError(
                f"{path} holds {name} as {list(tensors[name].shape)} where "
                f"{list(value.shape)} was expected: the checkpoint has another latent size, choose "
                "the one that fits or train again."
            )
    foreign = sorted(set(tensors) - set(expected))
    if foreign:
        raise ForesightError(
            f"{path} holds the unknown tensor {foreign[0]}: it is a checkpoint of another model, "
            "choose the one that fits."
        )
    model.load_state_dict(tensors)

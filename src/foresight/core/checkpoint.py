"""Checkpoint folders: ``config.json`` says what it is, ``model.safetensors`` holds the weights.

A checkpoint names its type, so that :func:`load` opens any of them. No pickles; a file appears
whole or not at all.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, is_dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import Any, TypeVar

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from foresight.core.errors import ForesightError
from foresight.core.files import atomic_write, read_json, write_json
from foresight.core.spec import Spec

CONFIG, WEIGHTS = "config.json", "model.safetensors"
LFS_POINTER = b"version https://git-lfs"


@dataclass(frozen=True)
class CheckpointType:
    """One kind of checkpoint.

    Attributes:
        loader: ``module:attribute`` of a function that takes the folder; looked up when needed.
        version: of what it writes; older ones are refused in a sentence.
        noun: what to call it, for example ``a world model``.
    """

    loader: str
    version: int
    noun: str


_TYPES: dict[str, CheckpointType] = {
    "world-model": CheckpointType("foresight.worldmodel.model:WorldModel.load", 1, "a world model"),
    "cloned-policy": CheckpointType(
        "foresight.policies.cloned:ClonedPolicy.load", 1, "a cloned policy"
    ),
    "actor": CheckpointType("foresight.policies.actor:Actor.load", 1, "an actor"),
    "chunk-policy": CheckpointType(
        "foresight.policies.chunk.policy:ChunkPolicy.load", 2, "an action-chunk policy"
    ),
    "taught-heads": CheckpointType(
        "foresight.policies.taught.heads:load_heads", 1, "heads for teaching"
    ),
    "ac-predictor": CheckpointType(
        "foresight.perception.ac_tuned:TunedAC.load", 1, "a fine-tuned predictor of V-JEPA 2-AC"
    ),
    "frame-predictor": CheckpointType(
        "foresight.worldmodel.predictor.checkpoint:TrainedPredictor.load",
        1,
        "a frame-causal predictor",
    ),
    "lewm": CheckpointType(
        "foresight.worldmodel.lewm.model:LeWorldModel.load", 1, "a LeWorldModel"
    ),
    "lewm-inverse": CheckpointType(
        "foresight.worldmodel.lewm.inverse:GoalInverse.load",
        1,
        "a goal-conditioned inverse model of a LeWorldModel",
    ),
    "reduced-dreamer": CheckpointType(
        "foresight.worldmodel.rssm.agent:ReducedDreamer.load", 1, "a reduced Dreamer"
    ),
    "ppo-actor": CheckpointType("foresight.policies.ppo:PPOActor.load", 1, "an actor of PPO"),
}


@dataclass(frozen=True)
class Header:
    """What ``config.json`` says.

    Attributes:
        type: kind of checkpoint, see `register_type`.
        version: of that kind.
        config: what the module is built from, plain values.
        spec: the robot that it was made for, where it was made for one.
        fingerprints: of what it was trained on: dataset, encoder, readout, model.
        folder: where it was read.
    """

    type: str
    version: int
    config: dict[str, Any]
    spec: Spec | None = None
    fingerprints: dict[str, str] = field(default_factory=dict)
    folder: Path = field(default_factory=Path)


Made = TypeVar("Made")


@dataclass(frozen=True, kw_only=True)
class TrainedOn:
    """What a configuration says of the data that its networks were trained on.

    A checkpoint's header holds fingerprints and spec beside the configuration.
    """

    encoder: str = ""
    encoder_fingerprint: str = ""
    readout: str = ""
    """How tokens became features; empty for the tokens of a lone tubelet as they are."""
    readout_fingerprint: str = ""
    dataset_fingerprint: str = ""
    spec: Spec | None = None
    """The robot."""

    @property
    def fingerprints(self) -> dict[str, str]:
        """Of encoder, readout and dataset."""
        return {
            name: getattr(self, f"{name}_fingerprint") for name in ("encoder", "readout", "dataset")
        }

    def expect_encoder(self, fingerprint: str, readout: str | None = None) -> None:
        """Refuse features of another encoder or readout than the networks were trained on.

        Args:
            fingerprint: of the encoder.
            readout: fingerprint of the readout; not compared if not given.

        Raises:
            ForesightError: a fingerprint differs.
        """
        for part, given in (("encoder", fingerprint), ("readout", readout)):
            known = self.fingerprints[part]
            if given is not None and given != known:
                raise ForesightError(
                    f"This model was trained on {part} {getattr(self, part)} ({known}) and got "
                    f"{given}: use that {part}, or train again."
                )

    def to_json(self) -> dict[str, Any]:
        """Plain values but for what a checkpoint's header holds beside them."""
        raw = asdict(replace(self, spec=None))
        for name in ("spec", *(f"{each}_fingerprint" for each in self.fingerprints)):
            raw.pop(name)
        return raw

    @classmethod
    def read(cls: type[Made], header: Header, **parts: Any) -> Made:
        """What `to_json` wrote, within `building`; ``parts`` are the fields that are not plain."""
        told = {f"{name}_fingerprint": value for name, value in header.fingerprints.items()}
        return cls(**{**header.config, **told, **parts, "spec": header.spec})


def register_type(name: str, loader: str, *, noun: str, version: int = 1) -> None:
    """Make checkpoints of a further kind known to :func:`load`.

    Args:
        name: written into ``config.json``.
        loader: ``module:attribute`` of a function that takes the folder.
        noun: for sentences, with an article.
        version: what is written now.

    Raises:
        ForesightError: the name is taken, or the loader has no colon.
    """
    if ":" not in loader:
        raise ForesightError(f"The loader {loader!r} names nothing: write it as module:attribute.")
    kind = CheckpointType(loader, version, noun)
    if _TYPES.setdefault(name, kind) != kind:
        raise ForesightError(
            f"Checkpoints of the type {name!r} are loaded by {_TYPES[name].loader} already: choose "
            "another name."
        )


def checkpoint_types() -> dict[str, CheckpointType]:
    """All kinds by their names."""
    return dict(_TYPES)


def save_checkpoint(
    folder: Path | str,
    type: str,
    config: Any,
    module: nn.Module,
    spec: Spec | None = None,
    fingerprints: Mapping[str, str] | None = None,
) -> None:
    """Write weights, then what they are, each atomically.

    Args:
        folder: made if it is missing.
        type: a registered kind.
        config: a dataclass or plain values, from which the module can be built again.
        module: its parameters and buffers are written.
        spec: the robot that it was made for.
        fingerprints: of what it was trained on.

    Raises:
        ForesightError: an unknown kind, a full disk, or a folder that cannot be written.
    """
    folder = Path(folder)
    kind = _known(type, f"{folder} cannot be written")
    tensors = {name: value.contiguous() for name, value in module.state_dict().items()}
    atomic_write(folder / WEIGHTS, lambda path: save_file(tensors, path))
    plain: Any = config
    if is_dataclass(config):
        plain = asdict(config)  # type: ignore[arg-type]
    about = {
        "type": type,
        "version": kind.version,
        "config": plain,
        "spec": None if spec is None else spec.to_json(),
        "fingerprints": dict(fingerprints or {}),
    }
    write_json(folder / CONFIG, about)


def read_header(folder: Path | str, expected: str | None = None) -> Header:
    """What a checkpoint is, without its weights.

    Args:
        folder: of the checkpoint.
        expected: the kind that is wanted; any if not given.

    Raises:
        ForesightError: no checkpoint there, one of another kind or version, or a damaged file.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise ForesightError(f"There is no folder {folder}: check the path, or train first.")
    path = folder / CONFIG
    if not path.is_file():
        raise ForesightError(
            f"{folder} holds no {CONFIG}, so it is no checkpoint: give the folder that a training "
            "wrote."
        )
    return parse_header(read_json(path), folder, expected)


def parse_header(raw: Any, folder: Path, expected: str | None = None) -> Header:
    """What ``config.json`` says, for programs that keep it in a file of their own.

    Args:
        raw: read from JSON.
        folder: of the checkpoint, for sentences.
        expected: as in :func:`read_header`.

    Raises:
        ForesightError: as :func:`read_header`.
    """
    path = folder / CONFIG
    if not isinstance(raw, dict) or not isinstance(raw.get("type"), str) or "config" not in raw:
        raise ForesightError(
            f"{path} does not say of what type it is: it was not written by this program, or by a "
            "version before checkpoints had types; train again."
        )
    kind = _known(raw["type"], f"{path} cannot be loaded")
    if expected is not None and raw["type"] != expected:
        raise ForesightError(
            f"{folder} holds {kind.noun} and {_known(expected, str(folder)).noun} was expected: "
            "give another folder."
        )
    if raw.get("version") != kind.version:
        raise ForesightError(
            f"{folder} holds {kind.noun} of version {raw.get('version')} and this program reads "
            f"version {kind.version}: train again, or use the program that wrote it."
        )
    spec = raw.get("spec")
    return Header(
        raw["type"],
        raw["version"],
        raw["config"],
        None if spec is None else Spec.from_json(spec),
        {str(k): str(v) for k, v in (raw.get("fingerprints") or {}).items()},
        folder,
    )


@contextmanager
def building(header: Header) -> Iterator[None]:
    """Turn what goes wrong while a module is built from a header into one sentence.

    Raises:
        ForesightError: a value is missing, unknown, or of another type.
    """
    try:
        yield
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ForesightError(
            f"{header.folder / CONFIG} is not the configuration of "
            f"{_TYPES[header.type].noun} ({error}): it was changed or is damaged, train again."
        ) from error


def load_weights(module: nn.Module, folder: Path | str) -> None:
    """Fill a module with a checkpoint's weights, naming the first tensor that does not fit.

    Raises:
        ForesightError: the file is missing, truncated, a git-lfs pointer, or of other sizes.
    """
    path = Path(folder) / WEIGHTS
    tensors = _tensors(path)
    expected = module.state_dict()
    for name, value in expected.items():
        if name not in tensors:
            raise ForesightError(
                f"{path} has no tensor {name}: its weights belong to another configuration, train "
                "again."
            )
        if tensors[name].shape != value.shape:
            raise ForesightError(
                f"{path} holds {name} as {list(tensors[name].shape)} where {list(value.shape)} was "
                f"expected: {CONFIG} beside it is of another size, train again."
            )
    foreign = sorted(set(tensors) - set(expected))
    if foreign:
        raise ForesightError(
            f"{path} holds the unknown tensor {foreign[0]}: its weights belong to another "
            "configuration, train again."
        )
    module.load_state_dict(tensors)


def load(folder: Path | str) -> Any:
    """The model or policy of any checkpoint, whatever its type, ready for use.

    >>> import foresight
    >>> type(foresight.load("runs/cart")).__name__
    'WorldModel'

    Args:
        folder: what a training wrote.

    Raises:
        ForesightError: no checkpoint there, or one that cannot be loaded.
    """
    module, _, name = _TYPES[read_header(folder).type].loader.partition(":")
    found: Any = import_module(module)
    for part in name.split("."):
        found = getattr(found, part)
    return found(folder)


def _known(name: str, why: str) -> CheckpointType:
    if name not in _TYPES:
        raise ForesightError(
            f"{why}: its type {name!r} is unknown here; known are {', '.join(sorted(_TYPES))}."
        )
    return _TYPES[name]


def _tensors(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise ForesightError(
            f"{path} does not exist: the checkpoint has lost its weights, train again or copy the "
            "whole folder."
        )
    with open(path, "rb") as file:
        if file.read(len(LFS_POINTER)) == LFS_POINTER:
            raise ForesightError(
                f"{path} is a git-lfs pointer instead of weights: run `git lfs pull` there."
            )
    try:
        return load_file(path)
    except (SafetensorError, OSError, json.JSONDecodeError) as error:
        raise ForesightError(
            f"{path} cannot be read as safetensors ({error}): it is truncated or damaged, copy it "
            "again or train again."
        ) from error

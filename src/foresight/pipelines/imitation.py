"""From a dataset of demonstrations to a policy that decides chunks of actions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from foresight.core.errors import ForesightError
from foresight.data.cache import FeatureCache
from foresight.data.dataset import Dataset
from foresight.perception.config import EncoderConfig
from foresight.perception.encode import encode_cameras
from foresight.perception.preprocess import Shift
from foresight.policies.chunk.config import READOUTS, ChunkConfig, preset
from foresight.policies.chunk.network import ChunkNetwork
from foresight.training.chunk.demonstrations import Demonstrations, binary_actions
from foresight.training.chunk.errors import Errors
from foresight.training.chunk.train import (
    FULL_AUGMENTATION,
    GOALS,
    Augmentation,
    ChunkTraining,
    read_task_vectors,
    train_chunk_policy,
)
from foresight.worldmodel.config import CameraInput

HALF = "float16"


class Prepared(NamedTuple):
    """What a training of chunks begins with.

    Attributes:
        data: the demonstrations with their features.
        config: of the policy.
        training: with what its preset brings.
    """

    data: Demonstrations
    config: ChunkConfig
    training: ChunkTraining


def learn_chunks(
    dataset: Dataset,
    eyes: EncoderConfig,
    training: ChunkTraining,
    folder: Path | str,
    cache_root: Path | str,
    cameras: Sequence[str] = (),
) -> tuple[ChunkNetwork, Errors]:
    """Encode a dataset of any robot, if need be, and learn to act as it shows; resumable.

    Args:
        dataset: the demonstrations.
        eyes: encoder and readout; where the latter is the usual one, the preset brings its own.
        training: sizes, augmentation and length.
        folder: of the checkpoint.
        cache_root: where feature caches live, one for each camera and changed copy, in half
            precision.
        cameras: to see with; all of the dataset if none is named.

    Raises:
        ForesightError: as `encode_cameras`, `Demonstrations.load` and `train_chunk_policy`.
    """
    return train_chunk_policy(*prepare_chunks(dataset, eyes, training, cache_root, cameras), folder)


def prepare_chunks(
    dataset: Dataset,
    eyes: EncoderConfig,
    training: ChunkTraining,
    cache_root: Path | str,
    cameras: Sequence[str] = (),
) -> Prepared:
    """All of `learn_chunks` but the training: encode, join, and say what the policy is made of.

    Raises:
        ForesightError: as there.
    """
    training, eyes = settled(training, eyes)
    encoder, readout = eyes.load()
    copies = _encoded(dataset, eyes, training.augment, cache_root, cameras)
    data = Demonstrations.load(dataset, copies, training.validation, training.fit.seed)
    network = training.network
    several = data.tasks if network.task and len(data.tasks) > 1 else ()
    vectors = 0
    if several and training.task_vectors is not None:
        vectors = read_task_vectors(training.task_vectors, several).shape[1]
    config = ChunkConfig(
        cameras=_seen(copies[0], encoder.dim, eyes.readout),
        actions=data.actions.shape[1],
        states=data.states.shape[1] if network.state else 0,
        network=network,
        binary=binary_actions(data.actions[data.rows(data.train)]),
        rotations=training.rotations if network.state else (),
        tasks=several,
        task_width=vectors,
        goals=GOALS if network.goal else 0,
        goal_tasks=data.tasks if network.goal and not several and len(data.tasks) > 1 else (),
        encoder=eyes.encoder,
        readout=eyes.readout,
        fit=eyes.fit,
        encoder_fingerprint=encoder.fingerprint,
        readout_fingerprint=readout.fingerprint,
        dataset_fingerprint=dataset.fingerprint,
        spec=dataset.spec,
    )
    return Prepared(data, config, training)


def _encoded(
    dataset: Dataset,
    eyes: EncoderConfig,
    augment: Augmentation,
    cache_root: Path | str,
    cameras: Sequence[str],
) -> list[dict[str, FeatureCache]]:
    """Features of the pictures as they are, and then of every changed copy."""
    encoder, readout = eyes.load()
    if augment.still and not readout.stride:
        raise ForesightError(
            f"The readout {eyes.readout!r} sees still pictures already: leave augment.still out, "
            "or give a readout with motion such as tubelet:stride=1."
        )
    shifts = [None, *(Shift(augment.shift_pixels, seed) for seed in range(augment.shifts))]
    copies = [
        encode_cameras(
            dataset, encoder, readout, cache_root, cameras or None, dtype=HALF, shift=shift
        )
        for shift in shifts
    ]
    if augment.still:
        still = replace(readout, stride=0)
        copies.append(
            encode_cameras(dataset, encoder, still, cache_root, cameras or None, dtype=HALF)
        )
    return copies


def _seen(caches: Mapping[str, FeatureCache], dim: int, readout: str) -> tuple[CameraInput, ...]:
    """Each camera with the tokens of its features."""
    found = []
    for name, cache in caches.items():
        width = int(cache.array[0].size)
        if width % dim:
            raise ForesightError(
                f"The readout {readout!r} gives {width} numbers, no multiple of the encoder's "
                f"{dim}: choose tubelet, last, difference or tokens."
            )
        found.append(CameraInput(name, width // dim, dim))
    return tuple(found)


def settled(training: ChunkTraining, eyes: EncoderConfig) -> tuple[ChunkTraining, EncoderConfig]:
    """With what the preset brings: sizes, a readout, and for ``source-head`` augmentation.

    Where nobody chose, products are bfloat16 in a transformer and in convolutions if the hardware
    computes in it; those of residual layers alone are too small to be worth it.
    """
    if eyes.readout == EncoderConfig().readout:
        eyes = _seen_finely(replace(eyes, readout=READOUTS[training.preset]))
    if training.preset == "source-head" and training.augment == Augmentation():
        training = replace(training, augment=FULL_AUGMENTATION)
    network, fit = preset(training.preset, training.network), training.fit
    small = network.trunk == "mlp" and not (network.keypoints and network.convolution)
    if fit.dtype == "auto" and small:
        fit = replace(fit, dtype="float32")
    return replace(training, network=network, fit=fit), eyes


def _seen_finely(eyes: EncoderConfig) -> EncoderConfig:
    """With a coarser grid where the encoder has no tokens for the readout's."""
    encoder, readout = eyes.load()
    if readout.grid <= encoder.grid:
        return eyes
    coarser = eyes.readout.replace(f"grid={readout.grid}", f"grid={encoder.grid}")
    return replace(eyes, readout=coarser)

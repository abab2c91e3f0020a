"""From a dataset of demonstrations to a policy that decides chunks of actions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from foresight.core.errors import ForesightError
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
    training, eyes = settled(training, eyes)
    encoder, readout = eyes.load()
    augment = training.augment
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
    data = Demonstrations.load(dataset, copies, training.validation, training.fit.seed)
    network, seen = training.network, []
    for name, cache in copies[0].items():
        width = int(cache.array[0].size)
        if width % encoder.dim:
            raise ForesightError(
                f"The readout {eyes.readout!r} gives {width} numbers, no multiple of the "
                f"encoder's {encoder.dim}: choose tubelet, last, difference or tokens."
            )
        seen.append(CameraInput(name, width // encoder.dim, encoder.dim))
    several = data.tasks if network.task and len(data.tasks) > 1 else ()
    vectors = 0
    if several and training.task_vectors is not None:
        vectors = read_task_vectors(training.task_vectors, several).shape[1]
    config = ChunkConfig(
        cameras=tuple(seen),
        actions=data.actions.shape[1],
        states=data.states.shape[1] if network.state else 0,
        network=network,
        binary=binary_actions(data.actions[data.rows(data.train)]),
        rotations=training.rotations if network.state else (),
        tasks=several,
        task_width=vectors,
        goals=GOALS if network.goal else 0,
        encoder=eyes.encoder,
        readout=eyes.readout,
        fit=eyes.fit,
        encoder_fingerprint=encoder.fingerprint,
        readout_fingerprint=readout.fingerprint,
        dataset_fingerprint=dataset.fingerprint,
        spec=dataset.spec,
    )
    return train_chunk_policy(data, config, training, folder)


def settled(training: ChunkTraining, eyes: EncoderConfig) -> tuple[ChunkTraining, EncoderConfig]:
    """With what the preset brings: sizes, a readout, and for ``source-head`` augmentation."""
    if eyes.readout == EncoderConfig().readout:
        eyes = _seen_finely(replace(eyes, readout=READOUTS[training.preset]))
    if training.preset == "source-head" and training.augment == Augmentation():
        training = replace(training, augment=FULL_AUGMENTATION)
    return replace(training, network=preset(training.preset, training.network)), eyes


def _seen_finely(eyes: EncoderConfig) -> EncoderConfig:
    """With a coarser grid where the encoder has no tokens for the readout's."""
    encoder, readout = eyes.load()
    if readout.grid <= encoder.grid:
        return eyes
    coarser = eyes.readout.replace(f"grid={readout.grid}", f"grid={encoder.grid}")
    return replace(eyes, readout=coarser)

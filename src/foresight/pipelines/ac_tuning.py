"""From a dataset and a V-JEPA 2-AC checkpoint to a predictor that is tuned to the robot."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from foresight.core.errors import ForesightError
from foresight.data.dataset import Dataset
from foresight.perception.ac import load_ac
from foresight.perception.ac_checkpoint import load_ac_predictor
from foresight.perception.ac_data import read_ac_episodes, robot_of
from foresight.perception.ac_tuned import TunedAC, TunedACConfig
from foresight.perception.encode import chosen_cameras
from foresight.training.ac_tuning import ACTuning, tune_ac
from foresight.training.experience import expect_actions, split_of
from foresight.training.loop import Record


def learn_ac(
    dataset: Dataset,
    training: ACTuning,
    folder: Path,
    cache_root: Path | str,
    camera: str | None = None,
    tell: Callable[[str], None] = print,
) -> tuple[TunedAC, list[Record]]:
    """Encode what is missing and fine-tune; resumable.

    Args:
        dataset: of any robot.
        training: the checkpoint to begin from, and how.
        folder: gets the tuned checkpoint.
        cache_root: folder of all caches.
        camera: whose pictures are seen; the dataset's first if not given.
        tell: see `tune_ac`.

    Raises:
        ForesightError: no checkpoint is named, the dataset has no actions or too few episodes, or
            as `load_ac`, `robot_of` and `tune_ac`.
    """
    if training.base is None:
        raise ForesightError(
            "Fine-tuning needs a V-JEPA 2-AC checkpoint to begin from: give --ac.base, for example "
            "vjepa2-ac-vitg.pt."
        )
    expect_actions(dataset)
    fit, name = training.fit, training.encoder or str(training.base)
    model = load_ac(
        training.base, fit.device, encoder=training.encoder, allow_foreign=training.allow_foreign
    )
    split = split_of(dataset.lengths, training.validation, fit.seed)
    camera = chosen_cameras(dataset, None if camera is None else [camera])[0]
    robot = robot_of(dataset, camera, training.every, training.pose, split[0])
    data = read_ac_episodes(dataset, model.encoder, robot, cache_root)
    config = TunedACConfig(
        sizes=model.predictor.config,
        robot=robot,
        base=model.predictor.source,
        encoder=name,
        encoder_fingerprint=model.encoder.fingerprint,
        dataset_fingerprint=dataset.fingerprint,
        spec=dataset.spec,
    )
    del model  # the encoder's memory; the predictor learns in fp32
    predictor = load_ac_predictor(training.base)
    return tune_ac(predictor, data, split, config, training, folder, tell)

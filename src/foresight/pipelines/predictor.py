"""From a dataset to a frame-causal predictor of its tokens."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from foresight.data.dataset import Dataset
from foresight.perception.ac_data import read_ac_episodes, robot_of
from foresight.perception.encode import chosen_cameras
from foresight.perception.encoder import load_encoder
from foresight.training.experience import expect_actions, split_of
from foresight.training.loop import Record
from foresight.training.predictor.parallel import together
from foresight.training.predictor.train import PredictorTraining, train_predictor
from foresight.worldmodel.predictor.checkpoint import TrainedPredictor
from foresight.worldmodel.predictor.config import PredictorConfig, named_sizes


def learn_predictor(
    dataset: Dataset,
    encoder: str,
    training: PredictorTraining,
    folder: Path,
    cache_root: Path | str,
    camera: str | None = None,
) -> tuple[TrainedPredictor, list[Record]]:
    """Encode what is missing, each frame alone, and train; resumable.

    Of the processes that ``torchrun`` starts the first one encodes and writes.

    Args:
        dataset: of any robot, with actions.
        encoder: its name.
        training: how.
        folder: gets the checkpoint.
        cache_root: folder of all caches.
        camera: whose pictures are seen; the dataset's first if not given.

    Raises:
        ForesightError: the dataset has no actions or too few episodes, or as `train_predictor`.
    """
    expect_actions(dataset)
    with together(training.fit.device) as ranks:
        device = ranks.device(training.fit.device)
        training = replace(training, fit=replace(training.fit, device=device))
        split = split_of(dataset.lengths, training.validation, training.fit.seed)
        camera = chosen_cameras(dataset, None if camera is None else [camera])[0]
        robot = robot_of(dataset, camera, training.every, train=split[0])
        eyes = load_encoder(encoder, device)
        if ranks.first:
            read_ac_episodes(dataset, eyes, robot, cache_root)
        ranks.wait()
        data = read_ac_episodes(dataset, eyes, robot, cache_root)
        base = replace(
            training.sizes,
            dim=eyes.dim,
            grid=eyes.grid,
            actions=len(robot.action_mean),
            states=len(robot.state_mean) if training.state else 0,
        )
        config = PredictorConfig(
            sizes=named_sizes(training.size, base),
            robot=robot,
            encoder=encoder,
            encoder_fingerprint=eyes.fingerprint,
            dataset_fingerprint=dataset.fingerprint,
            spec=dataset.spec,
        )
        return train_predictor(data, split, config, training, folder, ranks)

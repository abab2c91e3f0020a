"""From a dataset's pixels to a LeWorldModel and, if asked for, an inverse model beside it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from foresight.core.errors import ForesightError
from foresight.data.dataset import Dataset
from foresight.training.lewm.train import LeWMTraining, train_lewm
from foresight.training.loop import Record
from foresight.worldmodel.lewm.config import LeWMSizes
from foresight.worldmodel.lewm.model import LeWorldModel

GOAL_CAMERA = "goal"


def learn_lewm(
    dataset: Dataset,
    training: LeWMTraining,
    folder: Path | str,
    cache_root: Path | str,
    cameras: Sequence[str] = (),
    sizes: LeWMSizes | None = None,
    tensorboard: bool = False,
) -> tuple[LeWorldModel, list[Record]]:
    """Train on a dataset of any robot; resumable.

    Args:
        dataset: the episodes.
        training: size, objective and length.
        folder: of the checkpoint.
        cache_root: where frames are kept uncompressed.
        cameras: the one to see with; not needed where there is one beside that of the goal.
        sizes: of the model, if not those of the training's named size.
        tensorboard: log there as well.

    Raises:
        ForesightError: no camera or several, or as `train_lewm`.
    """
    known = [name for name in dataset.spec.cameras if name != GOAL_CAMERA]
    chosen = list(cameras) or known
    if len(chosen) != 1 or chosen[0] not in dataset.spec.cameras:
        raise ForesightError(
            f"A LeWorldModel sees with one camera, and {dataset.path} has "
            f"{', '.join(dataset.spec.cameras) or 'none'}: name one with --cameras."
        )
    found = {meta.info.get("environment") for meta in dataset.metas}
    task = str(found.pop() or "") if len(found) == 1 else ""
    return train_lewm(dataset, training, folder, cache_root, chosen[0], task, sizes, tensorboard)

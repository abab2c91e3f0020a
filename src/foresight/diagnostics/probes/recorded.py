"""What probes ask of a recorded dataset, which knows no truth: the robot's own numbers."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from jaxtyping import Float, UInt8

from foresight.core.errors import ForesightError
from foresight.core.files import fingerprint
from foresight.core.observation import STATE_KEY
from foresight.data.dataset import Dataset
from foresight.diagnostics.probes.data import (
    ProbeData,
    Split,
    Target,
    Windows,
    split_by_episode,
)
from foresight.diagnostics.probes.scores import varies
from foresight.perception.encode import chosen_cameras, prepared_frames
from foresight.perception.preprocess import PicturePreparation

MEASURE = "state-r2"


def recorded_data(
    dataset: Dataset, prepare: PicturePreparation, camera: str | None, windows: Windows
) -> ProbeData:
    """Windows of any LeRobot dataset, labelled by its ``observation.state``.

    Episodes may have any length; before the first frame there is the first frame. Numbers that do
    not vary in a part of the split are left out: nothing can be said about reading them.

    Args:
        dataset: the episodes.
        prepare: brings its frames to the encoder's size.
        camera: its name; the first one if not given.
        windows: which of them.

    Raises:
        ForesightError: no camera, no such one, no state, none that varies, too few episodes, or
            windows that no encoder takes.
    """
    if not dataset.has(STATE_KEY):
        raise ForesightError(
            f"{dataset.path} has no {STATE_KEY} that a probe could be asked for: choose a dataset "
            "with a state."
        )
    view = chosen_cameras(dataset, None if camera is None else [camera])[0]
    back, reach = windows.back, -int(windows.back[0])
    # With a whole window before them, where there are any.
    steps = [windows.ends(i, min(reach, n - 1), n) for i, n in enumerate(dataset.lengths)]
    episodes = np.repeat(np.arange(len(dataset)), [len(chosen) for chosen in steps])
    split = split_by_episode(episodes, windows.seed)
    rows = np.concatenate([dataset.offsets[i] + chosen for i, chosen in enumerate(steps)])
    labels = dataset.column(STATE_KEY)[rows].reshape(len(rows), -1).astype(np.float64)
    names = [axis.name for axis in dataset.spec.state]
    asked = [i for i in range(labels.shape[1]) if _varies_everywhere(labels[:, i], split)]
    if not asked:
        raise ForesightError(
            f"No number of the state of {dataset.path} varies in each part of its episodes, so "
            "nothing can be said about reading it: collect more episodes."
        )

    def clips() -> Iterator[UInt8[np.ndarray, "b t h w 3"]]:
        for number, chosen in enumerate(steps):
            frames = prepared_frames(dataset, number, view, prepare)
            yield frames[np.maximum(chosen[:, None] + back, 0)]

    rule = prepare.rule(*dataset.spec.cameras[view])
    return ProbeData(
        name=dataset.path.name,
        targets=tuple(Target(names[i], MEASURE) for i in asked),
        labels=labels[:, asked],
        episodes=episodes,
        clips=clips,
        fingerprint=fingerprint([dataset.fingerprint, view, rule, windows]),
    )


def _varies_everywhere(values: Float[np.ndarray, " n"], split: Split) -> bool:
    return all(varies(values[part]) for part in (split.train, split.validation, split.test))

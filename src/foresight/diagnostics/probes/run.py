"""The whole probe: data, features and readings of every task, each kept when it is finished."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from torch import Tensor

from foresight.core.errors import ForesightError
from foresight.core.files import fingerprint, read_json, write_json
from foresight.data.dataset import Dataset
from foresight.diagnostics.probes.data import (
    FEWEST,
    SCENES,
    ProbeData,
    Split,
    check_window,
    scene_data,
    split_by_episode,
    task_data,
)
from foresight.diagnostics.probes.dino import load_dino
from foresight.diagnostics.probes.features import (
    RANDOM_SEED,
    PixelPca,
    encode_windows,
    randomised,
)
from foresight.diagnostics.probes.fit import FitSettings
from foresight.diagnostics.probes.read import Reading, read_features
from foresight.diagnostics.probes.recorded import Windows, recorded_data
from foresight.envs.dmc.quantities import MEASURES
from foresight.envs.dmc.tasks import MEASURED_TASKS, canonical
from foresight.envs.registry import EnvConfig
from foresight.evaluation.results import Result, make_result
from foresight.evaluation.statistics import Interval, Row, Summary
from foresight.perception.encode import chosen_cameras
from foresight.perception.encoder import load_encoder
from foresight.perception.preprocess import DEFAULT_FIT, Fit, PicturePreparation
from foresight.rollout.collect import collect, plan_episodes
from foresight.rollout.episode import EpisodeSpec

FIRST_SEED = 700_000
"""Probe episodes start here: apart from every seed of training and evaluation."""
SCENE_SEED = 700_000
# Wide coverage: pushes that last reach far, short ones stay near the start, and where an expert
# costs nothing it goes to where agents will go.
BEHAVIOURS = ("ar1:0.9", "random", "ar1:0.9")
CHEAP_EXPERTS = ("reacher-easy", "point_mass-easy")
RANDOM, PIXELS, DINO = "random-weights", "pixel-pca", "dinov2"
VERSION = 4
"""Raised when probes change, so that results of older ones are not mixed in."""


@dataclass(frozen=True)
class ProbeSettings:
    """What is probed, and how."""

    encoder: str = "foresight-small"
    """Folder, hub id or name of the encoder under test."""
    tasks: tuple[str, ...] = (*MEASURED_TASKS, SCENES)
    """Source tasks, and scenes."""
    episodes: int = 800
    """Of each task: many short ones, as every one has its own goal and start."""
    windows: int = 12
    """Of each episode."""
    scenes: int = 20_000
    """Rendered clips."""
    frames: int = 4
    """Of a window."""
    stride: int = 2
    """Environment steps between frames."""
    steps: int | None = 40
    """Cut episodes after so many steps."""
    dino: Path | None = None
    """A transformers folder of DINOv2."""
    device: str = "cpu"
    """Where encoders run."""
    seed: int = 0
    """Of the split, the choice of windows and the probes."""
    fit: FitSettings = field(default_factory=FitSettings)
    """Training of the network probes."""
    dataset: Path | None = None
    """A LeRobot dataset to probe instead of tasks."""
    camera: str | None = None
    """Which of its cameras; the first one if not given."""
    pictures: Fit = DEFAULT_FIT
    """How its frames become the encoder's squares."""


@dataclass(frozen=True)
class Subject:
    """What is probed: one line of the table.

    Attributes:
        name: a task, `SCENES`, or a dataset's folder.
        scope: whatever decides its data, beside the settings that all have.
        make: its data.
    """

    name: str
    scope: list[Any]
    make: Callable[[], ProbeData]


@dataclass(frozen=True)
class FeatureSet:
    """One column of the table.

    Attributes:
        condition: prefix in the results, None for the encoder under test.
        fingerprint: of whatever decides the features.
        make: computes them.
    """

    condition: str | None
    fingerprint: str
    make: Callable[[ProbeData, Split], Tensor]


def run_probes(settings: ProbeSettings, folder: Path, workers: int = 1) -> Result:
    """Probe every task with every set of features.

    Args:
        settings: what and how.
        folder: for datasets and finished readings; the same call goes on where it was killed.
        workers: processes that collect episodes; the numbers do not depend on it.

    Raises:
        ForesightError: unknown tasks, windows that no encoder takes, too few episodes, an encoder
            that cannot be loaded or whose features are not finite.
    """
    check_window(settings.frames, settings.stride, settings.windows)
    tasks = [] if settings.dataset else _checked(settings)
    encoder = load_encoder(settings.encoder, device=settings.device, fit=settings.pictures)
    size = int(encoder.image_size)
    subjects = (
        [_recorded(settings, Dataset.open(settings.dataset), encoder.prepare)]
        if settings.dataset
        else [_task(settings, task, size, folder, workers) for task in tasks]
    )
    sets = _feature_sets(settings, encoder)
    rows: list[Row] = []
    summary: Summary = {}
    for subject in subjects:
        data: ProbeData | None = None
        for features in sets:
            place = _place(settings, subject, features, size, folder)
            if not place.exists():
                data = data or subject.make()
                write_json(place, [asdict(r) for r in _read(settings, features, data)])
            readings = [_reading(value) for value in read_json(place)]
            rows += _rows(subject.name, features.condition, readings)
            summary |= _summary(subject.name, features.condition, readings)
    protocol = "none" if settings.dataset or tasks == [SCENES] else "seed200"
    about = {"encoder_fingerprint": encoder.fingerprint, "encoder_part": encoder.part}
    config = {**asdict(settings), **about}
    return make_result("probes", config, protocol, rows, summary)


def probe_specs(settings: ProbeSettings, task: str, size: int) -> list[EpisodeSpec]:
    """The episodes of a task's probe data."""
    behaviours = (*BEHAVIOURS, "expert") if task in CHEAP_EXPERTS else BEHAVIOURS
    env = EnvConfig(task, size=size, quality="smooth")
    return plan_episodes(env, settings.episodes, behaviours, FIRST_SEED, settings.steps)


def _checked(settings: ProbeSettings) -> list[str]:
    """The tasks in their one spelling; refuses early what would fail late."""
    tasks = [task if task == SCENES else canonical(task) for task in settings.tasks]
    for task in tasks:
        if task != SCENES and task not in MEASURES:
            raise ForesightError(
                f"There is nothing to probe in {task!r}: choose {SCENES} or one of "
                f"{', '.join(MEASURED_TASKS)}."
            )
    if not tasks:
        raise ForesightError(f"No task to probe: name {SCENES} or a source task.")
    few = min(settings.episodes, settings.scenes)
    if few < FEWEST:
        raise ForesightError(
            f"{few} episodes or scenes are too few to probe: ask for at least {FEWEST}."
        )
    return list(dict.fromkeys(tasks))


def _feature_sets(settings: ProbeSettings, encoder: Any) -> list[FeatureSet]:
    def with_random(data: ProbeData, split: Split) -> Tensor:
        return encode_windows(randomised(settings.encoder, settings.device), data)

    def with_pixels(data: ProbeData, split: Split) -> Tensor:
        return PixelPca(seed=settings.seed).features(data, split)

    # Untrained weights are the same for every checkpoint of an architecture.
    architecture = [asdict(encoder.config), str(encoder.dtype)]
    sets = [
        FeatureSet(None, encoder.fingerprint, lambda data, split: encode_windows(encoder, data)),
        FeatureSet(RANDOM, fingerprint([RANDOM, RANDOM_SEED, architecture]), with_random),
        FeatureSet(PIXELS, PIXELS, with_pixels),
    ]
    if settings.dino is not None:
        dino = load_dino(settings.dino, encoder.image_size, settings.device)
        sets.append(
            FeatureSet(DINO, dino.fingerprint, lambda data, split: encode_windows(dino, data))
        )
    return sets


def _task(settings: ProbeSettings, task: str, size: int, folder: Path, workers: int) -> Subject:
    """A source task, or scenes."""

    def make() -> ProbeData:
        if task == SCENES:
            return scene_data(settings.scenes, settings.frames, size, SCENE_SEED + settings.seed)
        name = f"{task}-{size}px" + ("" if settings.steps is None else f"-{settings.steps}steps")
        store = collect(folder / "data" / name, probe_specs(settings, task, size), workers)
        return task_data(store, settings.windows, settings.frames, settings.stride, settings.seed)

    scope = (
        [settings.scenes]
        if task == SCENES
        else [settings.episodes, settings.windows, settings.stride, settings.steps]
    )
    return Subject(task, scope, make)


def _recorded(settings: ProbeSettings, dataset: Dataset, prepare: PicturePreparation) -> Subject:
    """A dataset of anybody's."""
    windows = Windows(settings.windows, settings.frames, settings.stride, settings.seed)
    camera = chosen_cameras(dataset, None if settings.camera is None else [settings.camera])[0]
    rule = prepare.rule(*dataset.spec.cameras[camera])
    scope = [dataset.fingerprint, camera, rule, windows]
    make = partial(recorded_data, dataset, prepare, camera, windows)
    return Subject(dataset.path.resolve().name, scope, make)


def _place(
    settings: ProbeSettings, subject: Subject, features: FeatureSet, size: int, folder: Path
) -> Path:
    """Where the readings of a subject and a feature set are kept."""
    key = [VERSION, subject.name, size, settings.frames, settings.seed, settings.fit, subject.scope]
    digest = fingerprint([fingerprint(part) for part in (*key, features.fingerprint)])
    return folder / "readings" / f"{subject.name}-{features.condition or 'encoder'}-{digest}.json"


def _read(settings: ProbeSettings, features: FeatureSet, data: ProbeData) -> list[Reading]:
    split = split_by_episode(data.episodes, settings.seed)
    label = f"{data.name}: {features.condition or settings.encoder}"
    found = features.make(data, split)  # freed when this returns
    return read_features(found, data, split, settings.fit, label)


def _reading(value: dict[str, Any]) -> Reading:
    """A reading from its JSON."""
    return Reading(
        value["measure"],
        value["probe"],
        Interval(**value["interval"]),
        {name: Interval(**entry) for name, entry in value["targets"].items()},
        {name: (scores[0], scores[1]) for name, scores in value["others"].items()},
    )


def _rows(task: str, condition: str | None, readings: list[Reading]) -> Iterator[Row]:
    """A row for each target, and one for each probe that was tried."""
    prefix = "" if condition is None else f"{condition}:"
    for reading in readings:
        for name, found in reading.targets.items():
            row = {
                "measure": reading.measure,
                "value": found.mean,
                "low": found.low,
                "high": found.high,
                "episodes": found.n,
                "task": task,
                "target": name,
                "probe": reading.probe,
            }
            yield row if condition is None else {**row, "condition": condition}
        for probe, (validation, test) in reading.others.items():
            yield {
                "measure": reading.measure,
                "value": test,
                "validation": validation,
                "task": task,
                "condition": f"{prefix}{probe}",
            }


def _summary(task: str, condition: str | None, readings: list[Reading]) -> Summary:
    """The intervals over episodes, in place of those that rows alone would give."""
    prefix = "" if condition is None else f"{condition}:"
    return {f"{prefix}{r.measure}/{task}": r.interval.as_dict() for r in readings}

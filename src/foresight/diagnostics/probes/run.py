"""The whole probe: data, features and readings of every task, each kept when it is finished."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from torch import Tensor
from tyro.conf import Positional

from foresight.core.errors import ForesightError
from foresight.core.files import fingerprint, read_json, write_json
from foresight.data.dataset import Dataset
from foresight.diagnostics.probes.data import (
    FEWEST,
    SCENES,
    ProbeData,
    Split,
    Windows,
    scene_data,
    split_by_episode,
    task_data,
)
from foresight.diagnostics.probes.dino import is_dino, load_dino
from foresight.diagnostics.probes.features import Eye, Resized, encode_windows, pixel_components
from foresight.diagnostics.probes.fit import FitSettings
from foresight.diagnostics.probes.read import Reading, read_features
from foresight.diagnostics.probes.recorded import recorded_data
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
RANDOM_SEED = 1
VERSION = 4
"""Raised when probes change, so that results of older ones are not mixed in."""


@dataclass(frozen=True)
class ProbeSettings:
    """What is probed, and how."""

    tasks: Positional[tuple[str, ...]] = ()
    """Source tasks, and scenes for the rendered objects; all of them if none is named."""
    dataset: Path | None = None
    """Folder of a LeRobot dataset: say what the encoder sees of its observation.state."""
    camera: str | None = None
    """Name of the dataset's camera; its first one if not given."""
    fit: Fit = DEFAULT_FIT
    """How the dataset's frames become the encoder's squares. squash: everything is seen,
    proportions change; crop: the middle square; pad: between black bars."""
    encoder: str = "foresight-small"
    """Folder, hub id or name of the encoder."""
    episodes: int = 800
    """Episodes of each task: many short ones, as every one has its own goal and start."""
    steps: int | None = 40
    """Length of an episode in environment steps."""
    windows: int = 12
    """Windows of frames taken from each episode, a dataset's too."""
    scenes: int = 20_000
    """Rendered clips."""
    frames: int = 4
    """Frames of a window, an even number; the last one shows the present step."""
    stride: int = 2
    """Environment steps from one frame to the next."""
    dino: Path | None = None
    """Folder of a DINOv2 checkpoint to compare with."""
    compare: tuple[str, ...] = ()
    """Further encoders in the same table: folders, files or hub ids of V-JEPA 2 or 2.1, and folders
    of DINOv2. Each sees the same frames, brought to its own size."""
    device: str = "cpu"
    """Where encoders run: cpu, cuda, cuda:1, or auto for cuda where there is one."""
    seed: int = 0
    """Of the split into fitting, choosing and testing, and of the probes."""
    training: FitSettings = field(default_factory=FitSettings)
    """Of the network probes."""

    @property
    def chosen(self) -> Windows:
        """The windows."""
        return Windows(self.windows, self.frames, self.stride, self.seed)

    def smoke(self) -> ProbeSettings:
        """A tiny size, to see that everything runs."""
        return replace(
            self,
            tasks=self.tasks or (() if self.dataset else ("point_mass-easy", SCENES)),
            episodes=min(self.episodes, 8),
            windows=min(self.windows, 4),
            scenes=min(self.scenes, 80),
            steps=min(self.steps or 30, 30),
            training=replace(self.training, updates=20),
        )


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
        about: what made them, in words.
    """

    condition: str | None
    fingerprint: str
    make: Callable[[ProbeData, Split], Tensor]
    about: str = ""


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
    if settings.dataset is not None and settings.tasks:
        raise ForesightError(
            f"Probe the dataset {settings.dataset} or the tasks {', '.join(settings.tasks)}, one "
            "at a time: leave one of them out."
        )
    windows = settings.chosen
    tasks = [] if settings.dataset else _checked(settings)
    encoder = load_encoder(settings.encoder, device=settings.device, fit=settings.fit)
    size = int(encoder.image_size)
    subjects = (
        [_recorded(settings, Dataset.open(settings.dataset), encoder.prepare, windows)]
        if settings.dataset
        else [_task(settings, task, windows, size, folder, workers) for task in tasks]
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
    about = {
        "encoder_fingerprint": encoder.fingerprint,
        "encoder_part": encoder.part,
        "encoders": {features.condition or "": features.about for features in sets},
    }
    config = {**asdict(settings), **about}
    return make_result("probes", config, protocol, rows, summary)


def probe_specs(settings: ProbeSettings, task: str, size: int) -> list[EpisodeSpec]:
    """The episodes of a task's probe data."""
    behaviours = (*BEHAVIOURS, "expert") if task in CHEAP_EXPERTS else BEHAVIOURS
    env = EnvConfig(task, size=size, quality="smooth")
    return plan_episodes(env, settings.episodes, behaviours, FIRST_SEED, settings.steps)


def _checked(settings: ProbeSettings) -> list[str]:
    """The tasks in their one spelling; refuses early what would fail late."""
    named = settings.tasks or (*MEASURED_TASKS, SCENES)
    tasks = [task if task == SCENES else canonical(task) for task in named]
    for task in tasks:
        if task != SCENES and task not in MEASURES:
            raise ForesightError(
                f"There is nothing to probe in {task!r}: choose {SCENES} or one of "
                f"{', '.join(MEASURED_TASKS)}."
            )
    few = min(settings.episodes, settings.scenes)
    if few < FEWEST:
        raise ForesightError(
            f"{few} episodes or scenes are too few to probe: ask for at least {FEWEST}."
        )
    return list(dict.fromkeys(tasks))


def _feature_sets(settings: ProbeSettings, encoder: Any) -> list[FeatureSet]:
    def with_random(data: ProbeData, split: Split) -> Tensor:
        blank = load_encoder(settings.encoder, device=settings.device, random_weights=RANDOM_SEED)
        return encode_windows(blank, data)

    def with_pixels(data: ProbeData, split: Split) -> Tensor:
        return pixel_components(data, split, settings.seed)

    # Untrained weights are the same for every checkpoint of an architecture.
    architecture = [asdict(encoder.config), str(encoder.dtype)]
    sets = [
        _seen_by(None, encoder, encoder.described),
        FeatureSet(RANDOM, fingerprint([RANDOM, RANDOM_SEED, architecture]), with_random),
        FeatureSet(PIXELS, PIXELS, with_pixels),
    ]
    if settings.dino is not None:
        sets.append(_seen_by(DINO, load_dino(settings.dino, encoder.image_size, settings.device)))
    taken = [RANDOM, PIXELS, DINO]
    for name in settings.compare:
        short = Path(name).name.replace(":", "-")
        taken.append(short if short not in taken else f"{short}-{len(taken)}")
        if is_dino(Path(name)):
            dino = load_dino(Path(name), encoder.image_size, settings.device)
            sets.append(_seen_by(taken[-1], dino))
            continue
        other = load_encoder(name, device=settings.device, fit=settings.fit)
        same = other.image_size == encoder.image_size
        eye = other if same else Resized(other, encoder.image_size)
        sets.append(_seen_by(taken[-1], eye, other.described))
    return sets


def _seen_by(condition: str | None, eye: Eye, about: str = "DINOv2") -> FeatureSet:
    return FeatureSet(
        condition, eye.fingerprint, lambda data, split: encode_windows(eye, data), about
    )


def _task(
    settings: ProbeSettings, task: str, windows: Windows, size: int, folder: Path, workers: int
) -> Subject:
    """A source task, or scenes."""

    def make() -> ProbeData:
        if task == SCENES:
            return scene_data(settings.scenes, settings.frames, size, SCENE_SEED + settings.seed)
        name = f"{task}-{size}px" + ("" if settings.steps is None else f"-{settings.steps}steps")
        store = collect(folder / "data" / name, probe_specs(settings, task, size), workers)
        return task_data(store, windows)

    scope = (
        [settings.scenes]
        if task == SCENES
        else [settings.episodes, settings.windows, settings.stride, settings.steps]
    )
    return Subject(task, scope, make)


def _recorded(
    settings: ProbeSettings, dataset: Dataset, prepare: PicturePreparation, windows: Windows
) -> Subject:
    """A dataset of anybody's."""
    camera = chosen_cameras(dataset, None if settings.camera is None else [settings.camera])[0]
    rule = prepare.rule(*dataset.spec.cameras[camera])
    scope = [dataset.fingerprint, camera, rule, windows]
    make = partial(recorded_data, dataset, prepare, camera, windows)
    return Subject(dataset.path.resolve().name, scope, make)


def _place(
    settings: ProbeSettings, subject: Subject, features: FeatureSet, size: int, folder: Path
) -> Path:
    """Where the readings of a subject and a feature set are kept."""
    key = [
        VERSION,
        subject.name,
        size,
        settings.frames,
        settings.seed,
        settings.training,
        subject.scope,
    ]
    digest = fingerprint([fingerprint(part) for part in (*key, features.fingerprint)])
    return folder / "readings" / f"{subject.name}-{features.condition or 'encoder'}-{digest}.json"


def _read(settings: ProbeSettings, features: FeatureSet, data: ProbeData) -> list[Reading]:
    split = split_by_episode(data.episodes, settings.seed)
    label = f"{data.name}: {features.condition or settings.encoder}"
    found = features.make(data, split)  # freed when this returns
    return read_features(found, data, split, settings.training, label)


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

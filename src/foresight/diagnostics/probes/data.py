"""What probes are asked: windows of frames with true labels, split by episode."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import astuple, dataclass

import numpy as np
from jaxtyping import Float, Int, UInt8

from foresight.core.errors import ForesightError
from foresight.core.files import fingerprint
from foresight.core.progress import track
from foresight.data.dataset import Dataset
from foresight.diagnostics.probes.state_probe import StateProbe
from foresight.envs.dmc.scene_model import CLASSES
from foresight.envs.dmc.scenes import DIRECTIONS, SceneRenderer, draw_scene, scene_labels

SCENES = "scenes"
SHARES = (0.7, 0.1)
"""Shares of the episodes that probes are fitted on and chosen by; the rest is the test."""
FEWEST = 5
"""Episodes without which there is no split."""


@dataclass(frozen=True)
class Target:
    """One thing that a probe shall tell.

    Attributes:
        name: for example ``ball x``.
        measure: the result that it counts towards, for example ``position-r2``.
        classes: number of classes, 0 for a number.
    """

    name: str
    measure: str
    classes: int = 0


@dataclass(frozen=True)
class ProbeData:
    """Windows of frames and what is true of their last frame.

    Attributes:
        name: task id, or ``scenes``.
        targets: what is asked, one for each column of the labels.
        labels: float64 ``[N, Q]``; classes as whole numbers.
        episodes: the episode of each window ``[N]``; a scene is an episode of its own.
        clips: gives the windows again in their order, in batches uint8 ``[B, T, H, W, 3]``.
        fingerprint: of everything above.
    """

    name: str
    targets: tuple[Target, ...]
    labels: np.ndarray
    episodes: np.ndarray
    clips: Callable[[], Iterator[np.ndarray]]
    fingerprint: str

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def measures(self) -> list[str]:
        """The results that the targets count towards."""
        return list(dict.fromkeys(target.measure for target in self.targets))

    def columns(self, measure: str) -> list[int]:
        """The label columns of a result."""
        return [i for i, target in enumerate(self.targets) if target.measure == measure]


@dataclass(frozen=True)
class Windows:
    """Which windows of frames are taken.

    Attributes:
        count: of each episode, at random steps; fewer where it is short.
        frames: of each window; the last one shows the present step.
        stride: steps from one frame to the next.
        seed: of the choice of steps, and of the split by which a number counts as constant.

    Raises:
        ForesightError: an odd number of frames, or a number below 1.
    """

    count: int = 20
    frames: int = 4
    stride: int = 2
    seed: int = 0

    def __post_init__(self) -> None:
        if self.frames < 2 or self.frames % 2:
            raise ForesightError(
                f"A window of {self.frames} frames cannot be probed: encoders take two frames at a "
                "time, choose an even number from 2."
            )
        if self.stride < 1 or self.count < 1:
            raise ForesightError(
                f"A stride of {self.stride} and {self.count} windows of an episode are not "
                "possible: choose numbers from 1."
            )

    @property
    def back(self) -> Int[np.ndarray, " t"]:
        """The steps of a window's frames, counted from its last one."""
        return self.stride * np.arange(1 - self.frames, 1)

    def ends(self, number: int, first: int, length: int) -> Int[np.ndarray, " k"]:
        """Random steps of episode ``number``, from ``first`` to its ``length``, in order."""
        random = np.random.default_rng([self.seed, number])
        count = min(self.count, length - first)
        return np.sort(random.choice(np.arange(first, length), count, replace=False))


@dataclass(frozen=True)
class Split:
    """Numbers of the windows to fit on, to choose by and to report on; no episode is in two."""

    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray


def split_by_episode(episodes: Int[np.ndarray, " n"], seed: int = 0) -> Split:
    """Divide windows by their episodes, at random.

    Args:
        episodes: the episode of each window ``[N]``.
        seed: of the division.

    Raises:
        ForesightError: fewer than five episodes.
    """
    names = np.unique(episodes)
    if len(names) < FEWEST:
        raise ForesightError(
            f"{len(names)} episodes are too few to probe: at least {FEWEST} are needed to fit, to "
            "choose and to test on different ones, collect more."
        )
    order = np.random.default_rng(seed).permutation(names)
    chosen = max(1, round(SHARES[1] * len(names)))
    fitted = min(max(1, round(SHARES[0] * len(names))), len(names) - chosen - 1)
    parts = np.split(order, [fitted, fitted + chosen])
    train, validation, test = (np.flatnonzero(np.isin(episodes, part)) for part in parts)
    return Split(train, validation, test)


def task_data(dataset: Dataset, windows: Windows) -> ProbeData:
    """Windows of a dataset of one source task, labelled by the simulator.

    Args:
        dataset: the episodes, with frames.
        windows: which of them.

    Raises:
        ForesightError: several tasks, one without quantities, or episodes shorter than a window.
    """
    back, steps = windows.back, []
    reach = -int(back[0])
    for number, length in enumerate(dataset.lengths):
        if length <= reach:
            raise ForesightError(
                f"Episode {number} of {dataset.path} has {length} steps but a window reaches "
                f"{reach} steps back: collect longer episodes, or take fewer frames or a smaller "
                "stride."
            )
        steps.append(windows.ends(number, reach, length))
    probes: dict[str, StateProbe] = {}
    task, rows, starts = dataset.only_task, [], np.cumsum([0, *dataset.lengths])
    states = dataset.column("sim.state")
    for number, meta in enumerate(track(dataset.metas, f"{task}: measuring")):
        protocol = str(meta.info.get("protocol", "seed200"))
        probe = probes.setdefault(protocol, StateProbe(task, protocol))
        rows.append(probe.measure(int(meta.info["seed"]), states[starts[number] + steps[number]]))
    for probe in probes.values():
        probe.close()

    def clips() -> Iterator[UInt8[np.ndarray, "b t h w 3"]]:
        for number in range(len(dataset)):
            yield dataset.frames(number)[steps[number][:, None] + back]

    positions = [Target(name, "position-r2") for name in probe.position]
    velocities = [Target(name, "velocity-r2") for name in probe.velocity]
    return ProbeData(
        name=task,
        targets=(*positions, *velocities),
        labels=np.concatenate(rows),
        episodes=np.repeat(np.arange(len(dataset)), [len(chosen) for chosen in steps]),
        clips=clips,
        fingerprint=fingerprint([dataset.fingerprint, *astuple(windows)]),
    )


def scene_data(count: int, frames: int = 4, size: int = 64, seed: int = 0) -> ProbeData:
    """Rendered scenes, one window each.

    Args:
        count: number of scenes.
        frames: of each clip.
        size: height and width in pixels.
        seed: of the set.

    Raises:
        ForesightError: fewer than five scenes, an odd number of frames, or no renderer.
    """
    Windows(frames=frames)
    if count < FEWEST:
        raise ForesightError(f"{count} scenes are too few to probe: ask for at least {FEWEST}.")
    labels = np.stack([scene_labels(draw_scene(seed, i, frames)) for i in range(count)])

    def clips() -> Iterator[UInt8[np.ndarray, "b t h w 3"]]:
        renderer = SceneRenderer(size)
        try:
            for i in range(count):
                yield renderer.render(draw_scene(seed, i, frames))[None]
        finally:
            renderer.close()

    targets = (
        Target("object x", "object-xy-r2"),
        Target("object y", "object-xy-r2"),
        Target("object size", "object-size-r2"),
        Target("object depth", "object-depth-r2"),
        Target("object class", "object-class-accuracy", len(CLASSES)),
        Target("direction", "motion-direction-accuracy", len(DIRECTIONS)),
    )
    # The labels and some pixels: whatever changes the scenes changes the name of the set.
    look = next(clips())
    return ProbeData(
        name=SCENES,
        targets=targets,
        labels=labels,
        episodes=np.arange(count),
        clips=clips,
        fingerprint=fingerprint([fingerprint(labels.tobytes()), fingerprint(look.tobytes())]),
    )


def standardised(
    labels: Float[np.ndarray, "n q"], train: Int[np.ndarray, " m"]
) -> tuple[Float[np.ndarray, "n q"], np.ndarray, np.ndarray]:
    """Labels with mean 0 and spread 1 over the training windows, and that mean and spread."""
    mean = labels[train].mean(axis=0)
    spread = labels[train].std(axis=0)
    spread = np.where(spread > 0, spread, 1.0)
    return (labels - mean) / spread, mean, spread

"""Folders that ``foresight learn`` left, and what every look at them needs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from foresight.core.errors import ForesightError
from foresight.core.files import file_fingerprint
from foresight.evaluation.statistics import Interval
from foresight.perception.encoder import load_encoder
from foresight.pipelines import learn as planning
from foresight.planning.config import MPCConfig
from foresight.planning.mpc import MPCPlanner
from foresight.training.run_data import load_replay
from foresight.worldmodel.model import WorldModel
from studies.ensemble_errors.held_out import HeldOutConfig, collect_held_out
from studies.ensemble_errors.imagined_errors import HeldOut
from studies.latent_stats import Grounds, grounds_of
from studies.penalty import planning_beta
from studies.registry import Request

DEFAULT = Path("runs/planning")
"""Where ``foresight learn`` puts its folders."""


@dataclass(frozen=True)
class Learned:
    """One learned task.

    Attributes:
        checkpoint: the folder of the model, with its rounds of episodes and its metrics.
        work: where what is found out about it is kept.
    """

    checkpoint: Path
    work: Path

    @cached_property
    def model(self) -> WorldModel:
        """The model, in eval mode."""
        return WorldModel.load(self.checkpoint)

    @property
    def task(self) -> str:
        """The task that was learned."""
        return self.model.config.task

    @property
    def weights(self) -> str:
        """Fingerprint of the checkpoint."""
        return file_fingerprint(self.checkpoint / "model.safetensors")

    @property
    def grounds_path(self) -> Path:
        """Where the statistics of its training states are."""
        return self.work / f"grounds-{self.weights}.safetensors"

    @cached_property
    def grounds(self) -> Grounds:
        """Statistics of its training states, made once for these weights."""
        if not self.grounds_path.exists():
            grounds_of(load_replay(self.model, self.checkpoint)).save(self.grounds_path)
        return Grounds.load(self.grounds_path)

    def held_out(self, config: HeldOutConfig, search: MPCConfig) -> list[HeldOut]:
        """Fresh episodes, rolled once."""
        encoder = load_encoder(self.model.config.encoder)
        self.model.config.expect_encoder(encoder.fingerprint)
        return collect_held_out(self.model, encoder, search, config, self.work / "held-out")

    def beta(self, episodes: Sequence[HeldOut], search: MPCConfig, raw: bool = False) -> Interval:
        """What one unit of disagreement, whitened or raw, is worth; see `planning_beta`."""
        units = None if raw else self.grounds.whiten
        return planning_beta(MPCPlanner.of(self.model, search), episodes, units)


def named(learned: Sequence[Learned]) -> dict[str, dict[str, str]]:
    """Folder and weights of each task's model, as results keep them."""
    return {one.task: {"folder": str(one.checkpoint), "weights": one.weights} for one in learned}


def find_learned(folders: Sequence[Path], work: Path) -> list[Learned]:
    """The learned tasks in some folders, each task once.

    Args:
        folders: each is a model's folder, a task's folder with ``model`` in it, or a folder of
            tasks' folders; `DEFAULT` if none is named.
        work: gets a folder for each task.

    Raises:
        ForesightError: a folder holds no learned model, or two of them are of one task.
    """
    found: dict[str, Learned] = {}
    for folder in folders or [DEFAULT]:
        places = [folder, folder / "model", *sorted(folder.glob("*/model"))]
        models = [place for place in places if (place / "config.json").is_file()]
        if not models:
            raise ForesightError(
                f"{folder} holds no learned model: learn one with `foresight learn TASK`, or name "
                "the folder where that left it."
            )
        for place in models:
            task = WorldModel.load(place).config.task
            if task in found:
                raise ForesightError(
                    f"{place} and {found[task].checkpoint} have both learned {task}: name one."
                )
            found[task] = Learned(place, work / task)
    return list(found.values())


def models_of(request: Request, tasks: Sequence[str]) -> list[Learned]:
    """What ``--models`` holds of some tasks; a smoke run learns what is not there, in seconds.

    Raises:
        ForesightError: as `find_learned`.
    """
    models = request.models
    if request.smoke and not all((models / task).is_dir() for task in tasks):
        models = request.folder / "learned"
        planning.run(replace(planning.presets()["smoke"], film=0), tasks, models)
    return find_learned([models / task for task in tasks], request.folder)

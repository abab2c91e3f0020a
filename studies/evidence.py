"""What learned models are asked: calibration, ablation, cost; and the field's protocol."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

from foresight.core.files import write_text
from foresight.envs.dmc.tasks import canonical
from foresight.evaluation.merge import beside, earlier
from foresight.evaluation.results import Result
from foresight.pipelines import learn as planning
from studies import ablation, calibration, cost, dmc1000
from studies.learned import find_learned
from studies.registry import Request

NAMES = ("calibration", "ablation", "cost", "dmc1000")
SMOKE_TASK = "reacher-easy"


def reproduce(request: Request) -> Result:
    """The experiment that is asked for; ``dmc1000`` keeps other tasks of its file, and its curves.

    Raises:
        ForesightError: as `run`, or the file of ``dmc1000`` holds something else.
    """
    field = request.name == "dmc1000"
    before = earlier(request.target, request.name, dmc1000.PROTOCOL) if field else None
    result = run(
        request.name,
        "smoke" if request.smoke else "full",
        request.folder,
        request.learned,
        request.processes,
        request.seeds,
        request.episodes,
        request.tasks,
        request.other_encoder,
    )
    result = beside(result, before)
    if field:
        write_text(request.target.with_suffix(".csv"), dmc1000.curve_csv(result.rows))
    return result


def run(
    name: str,
    preset: Literal["full", "smoke"],
    folder: Path,
    learned: Sequence[Path] = (),
    workers: int = 1,
    seeds: int | None = None,
    episodes: int | None = None,
    tasks: Sequence[str] = (),
    encoder: str | None = None,
) -> Result:
    """Run one of `NAMES`.

    Args:
        name: which.
        preset: full, or smoke, which learns a tiny model of its own if none is named.
        folder: for everything that is kept between runs.
        learned: folders that ``foresight learn`` left; see `find_learned`. Without one ``dmc1000``
            learns on its own.
        workers: processes that evaluate.
        seeds: evaluation seeds, if not the preset's number.
        episodes: held-out episodes, if not the preset's number.
        tasks: what ``dmc1000`` learns; if not given all its tasks, or none beside learned models.
        encoder: the eyes that ``dmc1000`` learns with, if not the tasks' own.

    Raises:
        ForesightError: no learned model, or whatever the experiment has to say about its input.
    """
    if name == "dmc1000":
        sizes = dmc1000.presets()[preset]
        sizes = replace(sizes, seeds=sizes.seeds if seeds is None else seeds, encoder=encoder)
        models = find_learned(learned, folder) if learned else []
        if tasks or learned:
            sizes = replace(sizes, tasks=tuple(canonical(task) for task in tasks))
        return dmc1000.run(sizes, folder, workers, models)
    if preset == "smoke" and not learned:
        learned = [_tiny(folder / "learned")]
    found = find_learned(learned, folder)
    if name == "cost":
        return cost.run(found)
    if name == "calibration":
        asked = calibration.presets()[preset]
        if episodes is not None:
            asked = replace(asked, held_out=replace(asked.held_out, episodes=episodes))
        return calibration.run(asked, found)
    parts = ablation.presets()[preset]
    if seeds is not None:
        parts = replace(parts, seeds=seeds)
    if episodes is not None:
        parts = replace(parts, held_out=replace(parts.held_out, episodes=episodes))
    return ablation.run(parts, found, workers)


def _tiny(folder: Path) -> Path:
    """A model learned in seconds, to see that everything runs."""
    sizes = replace(planning.presets()["smoke"], film=0)
    planning.run(sizes, [SMOKE_TASK], folder).save(folder / "planning.json")
    return folder

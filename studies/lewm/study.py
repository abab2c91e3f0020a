"""Recipe ``lewm``: collect, learn end to end from pixels, reach goal pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from foresight.core.errors import ForesightError
from foresight.core.progress import console
from foresight.data.dataset import Dataset
from foresight.envs.planar.tasks import TASKS
from foresight.envs.registry import EnvConfig
from foresight.evaluation.assess import assess_policy
from foresight.evaluation.baselines import paired_baselines
from foresight.evaluation.cache import EpisodeCache
from foresight.evaluation.config import EvalConfig, task_name
from foresight.evaluation.merge import beside, earlier
from foresight.evaluation.results import Result, make_result
from foresight.evaluation.statistics import Row, Summary, bootstrap_interval, wilson_interval
from foresight.experts.planar_search import ExactFactory
from foresight.pipelines.lewm import learn_lewm
from foresight.planning.lewm import FAST_PLAN, LeWMPlan
from foresight.policies.lewm import InverseFactory, LeWMFactory
from foresight.policies.registry import MakePolicy
from foresight.rollout.collect import collect, plan_episodes
from foresight.training.experience import load_split
from foresight.training.lewm.clips import read_pixels
from foresight.training.lewm.inverse import InverseTraining, train_inverse
from foresight.training.lewm.train import LeWMTraining
from foresight.training.loop import FitConfig
from foresight.worldmodel.lewm.config import sizes_of
from foresight.worldmodel.lewm.model import LeWorldModel
from studies.lewm.places import place_r2
from studies.registry import Request

PROTOCOL, RECORDED = "first-success", "whole"
OURS, PUBLISHED, INVERSE = "lewm", "lewm-published-search", "inverse"
PLAIN = "lewm-published-objective"
EXACT, LATE = "exact-model", "exact-model-judged-at-the-end"
MOVED = {"tworoom/point": (0, 1), "tworoom/doors": (0, 1), "push/puck": (2, 3)}
"""Where in a state the place is of what has to be moved."""
SHOWN_BY = ("noisy:0.6,40:wanderer",)
"""The expert goes on from goal to goal, disturbed, and now and then noise alone decides."""


@dataclass(frozen=True)
class LeWMStudyConfig:
    """Which tasks, and how much is recorded, learned and measured."""

    tasks: tuple[str, ...] = ("tworoom/point", "push/puck")
    """Ids of planar tasks."""
    episodes: int = 600
    """Recorded episodes of each."""
    recorded_steps: int | None = None
    """Cut them short (smoke runs)."""
    train: LeWMTraining = field(
        default_factory=lambda: LeWMTraining(
            size="mini",
            dim=8,
            weight=0.02,
            inverse=1.0,
            directions=256,
            fit=FitConfig(
                epochs=10,
                updates=2500,
                batch=64,
                lr=1e-3,
                weight_decay=1e-3,
                clip=1.0,
                warmup=100,
            ),
        )
    )
    """How our model learns; another learns from the same data without being asked for actions."""
    inverse: InverseTraining = field(default_factory=InverseTraining)
    """How the inverse model learns."""
    plan: LeWMPlan = FAST_PLAN
    """Our search."""
    published: LeWMPlan = field(default_factory=LeWMPlan)
    """The published one."""
    published_seeds: int = 10
    """Starts of the latter, which takes long."""
    exact_seeds: int = 20
    """Starts of the same search with the task's own physics."""
    seeds: int = 100
    """Starts, seeds 0, 1, …, the same for all; none is solved already."""
    steps: int | None = None
    """Cut evaluation episodes short (smoke runs)."""


def presets() -> dict[str, LeWMStudyConfig]:
    """The named sizes."""
    full = LeWMStudyConfig()
    fit = full.train.fit
    short = replace(
        full,
        tasks=("tworoom/point",),
        episodes=300,
        train=replace(full.train, fit=replace(fit, updates=1000)),
        published_seeds=2,
    )
    smoke = replace(
        short,
        episodes=4,
        recorded_steps=32,
        train=replace(
            full.train,
            directions=16,
            validation=0.25,
            fit=replace(fit, epochs=2, updates=4, batch=8),
        ),
        inverse=InverseTraining(fit=FitConfig(epochs=2, updates=4, batch=8)),
        plan=replace(FAST_PLAN, samples=8, elites=2, iterations=2),
        published=LeWMPlan(samples=8, elites=2, iterations=2),
        published_seeds=1,
        exact_seeds=1,
        seeds=2,
        steps=6,
    )
    return {"full": full, "short": short, "smoke": smoke}


def run(config: LeWMStudyConfig, folder: Path, workers: int = 1) -> Result:
    """Go all stages of every task; what is finished is not done again.

    Rows: episodes of ``lewm`` (our search in a model that is asked for actions, too),
    ``lewm-published-objective`` (the same in one that is not), ``lewm-published-search`` (fewer
    starts), ``inverse``, ``exact-model`` (our search in the true physics, on the distance between
    places; judged at the end of a plan it is another row), ``expert``, ``random`` and ``zero``;
    and of both models on held-out episodes ``prediction``, ``persistence``, ``rank``, and how far
    a linear readout finds what has to be moved. The summary adds ``success/<task>`` and the same of
    the others (``published-objective``, ``published-search``, ``inverse``, ``exact``, ``expert``,
    ``random``) with Wilson intervals, and ``ms-per-plan/<task>``, CPU milliseconds, with
    ``ms-per-plan-published/<task>``.

    Raises:
        ForesightError: an unknown task, or a folder of another run.
    """
    rows: list[Row] = []
    for task in config.tasks:
        if task not in TASKS:
            raise ForesightError(f"lewm has no task {task!r}: choose from {', '.join(TASKS)}.")
        rows += _task_rows(config, task, folder / task.replace("/", "-"), workers)
    return make_result("lewm", asdict(config), PROTOCOL, rows, rates(rows))


def _task_rows(config: LeWMStudyConfig, task: str, folder: Path, workers: int) -> list[Row]:
    console.print(f"[bold]{task}[/]: record, learn from pixels, plan towards pictures")
    dataset = _recorded(config, task, folder / "data", workers)
    rows, models = [], {OURS: config.train, PLAIN: replace(config.train, inverse=0.0)}
    for name, training in models.items():
        rows += _learned(name, task, dataset, training, folder)
    model = LeWorldModel.load(folder / OURS)
    inverse, split = folder / "inverse", load_split(folder / OURS)
    train_inverse(model, dataset, config.inverse, inverse, folder / "cache", split)
    env = EnvConfig(task, protocol=PROTOCOL, size=model.config.sizes.image)
    trial = EvalConfig(env, tuple(range(config.seeds)), config.steps, workers)
    few = replace(trial, seeds=trial.seeds[: config.published_seeds])
    exact = replace(trial, seeds=trial.seeds[: config.exact_seeds])
    book = EpisodeCache(folder / "rows.jsonl")
    ours, plain = str(folder / OURS), str(folder / PLAIN)
    policies: dict[str, tuple[EvalConfig, MakePolicy]] = {
        OURS: (trial, LeWMFactory(ours, config.plan)),
        PLAIN: (trial, LeWMFactory(plain, config.plan)),
        PUBLISHED: (few, LeWMFactory(ours, config.published)),
        INVERSE: (trial, InverseFactory(str(inverse))),
        EXACT: (exact, ExactFactory(config.plan)),
        LATE: (exact, ExactFactory(replace(config.plan, judge="last"))),
    }
    for name, (episodes, maker) in policies.items():
        rows += assess_policy(episodes, name, maker, book).rows
    return rows + paired_baselines(trial, ("expert", "random", "zero"), book)


def _learned(
    name: str, task: str, dataset: Dataset, training: LeWMTraining, folder: Path
) -> list[Row]:
    """Rows of what a model has learned; a finished one is not learned again."""
    model, history = learn_lewm(dataset, training, folder / name, folder / "cache")
    told = {key.removeprefix("validation/"): value for key, value in history[-1].items()}
    split = load_split(folder / name)
    assert split is not None
    pixels = read_pixels(dataset, model.config.camera, model.config.sizes.image, folder / "cache")
    found = place_r2(model.eval(), dataset, pixels.array, split, MOVED[task])
    known = told | {f"place-r2-{axis}": value for axis, value in zip("xy", found, strict=True)}
    called = task_name(EnvConfig(task))
    return [
        {"measure": f"{measure}-{name}", "task": called, "value": known[measure]}
        for measure in ("prediction", "persistence", "sigreg", "rank", "place-r2-x", "place-r2-y")
    ]


def _recorded(config: LeWMStudyConfig, task: str, folder: Path, workers: int) -> Dataset:
    side = sizes_of(config.train.size).image
    env = EnvConfig(task, protocol=RECORDED, cameras=("view",), size=side)
    plan = plan_episodes(env, config.episodes, SHOWN_BY, max_steps=config.recorded_steps)
    collect(folder, plan, workers)
    return Dataset.open(folder)  # what was just written has another fingerprint than what is read


def rates(rows: Sequence[Row]) -> Summary:
    """What follows from the rows; see `run`."""
    names = {
        OURS: "success",
        PLAIN: "published-objective",
        PUBLISHED: "published-search",
        INVERSE: "inverse",
        EXACT: "exact",
        LATE: "exact-judged-at-the-end",
        "expert": "expert",
        "random": "random",
    }
    times = {OURS: "ms-per-plan", PUBLISHED: "ms-per-plan-published"}
    found: Summary = {}
    episodes = [row for row in rows if "measure" not in row]
    for task, condition in dict.fromkeys((row["task"], row["condition"]) for row in episodes):
        chosen = [r for r in episodes if (r["task"], r["condition"]) == (task, condition)]
        if condition in names:
            done = sum(bool(row["success"]) for row in chosen)
            found[f"{names[condition]}/{task}"] = wilson_interval(done, len(chosen)).as_dict()
        if condition in times:
            spent = [row["ms_per_plan"] for row in chosen]
            found[f"{times[condition]}/{task}"] = bootstrap_interval(spent).as_dict()
    return found


def reproduce(request: Request) -> Result:
    """Measure the tasks that are asked for; others in the result file stay.

    Raises:
        ForesightError: as `run`.
    """
    config = replace(presets()[request.preset], **request.given("tasks", "seeds", "episodes"))
    before = None if request.smoke else earlier(request.target, "lewm", PROTOCOL)
    return beside(run(config, request.folder, request.processes), before)

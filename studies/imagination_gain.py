"""Recipe ``imagination-gain``: what imagining adds to the reflex it is built on, reward alone.

An agent learns from pictures and reward, its search acting all along (``foresight learn --method
mpc``). Then three act with the same weights before them: its action prior by one forward pass, the
search in its model, and an actor that went on learning from the prior in the model's imagination.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from foresight.core.progress import console
from foresight.envs.dmc.tasks import MEASURED_TASKS
from foresight.evaluation.assess import assess_policy
from foresight.evaluation.cache import EpisodeCache
from foresight.evaluation.config import EvalConfig
from foresight.evaluation.merge import beside, earlier
from foresight.evaluation.results import Result, make_result
from foresight.evaluation.statistics import Row, Summary, condition_difference
from foresight.pipelines.learn import LearnConfig, evaluated_in, learn_task
from foresight.pipelines.learn import presets as learn_presets
from foresight.planning.config import MPCConfig
from foresight.policies.actor import ActorFactory
from foresight.training.imagination_run import ActorTrainer, ActorTraining
from foresight.training.online_config import OnlineConfig
from foresight.training.run_data import MODEL, load_replay
from foresight.training.task_settings import folder_name, task_config, task_name
from foresight.worldmodel.model import WorldModel
from studies.registry import Request
from studies.tiny import tiny_learning

PROTOCOL = "seed200"
PRIOR, SEARCH, ACTOR = "prior", "mpc", "actor"
NAMES = {"mpc-pixels": SEARCH, "prior-pixels": PRIOR}
"""What `foresight learn` calls them."""


@dataclass(frozen=True)
class GainConfig:
    """Which tasks, for how long, and how they are measured."""

    tasks: tuple[str, ...] = tuple(MEASURED_TASKS)
    """Task ids."""
    frames: int = 100_000
    """Environment frames to learn from, the random ones of the start among them."""
    seeds: int = 20
    """Evaluation episodes of each, seeds 0, 1, …"""
    baselines: tuple[str, ...] = ("zero", "random", "constant")
    """Conditions beside them."""
    search: MPCConfig = field(default_factory=MPCConfig)
    """The search of the evaluated agent; it trusts the prior as far as its own trials said."""
    dream: ActorTraining = field(default_factory=ActorTraining)
    """How the actor learns in imagination."""
    learn: dict[str, Any] = field(default_factory=dict)
    """What is otherwise than `foresight.training.task_settings` has it."""
    steps: int | None = None
    """Cut evaluation episodes short (smoke runs), in decisions of the environment."""


def presets() -> dict[str, GainConfig]:
    """The named sizes."""
    tiny = learn_presets()["smoke"]
    smoke = GainConfig(
        tasks=("cartpole-swingup",),
        frames=320,
        seeds=2,
        baselines=("zero", "random"),
        search=tiny.planner,
        dream=ActorTraining(updates=4),
        learn=tiny_learning(final_trials=1),
        steps=20,
    )
    return {"full": GainConfig(), "smoke": smoke}


def run(config: GainConfig, folder: Path, workers: int = 1) -> Result:
    """Learn every task, dream, and measure all three; killed runs go on.

    Rows: episodes of ``mpc``, ``prior``, ``actor`` and the baselines; what each trust earned while
    learning (``trial:…``), and what `foresight.pipelines.learn.learn_task` tells else. The summary
    adds ``mpc-minus-prior/<task>@<frames>`` and ``actor-minus-prior/…``, paired by seed.

    Raises:
        ForesightError: an unknown task, or a folder of another run.
    """
    rows: list[Row] = []
    learned: dict[str, OnlineConfig] = {}
    for task in map(task_name, config.tasks):
        online = task_config(task, "mpc", protocol=PROTOCOL, steps=config.frames, **config.learn)
        learned[task] = online
        rows += _measured(config, online, folder / folder_name(task), workers)
    told = {**asdict(config), "learned": learned}
    return make_result("imagination-gain", told, PROTOCOL, rows, gains(rows, config.frames))


def _measured(config: GainConfig, online: OnlineConfig, folder: Path, workers: int) -> list[Row]:
    """Rows of one task."""
    sizes = LearnConfig(
        online=online,
        planner=config.search,
        seeds=config.seeds,
        baselines=config.baselines,
        film=0,
        steps=config.steps,
    )
    rows = learn_task(sizes, folder, workers)
    console.print(f"{online.task}: learn an actor in imagination")
    trial = EvalConfig(evaluated_in(online), tuple(range(config.seeds)), config.steps, workers)
    _dream(config.dream, folder)
    book = EpisodeCache(folder / "rows.jsonl")
    rows += assess_policy(trial, ACTOR, ActorFactory(str(folder / ACTOR)), book).rows
    return [{**row, "condition": NAMES.get(c, c)} if (c := row.get("condition")) else row
            for row in rows]  # fmt: skip


def _dream(config: ActorTraining, folder: Path) -> None:
    """An actor from the prior on, in what the agent's model imagines; what is there is kept."""
    model = WorldModel.load(folder / MODEL)
    replay = load_replay(model, folder)
    ActorTrainer(model, replay, config, folder / ACTOR).run()


def gains(rows: Sequence[Row], frames: int) -> Summary:
    """Search minus prior and actor minus prior, paired by seed."""
    episodes = [row for row in rows if "measure" not in row]
    return {
        f"{ours}-minus-{PRIOR}/{task}@{frames}": condition_difference(
            episodes, task, ours, PRIOR
        ).as_dict()
        for task in dict.fromkeys(str(row["task"]) for row in episodes)
        for ours in (SEARCH, ACTOR)
    }


def reproduce(request: Request) -> Result:
    """Learn and measure what is asked for; other tasks in the file stay.

    Raises:
        ForesightError: as `run`.
    """
    config = replace(presets()[request.preset], **request.given("tasks", "seeds"))
    if request.other_encoder is not None:
        config = replace(config, learn={**config.learn, "encoder": request.other_encoder})
    before = earlier(request.target, "imagination-gain", PROTOCOL)
    return beside(run(config, request.folder, request.processes), before)

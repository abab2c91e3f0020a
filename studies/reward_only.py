"""Recipe ``reward-only``: learn from pixels and reward alone, and see what imagination adds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from foresight.core.errors import ForesightError
from foresight.core.files import write_text
from foresight.envs.dmc.tasks import MEASURED_TASKS
from foresight.evaluation.merge import beside, earlier
from foresight.evaluation.results import Result, make_result
from foresight.evaluation.statistics import Row, Summary, condition_difference
from foresight.pipelines.learn import LearnConfig, learn_task
from foresight.pipelines.learn import presets as learn_presets
from foresight.planning.config import MPCConfig
from foresight.training.online_config import OnlineConfig
from foresight.training.task_settings import folder_name, task_config, task_name
from studies.field import Point, table
from studies.registry import Request

PROTOCOL = "dmc1000"
ACTOR, SEARCH = "sac", "mpc"
NAMES = {"mpc-sac": SEARCH}
"""What agents are called here; all of them see pixels and reward alone."""
RANDOM, UNTRAINED = "random-small", "untrained"
"""Eyes that nobody trained, and what the agent that has them is called."""


@dataclass(frozen=True)
class RewardOnlyConfig:
    """Which tasks, for how long, by how many agents, and how they are measured."""

    tasks: tuple[str, ...] = tuple(MEASURED_TASKS)
    """Task ids."""
    frames: int = 500_000
    """Environment frames to learn from, the random ones of the start among them."""
    keep: tuple[int, ...] = (50_000, 100_000, 200_000, 300_000)
    """Frames after which the agent is measured on the way."""
    searched: tuple[int, ...] = (100_000, 200_000)
    """Those of them at which a search is measured, too."""
    agents: int = 2
    """Agents that learn each task, with learning seeds 0, 1, …"""
    untrained: tuple[str, ...] = ("cartpole-swingup", "cup-catch")
    """Tasks that one more agent learns with eyes of random weights."""
    seeds: int = 20
    """Evaluation episodes of each, seeds 0, 1, …"""
    baselines: tuple[str, ...] = ("zero", "random", "constant")
    """Conditions beside them."""
    search: MPCConfig = field(default_factory=MPCConfig)
    """The search of the evaluated agent."""
    learn: dict[str, Any] = field(default_factory=dict)
    """What is otherwise than `foresight.training.task_settings` has it."""
    steps: int | None = None
    """Cut evaluation episodes short (smoke runs), in decisions of the environment."""


def presets() -> dict[str, RewardOnlyConfig]:
    """The named sizes."""
    full = RewardOnlyConfig()
    short = replace(full, frames=100_000, keep=(), agents=1, untrained=())
    tiny = learn_presets()["smoke"]
    sizes = ("length", "parallel", "updates", "finetune_updates", "latent", "hidden", "members")
    smoke = RewardOnlyConfig(
        tasks=("cartpole-swingup",),
        frames=640,
        keep=(240,),
        searched=(240,),
        agents=2,
        untrained=(),
        seeds=2,
        baselines=("zero", "random"),
        search=tiny.planner,
        learn={name: getattr(tiny.online, name) for name in sizes}
        | {"random_episodes": 2, "final_trials": 1},
        steps=20,
    )
    return {"full": full, "short": short, "smoke": smoke}


def run(config: RewardOnlyConfig, folder: Path, workers: int = 1) -> Result:
    """Learn every task with every agent, and measure it; killed runs go on.

    Rows: episodes of ``sac``, the actor, and ``mpc``, the search on top of it; after fewer frames
    ``sac@FRAMES`` and ``mpc@FRAMES``; the second agent's end in ``-1``, those of one with eyes of
    random weights in ``-untrained``. The baselines. ``frames``
    and ``hours`` of learning, of each agent, and its curve. The summary adds ``mpc-minus-sac``,
    paired by seed.

    Raises:
        ForesightError: an unknown task, or a folder of another run.
    """
    rows: list[Row] = []
    learned: dict[str, OnlineConfig] = {}
    for task in map(task_name, config.tasks):
        for agent in range(config.agents):
            online = _online(config, task, agent)
            learned[f"{task}#{agent}"] = online
            rows += _agent(config, online, folder / f"{folder_name(task)}-{agent}", workers)
        if task in map(task_name, config.untrained):
            online = replace(_online(config, task, 0), encoder=RANDOM, keep=())
            learned[f"{task}#{UNTRAINED}"] = online
            rows += _agent(config, online, folder / f"{folder_name(task)}-{UNTRAINED}", workers)
    told = {**asdict(config), "learned": learned}
    return make_result("reward-only", told, PROTOCOL, rows, gains(rows))


def _online(config: RewardOnlyConfig, task: str, agent: int) -> OnlineConfig:
    changes = {"keep": config.keep, **config.learn}
    return task_config(task, "sac", protocol=PROTOCOL, steps=config.frames, seed=agent, **changes)


def _agent(config: RewardOnlyConfig, online: OnlineConfig, folder: Path, workers: int) -> list[Row]:
    """Rows of one agent; of baselines with the first one alone, for they are the same."""
    baselines = config.baselines if _ending(online) == "" else ()
    sizes = LearnConfig(
        online=online,
        planner=config.search,
        seeds=config.seeds,
        baselines=baselines,
        searched=config.searched,
        film=1,
        steps=config.steps,
    )
    rows = [_named(row, online) for row in learn_task(sizes, folder, workers)]
    told = {row["measure"]: row for row in rows if "measure" in row}  # the last of each
    counted = {
        "frames": float(told["training-return"]["steps"]),
        "hours": told["seconds:learn"]["value"] / 3600,
    }
    return rows + [
        _named({"measure": name, "condition": "sac", "task": online.task, "value": value}, online)
        for name, value in counted.items()
    ]


def _named(row: Row, online: OnlineConfig) -> Row:
    """A row under the name that the agent has here."""
    name = str(row.get("condition") or "")
    method, at, frames = name.partition("@")
    method = NAMES.get(method, method)
    if method in ("sac", "mpc") or ("measure" in row and not name):
        method = f"{method or 'sac'}{_ending(online)}"
    return {**row, "condition": f"{method}{at}{frames}"}


def _ending(online: OnlineConfig) -> str:
    """Of an agent's name."""
    if online.encoder == RANDOM:
        return f"-{UNTRAINED}"
    return f"-{online.seed}" if online.seed else ""


def gains(rows: Sequence[Row]) -> Summary:
    """``mpc-minus-sac/<task>``, after fewer frames ``…@FRAMES/<task>``, and what trained eyes add,
    ``sac-minus-untrained/<task>``: paired by seed.
    """
    episodes = [row for row in rows if "measure" not in row]
    found: Summary = {
        f"{name.replace(SEARCH, f'{SEARCH}-minus-{ACTOR}', 1)}/{task}": gain
        for task, name, gain in over_actors(episodes)
    }
    untrained = f"{ACTOR}-{UNTRAINED}"
    for task in dict.fromkeys(row["task"] for row in episodes if row["condition"] == untrained):
        difference = condition_difference(episodes, task, ACTOR, untrained)
        found[f"{ACTOR}-minus-{UNTRAINED}/{task}"] = difference.as_dict()
    return found


def over_actors(episodes: Sequence[Row]) -> Iterator[tuple[str, str, dict[str, float]]]:
    """Task and name of every search, and what it earns beside its actor, paired by seed."""
    for task, name in dict.fromkeys((row["task"], row["condition"]) for row in episodes):
        if name.startswith(SEARCH):
            actor = name.replace(SEARCH, ACTOR, 1)
            yield task, name, condition_difference(episodes, task, name, actor).as_dict()


def curves(result: Result) -> dict[str, dict[str, list[Point]]]:
    """Mean returns of every actor and search after so many frames, by task."""
    found: dict[str, dict[str, list[Point]]] = {}
    for key, entry in result.summary.items():
        name, _, task = key.partition("/")
        method, _, at = name.partition("@")
        agent = method.removeprefix("mpc").removeprefix("sac")
        if ":" in name or "minus" in name or agent == method:
            continue
        frames = int(at) if at else round(result.summary[f"sac{agent}:frames/{task}"]["mean"])
        points = found.setdefault(task, {}).setdefault(f"Foresight {method}", [])
        points.append((frames, entry["mean"]))
    return {task: {m: sorted(p) for m, p in of.items()} for task, of in found.items()}


def reproduce(request: Request) -> Result:
    """Learn and measure what is asked for; other tasks in the file stay.

    Our curves and the field's figures are written beside the file, as CSV.

    Raises:
        ForesightError: as `run`.
    """
    config = replace(presets()[request.preset], **request.given("tasks", "seeds"))
    if request.other_encoder is not None:
        config = replace(config, learn={**config.learn, "encoder": request.other_encoder})
    before = earlier(request.target, "reward-only", PROTOCOL)
    unknown = [task for task in config.tasks if task_name(task) not in MEASURED_TASKS]
    if unknown:
        raise ForesightError(
            f"reward-only has no task {unknown[0]!r}: choose from {', '.join(MEASURED_TASKS)}."
        )
    result = beside(run(config, request.folder, request.processes), before)
    write_text(request.target.with_suffix(".csv"), table(curves(result), result.tasks))
    return result

"""Recipe ``dreamer-vs-ppo``: a reduced Dreamer and PPO on the same frames of one task."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from foresight.core.errors import ForesightError
from foresight.core.extras import require
from foresight.core.files import write_text
from foresight.core.metrics import read_metrics
from foresight.core.progress import console
from foresight.envs.dmc.protocol import get_protocol
from foresight.envs.dmc.tasks import canonical
from foresight.envs.registry import EnvConfig
from foresight.evaluation.assess import assess_policy
from foresight.evaluation.baselines import paired_baselines
from foresight.evaluation.cache import EpisodeCache
from foresight.evaluation.config import EvalConfig
from foresight.evaluation.merge import beside, earlier
from foresight.evaluation.results import Result, make_result
from foresight.evaluation.statistics import (
    Row,
    Summary,
    bootstrap_interval,
    paired_difference,
    returns_by_seed,
)
from foresight.policies.ppo import PPOFactory
from foresight.policies.reduced import ReducedFactory
from foresight.rollout.pool import run_jobs
from foresight.training.ppo import PPOTrainer, PPOTraining
from foresight.training.reduced_dreamer import DreamerConfig, DreamerTrainer, DreamerTraining
from foresight.worldmodel.rssm.config import RSSMSizes
from studies.registry import Request

NAME, PROTOCOL = "dreamer-vs-ppo", "dmc1000"
R2, RECONSTRUCTION, PPO = "dreamer-r2", "dreamer-reconstruction", "ppo"
PIXELS = "-pixels"
DIFFERENCES = {
    "dreamer-minus-ppo": (R2, PPO),
    "dreamer-reconstruction-minus-ppo": (RECONSTRUCTION, PPO),
    "r2-minus-reconstruction": (R2, RECONSTRUCTION),
}
"""What is compared, agent by agent."""
PROPRIOCEPTIVE = "Hafner et al. 2023, arXiv 2301.04104, proprioceptive control"
VISUAL = "Hafner et al. 2023, arXiv 2301.04104, visual control"
PUBLISHED: dict[str, tuple[tuple[str, str, int | None, float, str], ...]] = {
    "walker-walk": (
        ("DreamerV3", "state", 500_000, 941, PROPRIOCEPTIVE),
        ("PPO", "state", 500_000, 62, PROPRIOCEPTIVE),
        ("DreamerV3", "pixels", 1_000_000, 960, VISUAL),
        ("PPO", "pixels", 1_000_000, 84, VISUAL),
        ("DreamerV3", "", None, 798, "the source document's claim"),
        ("PPO", "", None, 310, "the source document's claim"),
    )
}
"""Method, input, frames, return and who says so, by task; blank where it was not said."""


@dataclass(frozen=True)
class DreamerVsPPOConfig:
    """Which task, for how long, by how many agents, and how they are measured."""

    tasks: tuple[str, ...] = ("walker-walk",)
    """Task ids."""
    frames: int = 500_000
    """Environment frames to learn from, the same for all."""
    agents: int = 3
    """Agents of each kind that feel the robot's state, with learning seeds 0, 1, …"""
    pixel_agents: int = 0
    """Agents of R2 and PPO that see pooled tokens of pictures instead."""
    encoder: str = "foresight-small"
    """Whose tokens."""
    points: int = 20
    """Of the learning curves."""
    seeds: int = 20
    """Evaluation episodes of each agent, seeds 0, 1, …"""
    baselines: tuple[str, ...] = ("zero", "random")
    """Conditions beside them."""
    dreamer: dict[str, Any] = field(default_factory=dict)
    """What is otherwise than `foresight.training.reduced_dreamer` has it."""
    ppo: dict[str, Any] = field(default_factory=dict)
    """What is otherwise than `foresight.training.ppo` has it."""
    sizes: RSSMSizes = field(default_factory=RSSMSizes)
    """The reduced Dreamer's network."""
    steps: int | None = None
    """Cut all episodes short (smoke runs), in decisions."""

    @property
    def decisions(self) -> int:
        """Decisions of an agent."""
        return self.frames // get_protocol(PROTOCOL).repeat

    @property
    def kinds(self) -> dict[str, int]:
        """How many agents of each kind."""
        felt = dict.fromkeys((R2, RECONSTRUCTION, PPO), self.agents)
        seen = dict.fromkeys((R2 + PIXELS, PPO + PIXELS), self.pixel_agents)
        return {kind: count for kind, count in (felt | seen).items() if count}


@dataclass(frozen=True)
class Agent:
    """One that learns: its kind, learning seed and task."""

    kind: str
    seed: int
    task: str

    @property
    def name(self) -> str:
        """Of its folder and its rows."""
        return f"{self.kind}-{self.seed}"

    @property
    def is_ppo(self) -> bool:
        """Whether it learns by PPO."""
        return self.kind.startswith(PPO)

    def training(self, config: DreamerVsPPOConfig) -> PPOTraining | DreamerTraining:
        """Where, for how long and how it learns."""
        env = EnvConfig(self.task, protocol=PROTOCOL, time_limit=config.steps)
        encoder = config.encoder if self.kind.endswith(PIXELS) else ""
        shared: dict[str, Any] = {"decisions": config.decisions, "seed": self.seed}
        shared |= {"encoder": encoder}
        if self.is_ppo:
            return PPOTraining(env, **shared | config.ppo)
        decoded = self.kind.startswith(RECONSTRUCTION)
        sizes = replace(config.sizes, representation="reconstruction" if decoded else "r2")
        return DreamerTraining(env, **shared | config.dreamer, sizes=sizes)


def presets() -> dict[str, DreamerVsPPOConfig]:
    """The named sizes."""
    smoke = DreamerVsPPOConfig(
        frames=320,
        agents=2,
        points=2,
        seeds=2,
        dreamer={
            "random_rounds": 2,
            "learner": DreamerConfig(batch=4, length=8, ratio=2, horizon=3, dreams=16),
        },
        ppo={"parallel": 2, "length": 20, "batch": 20, "epochs": 2},
        sizes=RSSMSizes(deter=16, groups=4, classes=4, hidden=16, bins=21),
        steps=20,
    )
    short = DreamerVsPPOConfig(frames=60_000, agents=2)
    return {"full": DreamerVsPPOConfig(pixel_agents=1), "short": short, "smoke": smoke}


def run(config: DreamerVsPPOConfig, folder: Path, workers: int = 1) -> Result:
    """Learn with every agent, and measure it; killed runs go on.

    Rows: episodes of every agent, ``<kind>-<seed>``, without noise, and of the baselines; ``curve``
    of each kind with its ``agent``, the mean of the training episodes that ended since the point
    before, at as many frames as ``horizon`` says; ``hours`` of learning. The summary adds
    ``<kind>/<task>@<frames>``, the mean over agents with an interval over them, and differences
    (`DIFFERENCES`), paired by learning seed.

    Raises:
        ForesightError: an unknown task, stable-baselines3 is missing, or a folder of another run.
    """
    require("stable_baselines3", "The study dreamer-vs-ppo")
    agents = [
        Agent(kind, seed, task)
        for task in config.tasks
        for kind, count in config.kinds.items()
        for seed in range(count)
    ]
    console.print(f"[bold]{NAME}[/]: {len(agents)} agents learn from {config.frames:,} frames each")
    for _ in run_jobs(partial(Learning, config, folder), agents, workers, "learning"):
        pass
    rows: list[Row] = []
    for agent in agents:
        rows += _measured(config, agent, folder, workers)
    for task in config.tasks:
        trial = EvalConfig(_played(task), tuple(range(config.seeds)), config.steps, workers)
        book = EpisodeCache(folder / task / "baselines.jsonl")
        rows += paired_baselines(trial, config.baselines, book)
    return make_result(NAME, asdict(config), PROTOCOL, rows, compared(config, rows))


class Learning:
    """Lets an agent learn, in whatever process.

    Args:
        config: sizes.
        folder: of the study.
    """

    def __init__(self, config: DreamerVsPPOConfig, folder: Path) -> None:
        self.config, self.folder = config, folder

    def __call__(self, agent: Agent) -> None:
        """Learn what is not learned yet."""
        training, folder = agent.training(self.config), _home(self.folder, agent)
        if isinstance(training, PPOTraining):
            PPOTrainer(training, folder).run()
        else:
            DreamerTrainer(training, folder).run()


def _home(folder: Path, agent: Agent) -> Path:
    return folder / agent.task / agent.name


def _played(task: str) -> EnvConfig:
    return EnvConfig(task, protocol=PROTOCOL)


def _measured(config: DreamerVsPPOConfig, agent: Agent, folder: Path, workers: int) -> list[Row]:
    """Episodes of one agent, its curve, and how long it took to learn."""
    home = _home(folder, agent)
    env = agent.training(config).senses().environment(_played(agent.task))
    trial = EvalConfig(env, tuple(range(config.seeds)), config.steps, workers)
    maker = (PPOFactory if agent.is_ppo else ReducedFactory)(str(home))
    rows = assess_policy(trial, agent.name, maker, EpisodeCache(home / "rows.jsonl")).rows
    log = read_metrics(home / "metrics.jsonl")
    named = {"task": agent.task, "condition": agent.kind, "agent": agent.seed}
    rows += [
        {"measure": "curve", **named, "horizon": at, "value": value}
        for at, value in _curve(config, log)
    ]
    spent = sum(v for k, v in log[-1].items() if k in SECONDS)
    return [*rows, {"measure": "hours", **named, "value": spent / 3600}]


SECONDS = ("seconds/collect", "seconds/update", "seconds/learn")


def _curve(config: DreamerVsPPOConfig, log: Sequence[Row]) -> list[tuple[int, float]]:
    """Frames and mean returns of the rounds that ended since the point before."""
    repeat, share = get_protocol(PROTOCOL).repeat, config.frames / config.points
    bins: dict[int, list[float]] = {}
    for row in log:
        if row.get("return") is not None:
            frames = min(row["decisions"] * repeat, config.frames)
            bins.setdefault(round(-(-frames // share) * share), []).append(row["return"])
    return [(at, float(np.mean(returns))) for at, returns in sorted(bins.items())]


def compared(config: DreamerVsPPOConfig, rows: Sequence[Row]) -> Summary:
    """Means over agents, and differences of agents with the same learning seed."""
    found: Summary = {}
    for task in config.tasks:
        ends = f"/{task}@{config.frames}"
        means = {
            kind: [
                float(np.mean(list(returns_by_seed(rows, task, f"{kind}-{seed}").values())))
                for seed in range(count)
            ]
            for kind, count in config.kinds.items()
        }
        found |= {kind + ends: bootstrap_interval(m).as_dict() for kind, m in means.items()}
        for name, pair in DIFFERENCES.items():
            for sense in ("", PIXELS):
                ours, theirs = (means.get(kind + sense) for kind in pair)
                if ours and theirs:
                    found[name + sense + ends] = paired_difference(ours, theirs).as_dict()
    return found


def curve_csv(result: Result) -> str:
    """Our curves and published figures: method, input, task, frames, return, source."""
    text = io.StringIO()
    lines = csv.writer(text, lineterminator="\n")
    lines.writerow(["method", "input", "task", "frames", "return", "source"])
    for key, entry in result.summary.items():
        kind, curve, rest = key.partition(":curve@")
        if curve:
            at, _, task = rest.partition("/")
            sense = "pixels" if kind.endswith(PIXELS) else "state"
            method = f"Foresight {kind.removesuffix(PIXELS)}"
            lines.writerow([method, sense, task, at, round(entry["mean"], 2), "measured here"])
    for task in result.tasks:
        for method, sense, frames, value, source in PUBLISHED.get(task, ()):
            lines.writerow([method, sense, task, frames, value, source])
    return text.getvalue()


def reproduce(request: Request) -> Result:
    """Learn and measure what is asked for; other tasks in the file stay.

    Our curves and published figures are written beside the file, as CSV.

    Raises:
        ForesightError: as `run`.
    """
    config = replace(presets()[request.preset], **request.given("encoder", "tasks", "seeds"))
    config = replace(config, tasks=tuple(map(canonical, config.tasks)))
    if config.seeds < 1:
        raise ForesightError(f"{config.seeds} evaluation seeds measure nothing: choose 1 or more.")
    before = None if request.smoke else earlier(request.target, NAME, PROTOCOL)
    result = beside(run(config, request.folder, request.processes), before)
    write_text(request.target.with_suffix(".csv"), curve_csv(result))
    return result

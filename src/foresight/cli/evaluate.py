"""``foresight evaluate``: anything that acts, beside its baselines."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import tyro

from foresight.pipelines.planners import GOAL_SEARCH, PlannerConfig
from foresight.planning.lewm import FAST_PLAN, LeWMPlan
from foresight.policies.chunk.policy import ChunkActing


@dataclass(frozen=True)
class Config:
    """Let a policy act beside its baselines on the same seeds."""

    policy: Annotated[str, tyro.conf.Positional]
    """Folder of a checkpoint of any kind that acts, or a policy's name: random, ar1:0.9, ..."""
    env: str | None = None
    """Environment: reacher-easy, an id of `foresight envs list`, gym/ID or MODULE:ENV. A
    checkpoint's own if not given."""
    out: Path | None = None
    """The result file; evaluation.json in the checkpoint's folder if not given, and none for a
    policy's name."""
    planner: PlannerConfig = GOAL_SEARCH
    """Of world models that were trained offline."""
    chunk: ChunkActing = field(default_factory=ChunkActing)
    """Of policies that decide chunks of actions."""
    lewm: LeWMPlan = FAST_PLAN
    """How a LeWorldModel is planned with, towards the picture of the camera `goal`."""
    seeds: int = 20
    """Evaluation episodes, seeds 0, 1, …"""
    protocol: str | None = None
    """A preset of the environment; of dm_control seed200 (the default) or dmc1000."""
    cameras: tuple[str, ...] | None = None
    """Cameras by name; the environment's own if not given."""
    action_delay: int = 0
    """Decisions between an action's choice and its execution."""
    observation_lag: int = 0
    """Decisions by which observations are old."""
    jitter: int = 0
    """Most decisions by which both are longer at times."""
    mass: float = 1.0
    """Factor on the masses of the robot, in tasks of dm_control."""
    gear: float = 1.0
    """Factor on the strength of its actuators, in the same."""
    friction: float = 1.0
    """Factor on the friction of its contacts, in the same."""
    compensate: Literal["none", "known", "auto"] | int = "none"
    """Delays that an agent with a world model reckons with, by imagining where the actions under
    way will have led: none; known, those above; auto, found out from the first decisions of each
    episode, which are noisy; or so many decisions from an action's choice to its execution."""
    adapt: Literal["none", "rls", "gradient", "gain", "finetune"] = "none"
    """How a world model learns on while it acts, for a robot that is not as it was: none; rls, a
    linear residual on its prediction; gradient, a small network as residual; gain, the strength of
    each actuator; finetune, its own weights, which takes long."""
    baselines: tuple[str, ...] = ("zero", "random", "constant", "expert")
    """Any of zero, random, constant, expert, oracle; those that the environment has not are left
    out."""
    device: str = "cpu"
    """Where a checkpoint's networks run."""
    steps: int | None = None
    """Cut episodes short, for a trial."""
    parallel: int = 1
    """Episodes side by side in each process."""
    workers: int | None = None
    """Processes; one a core if not given."""


def main(config: Config) -> None:
    """Evaluate, write the result file and print the table."""
    from foresight.core.errors import ForesightError
    from foresight.envs.registry import EnvConfig
    from foresight.evaluation.assess import assess_policy
    from foresight.evaluation.baselines import paired_baselines
    from foresight.evaluation.cache import EpisodeCache
    from foresight.evaluation.config import EvalConfig
    from foresight.evaluation.results import make_result
    from foresight.pipelines.acting import lateness_of, policy_of
    from foresight.pipelines.stages import default_workers
    from foresight.policies.adaptive.config import adaptation_of
    from foresight.report.tables import print_result

    if config.seeds < 1:
        raise ForesightError(f"{config.seeds} seeds were asked for: evaluate on at least 1.")
    body = {name: getattr(config, name) for name in ("friction", "gear", "mass")}
    base = EnvConfig(
        config.env or "",
        config.protocol,
        config.cameras,
        action_delay=config.action_delay,
        observation_lag=config.observation_lag,
        jitter=config.jitter,
        options=tuple((name, factor) for name, factor in body.items() if factor != 1.0),
    )
    found = policy_of(
        config.policy,
        base,
        config.planner,
        config.device,
        config.chunk,
        lateness=lateness_of(config.compensate, base),
        lewm=config.lewm,
        adaptation=adaptation_of(config.adapt),
    )
    seeds, workers = tuple(range(config.seeds)), config.workers or default_workers()
    trial = EvalConfig(found.env, seeds, config.steps, workers, config.parallel)
    cache = EpisodeCache(None if found.folder is None else found.folder / "rows.jsonl")
    rows = assess_policy(trial, found.method, found.maker, cache).rows
    rows += paired_baselines(trial, [n for n in config.baselines if n != found.method], cache)
    result = make_result("evaluation", config, trial.protocol, rows)
    target = config.out or (found.folder and found.folder / "evaluation.json")
    path = target and result.save(target)
    print_result(result)
    if path:
        print(f"result: {path}")

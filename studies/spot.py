"""Recipe ``spot``: does Spot's gait walk as it is told, and which of its parts does that take?

Two trials. With a command held for a while, the velocity is averaged over each stride (within one,
Spot turns back and forth) and compared with the command. With commands that switch every two
seconds, falls are counted. Beside the gait: standing still, no lead before the lagging joints, no
bound on the acceleration, and the whole range of commands.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache

import numpy as np
from jaxtyping import Float64

from foresight.core.progress import track
from foresight.envs.spot.environment import SpotEnv
from foresight.envs.spot.gait import GaitConfig
from foresight.envs.spot.model import CONTROL_STEP
from foresight.envs.spot.tasks import COMMAND_RANGE, COMMAND_REPEAT, MOVES, REACH, Protocol
from foresight.evaluation.results import Result, make_result
from foresight.evaluation.statistics import Row, Summary, bootstrap_interval
from foresight.rollout.pool import run_jobs
from studies.registry import Request

Vector = Float64[np.ndarray, "3"]
ERRORS = tuple(f"error-{move}" for move in MOVES)
UPRIGHT, FALLS, SWITCHING = "upright", "falls", "switching"
STANDING = "standing"
GAIT = GaitConfig()


@dataclass(frozen=True)
class Variant:
    """A way to walk, and what is asked of it."""

    gait: GaitConfig = GAIT
    reach: float = REACH
    """Share of the range of commands."""
    stands: bool = False
    """Whether every command is replaced by none."""


HELD = {
    "gait": Variant(),
    STANDING: Variant(stands=True),
    "no-lead": Variant(replace(GAIT, lead=0.0)),
    "full-range": Variant(reach=1.0),
}
"""Conditions that walk after a command that stays."""
SWITCHED = {
    "gait": Variant(),
    "no-lead": Variant(replace(GAIT, lead=0.0)),
    "no-slew": Variant(replace(GAIT, slew=0.0)),
    "full-range": Variant(reach=1.0),
    "full-range-no-slew": Variant(replace(GAIT, slew=0.0), reach=1.0),
}
"""Conditions whose falls are counted."""


@dataclass(frozen=True)
class SpotConfig:
    """How many commands, how often, for how long."""

    levels: tuple[float, ...] = (-1.0, 0.0, 1.0)
    """Shares of the largest command; every combination of them along the three moves is held."""
    drawn: int = 24
    """Further commands, drawn from the whole range: the gait was tuned on corners of it."""
    seeds: int = 2
    """Starts of each held command."""
    settle: float = 2.0
    """Seconds until strides count: the command is reached at 1 m/s²."""
    hold: float = 4.0
    """Seconds of strides that count."""
    switching: float = 144.0
    """Seconds of commands that switch."""
    runs: int = 5
    """Such stretches, with seeds 0, 1, …"""


Call = tuple[SpotConfig, str, str, int, tuple[float, ...]]
"""Sizes, task, condition, seed and the held command."""


def presets() -> dict[str, SpotConfig]:
    """The named sizes."""
    smoke = SpotConfig(
        levels=(0.0, 1.0), drawn=2, seeds=1, settle=1.0, hold=1.0, switching=4.0, runs=1
    )
    return {"full": SpotConfig(), "smoke": smoke}


def run(config: SpotConfig, workers: int = 1) -> Result:
    """Walk all conditions.

    Rows: ``error-forward`` (m/s), ``error-left`` and ``error-turn`` (rad/s), the mean over strides
    of the absolute difference to a held ``command``; ``upright``, whether Spot stayed on its feet;
    ``falls`` in a stretch of switching commands, and ``reward``, its mean in a control step. Tasks:
    ``grid`` and ``drawn`` commands, ``switching``. Beside the means there is
    ``<condition>:error-…/worst``, of the command with the largest error.
    """
    jobs = [
        *_held_jobs(config),
        *(
            (SWITCHING, name, seed, ())
            for name, seed in itertools.product(SWITCHED, range(config.runs))
        ),
    ]
    settings = {**asdict(config), "gait": asdict(GAIT), "reach": REACH, "range": COMMAND_RANGE}
    calls = [(config, *job) for job in jobs]
    found = track(run_jobs(_worker, calls, workers, "walking"), "walking", len(calls))
    rows = [row for some in found for row in some]
    return make_result("spot", settings, "none", rows, worst(rows))


def worst(rows: Sequence[Row]) -> Summary:
    """Of each condition and move, the held command that is missed most; over its starts."""
    found: Summary = {}
    for name, measure in itertools.product(HELD, ERRORS):
        by_command: dict[str, list[float]] = {}
        for row in rows:
            if (row["condition"], row["measure"]) == (name, measure):
                by_command.setdefault(row["command"], []).append(row["value"])
        if by_command:
            missed = max(by_command.values(), key=lambda values: sum(values) / len(values))
            found[f"{name}:{measure}/worst"] = bootstrap_interval(missed).as_dict()
    return found


def held_errors(variant: Variant, config: SpotConfig, seed: int, command: Vector) -> list[float]:
    """Mean over strides of the absolute velocity error, for each move; empty after a fall."""
    seconds = config.settle + config.hold
    env = _env(variant, seconds, 0.0, 1)
    env.reset(seed=seed)
    action = np.zeros(3) if variant.stands else command
    velocities = []
    for step in range(round(seconds / CONTROL_STEP)):
        _, _, fell, _, _ = env.step(action)
        if fell:
            return []
        if step * CONTROL_STEP >= config.settle:
            velocities.append(env.velocity)
    return [float(e) for e in np.abs(stride_means(velocities, variant.gait) - command).mean(axis=0)]


def stride_means(velocities: Sequence[Vector], gait: GaitConfig) -> Float64[np.ndarray, "N 3"]:
    """Velocities averaged over whole strides; what is left over at the end is dropped."""
    length = round(gait.stride / CONTROL_STEP)
    whole = len(velocities) // length
    return np.array(velocities[: whole * length]).reshape(whole, length, 3).mean(axis=1)


def switching_falls(variant: Variant, config: SpotConfig, seed: int) -> tuple[int, float]:
    """Falls and the mean reward in a stretch of commands that switch; after a fall Spot stands
    again, and others are asked.
    """
    env = _env(variant, config.switching, 2.0, COMMAND_REPEAT)
    falls, decisions, total = 0, 0, 0.0
    env.reset(seed=seed)
    while decisions < env.time_limit:
        _, reward, fell, _, _ = env.step(env.asked)
        decisions, total = decisions + 1, total + reward
        if fell:
            falls += 1
            env.reset(seed=seed + 1000 * falls)
    return falls, total / (decisions * COMMAND_REPEAT)


def command_name(command: Sequence[float]) -> str:
    """A held command as rows have it."""
    return ",".join(f"{value:+.2f}" for value in command)


def _held_jobs(config: SpotConfig) -> Iterator[tuple[str, str, int, tuple[float, ...]]]:
    random = np.random.default_rng(0)
    drawn = [tuple(random.uniform(-1, 1, 3).tolist()) for _ in range(config.drawn)]
    grid = itertools.product(config.levels, repeat=3)
    asked = [*(("grid", shares) for shares in grid), *(("drawn", shares) for shares in drawn)]
    for name, (kind, shares) in itertools.product(HELD, asked):
        limits = zip(shares, COMMAND_RANGE, strict=True)
        command = tuple(share * most * HELD[name].reach for share, most in limits)
        for seed in range(config.seeds):
            yield kind, name, seed, command


def _worker() -> Callable[[Call], list[Row]]:
    """What a process does with each call."""
    return _job


def _job(call: Call) -> list[Row]:
    config, task, name, seed, command = call
    shared: Row = {"condition": name, "task": task, "seed": seed}
    if task == SWITCHING:
        falls, reward = switching_falls(SWITCHED[name], config, seed)
        values: dict[str, float] = {FALLS: falls, "reward": reward}
    else:
        errors = held_errors(HELD[name], config, seed, np.array(command))
        values = {UPRIGHT: float(bool(errors)), **dict(zip(ERRORS, errors, strict=False))}
        shared["command"] = command_name(command)
    return [{"measure": measure, "value": value, **shared} for measure, value in values.items()]


@cache  # reading the model takes longer than walking does
def _env(variant: Variant, seconds: float, switch: float, repeat: int) -> SpotEnv:
    length = Protocol("trial", round(seconds / CONTROL_STEP))
    return SpotEnv("command", length, None, (), repeat, switch, variant.reach, variant.gait)


def reproduce(request: Request) -> Result:
    """Measure; the command's numbers of seeds and workers are taken."""
    config = presets()[request.preset]
    if request.seeds is not None:
        config = replace(config, seeds=request.seeds, runs=request.seeds)
    return run(config, request.processes)

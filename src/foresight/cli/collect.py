"""``foresight collect``: record episodes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

if TYPE_CHECKING:
    from foresight.rollout.episode import EpisodeSpec


@dataclass(frozen=True)
class Config:
    """Record episodes of any environment into a LeRobotDataset v3.0 folder; resumes where it
    stopped.
    """

    env: Annotated[tuple[str, ...], tyro.conf.Positional]
    """Environments: reacher-easy, an id of `foresight envs list`, gym/ID or MODULE:ENV. Several
    need the same cameras, state and actions; their episodes lie one after the other."""
    out: Path
    """Folder of the dataset."""
    episodes: int = 100
    """How many episodes the dataset shall hold, of each environment."""
    successful: bool = False
    """Keep successful episodes only: seeds are tried, without pictures where the policy looks at
    none, until there are enough."""
    policies: tuple[str, ...] = ()
    """Taken in turn: zero, random, ar1:0.9, switch:0.1, constant:0.5, expert, oracle,
    eps:0.3:expert. Empty: a third random, the rest the best expert of the task at epsilon 0.3;
    without one lasting noise."""
    steps: int | None = None
    """Cut episodes after this many decisions."""
    protocol: str | None = None
    """A preset of the environment; of dm_control seed200 (the default) or dmc1000."""
    cameras: tuple[str, ...] | None = None
    """Cameras by name; the environment's own if not given."""
    size: tuple[int, ...] = ()
    """Pixels: one number for a square, or height and width; the environment's own if not given, 64
    for dm_control."""
    quality: Literal["fast", "smooth", "full"] | None = None
    """How carefully a simulator draws: fast (no shadows), smooth (fast at twice the size, averaged;
    the default of dm_control), full."""
    look: Literal["plain", "varied"] | None = None
    """varied: other colours, light and camera in every episode, for pretraining."""
    fps: float | None = None
    """Decisions a second, of an environment that does not say."""
    time_limit: int | None = None
    """Decisions after which the environment itself ends an episode."""
    action_repeat: int = 1
    """Steps for which one action is held."""
    action_delay: int = 0
    """Decisions between an action's choice and its execution."""
    observation_lag: int = 0
    """Decisions by which observations are old."""
    jitter: int = 0
    """Most decisions by which both are longer at times."""
    codec: Literal["lossless", "av1", "h264"] = "lossless"
    """How frames are written."""
    seed: int = 20_000
    """Seed of the first episode."""
    parallel: int = 1
    """Episodes side by side in each process."""
    workers: int | None = None
    """Processes; one a core if not given. The data do not depend on it."""


def main(config: Config) -> None:
    """Collect and say what is there."""
    from foresight.pipelines.stages import default_workers
    from foresight.rollout.collect import collect

    workers = config.workers or default_workers()
    specs: list[EpisodeSpec] = []
    for name in dict.fromkeys(config.env):
        specs += _plan(config, name, workers)
    dataset = collect(config.out, specs, workers, codec=config.codec, parallel=config.parallel)
    returns = [meta.return_ or 0.0 for meta in dataset.metas]
    tries = sum(spec.tries for spec in specs)
    print(
        f"{config.out}: {len(dataset)} episodes, {sum(dataset.lengths)} steps, mean return "
        f"{sum(returns) / len(returns):.1f}"
        + (f"; {len(dataset)} of {tries} tries succeeded and were kept" if tries else "")
    )


def _plan(config: Config, env_id: str, workers: int) -> list[EpisodeSpec]:
    """Episodes of one environment."""
    from foresight.envs.registry import EnvConfig
    from foresight.evaluation.config import is_dmc
    from foresight.rollout.collect import plan_episodes
    from foresight.rollout.tries import plan_successful

    options = {
        name: getattr(config, name)
        for name in ("protocol", "cameras", "look", "fps", "time_limit", "quality")
        if getattr(config, name) is not None
    }
    if config.size:
        options["size"] = config.size[0] if len(config.size) == 1 else config.size
    env = EnvConfig.of(
        env_id,
        action_repeat=config.action_repeat,
        action_delay=config.action_delay,
        observation_lag=config.observation_lag,
        jitter=config.jitter,
        **options,
    )
    if is_dmc(env) and config.quality is None:
        env = replace(env, quality="smooth")
    asked = (env, config.episodes, config.policies, config.seed, config.steps)
    return plan_successful(*asked, workers) if config.successful else plan_episodes(*asked)

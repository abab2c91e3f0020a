"""On which episodes policies are compared, and how results name environments."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import metadata

import gymnasium

from foresight.core.episode import Episode
from foresight.core.errors import ForesightError
from foresight.envs.dmc.protocol import get_protocol
from foresight.envs.factories import DMC, LIBERO, METAWORLD, SPOT, default_protocol, full_id
from foresight.envs.registry import EnvConfig

SUCCESS_RETURN = {"seed200": 150.0, "dmc1000": 750.0}
"""An episode of dm_control is a success if its return is above this: three quarters of what can be
earned. Other environments say themselves what a success is."""

OWN = "own"
"""The protocol of environments that have no named ones."""


@dataclass(frozen=True)
class EvalConfig:
    """The episodes on which methods are compared.

    Attributes:
        env: as the evaluated policy sees it; baselines that do not look get it without cameras.
        seeds: one episode each.
        max_steps: cut episodes short; for trial runs only.
        workers: processes.
        parallel: episodes side by side in each of them.
    """

    env: EnvConfig
    seeds: tuple[int, ...]
    max_steps: int | None = None
    workers: int = 1
    parallel: int = 1

    @property
    def task(self) -> str:
        """The environment's name in results."""
        return task_name(self.env)

    @property
    def protocol(self) -> str:
        """The protocol's name in results."""
        return protocol_name(self.env)


def task_name(env: EnvConfig) -> str:
    """What rows call an environment: a task of dm_control by its bare id, others with a colon."""
    return full_id(env.id).removeprefix(DMC).replace("/", ":")


def protocol_name(env: EnvConfig) -> str:
    """What results call the length of an environment's episodes."""
    return env.protocol or default_protocol(env.id) or OWN


def is_dmc(env: EnvConfig) -> bool:
    """Whether it is a task of dm_control."""
    return full_id(env.id).startswith(DMC)


def success_threshold(protocol: str) -> float:
    """Return above which an episode of a dm_control protocol is a success."""
    return SUCCESS_RETURN[get_protocol(protocol).name]


def succeeded(env: EnvConfig, episode: Episode) -> bool | None:
    """What the environment says, or the protocol's threshold, or None where nobody can tell."""
    if episode.success is None and is_dmc(env):
        return bool(episode.info["return"] > success_threshold(protocol_name(env)))
    return episode.success


def simulator_version(env: EnvConfig) -> str:
    """What produced an episode, as rows name it."""
    packages = ((DMC, "dm_control"), (METAWORLD, "metaworld"), (LIBERO, "hf-libero"))
    for suite, package in packages:
        if full_id(env.id).startswith(suite):
            return f"mujoco {metadata.version('mujoco')}, {package} {metadata.version(package)}"
    if full_id(env.id).startswith(SPOT):
        return f"mujoco {metadata.version('mujoco')}"
    return f"gymnasium {gymnasium.__version__}"


def expect_seeds(seeds: tuple[int, ...]) -> None:
    """Refuse seeds that are no seeds.

    Raises:
        ForesightError: none, a negative one, or one twice.
    """
    if not seeds or len(set(seeds)) < len(seeds) or min(seeds) < 0:
        raise ForesightError(
            f"Seeds {list(seeds)}: expected one or more non-negative ones, each once."
        )

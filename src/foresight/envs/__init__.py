"""Tasks as Gymnasium environments, with renderers, experts and parallel episodes.

Names are loaded when they are first used, so that ``import foresight.envs`` stays quick and
``MUJOCO_GL`` is settled before MuJoCo is imported.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from foresight.envs.behaviours import Behaviour, make_behaviour
    from foresight.envs.constant import best_constant
    from foresight.envs.dm_env import DMControlEnv, make
    from foresight.envs.episode import Episode, EpisodeSpec, run_episode
    from foresight.envs.gl import choose_gl
    from foresight.envs.oracle import Oracle
    from foresight.envs.parallel import run_episodes
    from foresight.envs.protocol import PROTOCOLS, Protocol, get_protocol
    from foresight.envs.render import FrameRenderer, RenderSettings
    from foresight.envs.tasks import SOURCE_TASKS, resolve, task_ids

_HOMES = {
    "Behaviour": "behaviours",
    "make_behaviour": "behaviours",
    "best_constant": "constant",
    "DMControlEnv": "dm_env",
    "make": "dm_env",
    "Episode": "episode",
    "EpisodeSpec": "episode",
    "run_episode": "episode",
    "choose_gl": "gl",
    "Oracle": "oracle",
    "run_episodes": "parallel",
    "PROTOCOLS": "protocol",
    "Protocol": "protocol",
    "get_protocol": "protocol",
    "FrameRenderer": "render",
    "RenderSettings": "render",
    "SOURCE_TASKS": "tasks",
    "resolve": "tasks",
    "task_ids": "tasks",
}

__all__ = [
    "PROTOCOLS",
    "SOURCE_TASKS",
    "Behaviour",
    "DMControlEnv",
    "Episode",
    "EpisodeSpec",
    "FrameRenderer",
    "Oracle",
    "Protocol",
    "RenderSettings",
    "best_constant",
    "choose_gl",
    "get_protocol",
    "make",
    "make_behaviour",
    "resolve",
    "run_episode",
    "run_episodes",
    "task_ids",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)

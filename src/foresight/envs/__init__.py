"""Environments behind one face, made by their ids.

Importing this makes every id known to Gymnasium, too:
``gymnasium.make("foresight/dmc-reacher-easy")``. No simulator is imported before one is made.
"""

from foresight.envs.interface import limit_of, spec_of, task_of
from foresight.envs.registry import EnvConfig, env_ids, make, register_env

__all__ = ["EnvConfig", "env_ids", "limit_of", "make", "register_env", "spec_of", "task_of"]

"""Episodes: side by side in one process, in many processes, and collected into datasets."""

from foresight.rollout.film import Film
from foresight.rollout.run import run_episodes
from foresight.rollout.vector import VectorRollout

__all__ = ["Film", "VectorRollout", "run_episodes"]

"""Learning by acting with the reduced Dreamer; it ends where a killed run would have ended."""

from foresight.training.reduced_dreamer.config import DreamerConfig, DreamerTraining
from foresight.training.reduced_dreamer.learner import DreamerLearner
from foresight.training.reduced_dreamer.run import DreamerTrainer

__all__ = ["DreamerConfig", "DreamerLearner", "DreamerTrainer", "DreamerTraining"]

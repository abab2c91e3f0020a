"""A latent state learned together with its dynamics, reward, value and action prior."""

from foresight.training.learner import LearnConfig, Learner
from foresight.training.replay import Replay, Windows
from foresight.worldmodel.joint.config import JointConfig
from foresight.worldmodel.joint.model import JointModel

__all__ = ["JointConfig", "JointModel", "LearnConfig", "Learner", "Replay", "Windows"]

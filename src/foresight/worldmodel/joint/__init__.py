"""A latent state learned together with its dynamics, reward, value and action prior."""

from foresight.worldmodel.joint.config import JointConfig
from foresight.worldmodel.joint.learner import LearnConfig, Learner
from foresight.worldmodel.joint.model import JointModel
from foresight.worldmodel.joint.replay import Replay, Windows

__all__ = ["JointConfig", "JointModel", "LearnConfig", "Learner", "Replay", "Windows"]

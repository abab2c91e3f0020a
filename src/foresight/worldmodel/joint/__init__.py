"""A latent state learned together with its dynamics, reward, value and action prior."""

from foresight.worldmodel.joint.config import JointConfig
from foresight.worldmodel.joint.model import JointModel

__all__ = ["JointConfig", "JointModel"]

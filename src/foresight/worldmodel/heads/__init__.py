"""What is read off a latent state: reward, value, prior, ends, distance, actions."""

from foresight.worldmodel.heads.inverse import InverseModel, train_inverse
from foresight.worldmodel.heads.reachability import Reachability, train_reachability
from foresight.worldmodel.heads.scalar import ScalarHead
from foresight.worldmodel.heads.training import HeadTraining, Latents

__all__ = [
    "HeadTraining",
    "InverseModel",
    "Latents",
    "Reachability",
    "ScalarHead",
    "train_inverse",
    "train_reachability",
]

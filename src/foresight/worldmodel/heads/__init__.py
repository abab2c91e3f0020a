"""What is read off a latent state: reward, value, distance, actions, pictures."""

from foresight.worldmodel.heads.decoder import PixelDecoder, train_decoder
from foresight.worldmodel.heads.inverse import InverseModel, train_inverse
from foresight.worldmodel.heads.reachability import Reachability, train_reachability
from foresight.worldmodel.heads.scalar import ScalarHead, td_lambda
from foresight.worldmodel.heads.training import HeadTraining, Latents
from foresight.worldmodel.heads.value import train_value

__all__ = [
    "HeadTraining",
    "InverseModel",
    "Latents",
    "PixelDecoder",
    "Reachability",
    "ScalarHead",
    "td_lambda",
    "train_decoder",
    "train_inverse",
    "train_reachability",
    "train_value",
]

"""Everything that acts: scripted, planned, cloned, taught; made by name or from a checkpoint."""

from foresight.policies.registry import MakePolicy, NamedPolicy, make_policy, register_policy
from foresight.policies.remote import RemotePolicy
from foresight.policies.replay import Replay
from foresight.policies.scripted import AR1Noise, Constant, EpsilonGreedy, Random
from foresight.policies.switching import Switching

__all__ = [
    "AR1Noise",
    "Constant",
    "EpsilonGreedy",
    "MakePolicy",
    "NamedPolicy",
    "Random",
    "RemotePolicy",
    "Replay",
    "Switching",
    "make_policy",
    "register_policy",
]

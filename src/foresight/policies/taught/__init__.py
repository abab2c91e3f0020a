"""Teach by showing: one demonstration video, and the robot does it too."""

from foresight.policies.taught.agent import NearestFactory, TaughtAgent, TaughtFactory, Way
from foresight.policies.taught.album import Album
from foresight.policies.taught.demonstration import (
    Demonstration,
    Recorded,
    Shown,
    from_episode,
    from_video,
    open_demonstration,
    watch,
)
from foresight.policies.taught.heads import TaughtConfig, TaughtHeads, load_heads
from foresight.policies.taught.planner import FollowConfig, Follower
from foresight.policies.taught.progress import Progress, ProgressConfig

__all__ = [
    "Album",
    "Demonstration",
    "FollowConfig",
    "Follower",
    "NearestFactory",
    "Progress",
    "ProgressConfig",
    "Recorded",
    "Shown",
    "TaughtAgent",
    "TaughtConfig",
    "TaughtFactory",
    "TaughtHeads",
    "Way",
    "from_episode",
    "from_video",
    "load_heads",
    "open_demonstration",
    "watch",
]

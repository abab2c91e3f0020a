"""Teach by showing: one demonstration video, and the robot does it too."""

from foresight.agents.teaching.agent import NearestFactory, TaughtAgent, TaughtFactory, Way
from foresight.agents.teaching.album import Album
from foresight.agents.teaching.demonstration import (
    Demonstration,
    Recorded,
    Shown,
    from_episode,
    from_video,
    open_demonstration,
    watch,
)
from foresight.agents.teaching.heads import TaughtConfig, TaughtHeads, load_heads
from foresight.agents.teaching.planner import FollowConfig, Follower
from foresight.agents.teaching.progress import Progress, ProgressConfig
from foresight.agents.teaching.rivals import (
    ConstantAgent,
    ConstantFactory,
    ReplayAgent,
    ReplayFactory,
)
from foresight.agents.teaching.train import TaughtReport, taught_heads

__all__ = [
    "Album",
    "ConstantAgent",
    "ConstantFactory",
    "Demonstration",
    "FollowConfig",
    "Follower",
    "NearestFactory",
    "Progress",
    "ProgressConfig",
    "Recorded",
    "ReplayAgent",
    "ReplayFactory",
    "Shown",
    "TaughtAgent",
    "TaughtConfig",
    "TaughtFactory",
    "TaughtHeads",
    "TaughtReport",
    "Way",
    "from_episode",
    "from_video",
    "load_heads",
    "open_demonstration",
    "taught_heads",
    "watch",
]

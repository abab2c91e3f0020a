"""Run by LeRobot's own Python: its reader and its processors with an exported policy.

    python in_lerobot.py DATASET CHECKPOINT STEPS

prints the largest difference between its actions and `foresight.load(CHECKPOINT)`'s as JSON.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"

import numpy as np
import torch
from lerobot.configs.policies import PreTrainedConfig
from lerobot.datasets.lerobot_dataset import (
    LeRobotDataset,
    LeRobotDatasetMetadata,
)
from lerobot.policies.factory import make_policy, make_pre_post_processors
from lerobot.utils.import_utils import register_third_party_plugins

from foresight.core.observation import Observation
from foresight.policies.chunk.policy import ChunkPolicy

register_third_party_plugins()

from lerobot_policy_foresight.export import export  # noqa: E402


def difference(data: Path, checkpoint: Path, steps: int) -> float:
    """Largest difference of actions on the first episode, both seeing LeRobot's own pictures."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as place:
        folder = export(checkpoint, Path(place) / "exported")
        config = PreTrainedConfig.from_pretrained(folder)
        config.pretrained_path = folder
        meta = LeRobotDatasetMetadata("made/up", data)
        policy = make_policy(config, ds_meta=meta)
        before, after = make_pre_post_processors(config, str(folder), dataset_stats=meta.stats)
    recorded = LeRobotDataset("made/up", data, episodes=[0], video_backend="pyav")
    own, apart = ChunkPolicy.load(checkpoint), 0.0
    policy.reset()
    for t in range(min(steps, len(recorded))):
        frame = recorded[t]
        theirs = after(policy.select_action(before(frame)))[0].numpy()
        now = observation(frame, own)
        if t == 0:
            own.reset(now, 0)
        apart = max(apart, float(np.abs(theirs - own.act(now)).max()))
    return apart


def observation(frame: dict[str, torch.Tensor], policy: ChunkPolicy) -> Observation:
    """A frame of LeRobot's reader as Foresight sees it."""
    images = {
        name: (255 * frame[f"observation.images.{name}"]).round().byte().permute(1, 2, 0).numpy()
        for name in policy.cameras
    }
    return Observation(images, frame["observation.state"].numpy(), str(frame["task"]))


if __name__ == "__main__":
    found = difference(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))
    print(json.dumps({"difference": found}))

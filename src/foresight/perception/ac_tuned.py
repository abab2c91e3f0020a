"""V-JEPA 2-AC's predictor, fine-tuned for one robot, as a checkpoint."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import nn

from foresight.core.checkpoint import (
    TrainedOn,
    building,
    load_weights,
    read_header,
    save_checkpoint,
)
from foresight.perception.ac_data import ACRobot
from foresight.perception.ac_layers import ACConfig
from foresight.perception.ac_predictor import ACPredictor
from foresight.perception.low_rank import add_low_rank

KIND = "ac-predictor"
ADAPTED = r"predictor_blocks\.\d+\.(attn\.(qkv|proj)|mlp\.(fc1|fc2))"
"""The projections of attention and MLP."""


@dataclass(frozen=True, kw_only=True)
class TunedACConfig(TrainedOn):
    """What a fine-tuned predictor is, and what it is told of its robot."""

    sizes: ACConfig
    robot: ACRobot
    base: str = ""
    """Fingerprint of the file that the predictor came from."""


class TunedAC:
    """A fine-tuned predictor; ``W + (alpha / r) B A`` is written, so it costs what it did before.

    Attributes:
        predictor: frozen.
        config: what it was tuned on.
    """

    def __init__(self, predictor: ACPredictor, config: TunedACConfig) -> None:
        self.predictor = predictor
        self.config = config

    def save(self, folder: Path | str) -> None:
        """Write ``config.json`` and ``model.safetensors``."""
        config = self.config
        save_checkpoint(
            folder, KIND, config.to_json(), self.predictor, config.spec, config.fingerprints
        )

    @classmethod
    def load(cls, folder: Path | str) -> TunedAC:
        """Read a checkpoint folder, frozen, in fp32 on the processor.

        Raises:
            ForesightError: a file is missing or damaged, or of another type or size.
        """
        header = read_header(folder, KIND)
        with building(header):
            robot = ACRobot.read(header.config["robot"])
            sizes = ACConfig(**header.config["sizes"])
            config = TunedACConfig.read(header, sizes=sizes, robot=robot)
            predictor = ACPredictor(config.sizes)
        load_weights(predictor, folder)
        return cls(predictor.eval().requires_grad_(False), config)


def tunable(predictor: ACPredictor, robot: ACRobot, rank: int, alpha: float) -> nn.ModuleDict:
    """Freeze a predictor but for low-rank changes of its projections and its condition encoders.

    A robot that is told by its pose keeps the published encoders of actions and poses, which go on
    learning. Any other one gets new ones that begin at zero, so that the predictor first imagines
    as it would where the gripper stands still at pose zero.

    Args:
        predictor: changed in place.
        robot: what it will be told.
        rank: of the changes.
        alpha: their scale, times the rank.

    Returns:
        All that learns, sharing memory with the predictor.

    Raises:
        ForesightError: as `add_low_rank`.
    """
    learned = add_low_rank(predictor, ADAPTED, rank, alpha)
    if not robot.pose:
        predictor.config = replace(predictor.config, actions=robot.width)
        for name in ("action_encoder", "state_encoder"):
            setattr(predictor, name, _at_zero(predictor.get_submodule(name), robot.width))
    for name in ("action_encoder", "state_encoder"):
        learned[name] = predictor.get_submodule(name).requires_grad_(True)
    return learned


def _at_zero(encoder: nn.Module, width: int) -> nn.Linear:
    assert isinstance(encoder, nn.Linear)
    fresh = nn.Linear(width, encoder.out_features, device=encoder.weight.device)
    with torch.no_grad():
        fresh.weight.zero_()
        fresh.bias.copy_(encoder.bias)
    return fresh

"""Small LeWorldModels whose every part matters."""

from __future__ import annotations

import torch
from torch import nn

from foresight.worldmodel.lewm.config import LeWMConfig, LeWMSizes
from foresight.worldmodel.lewm.model import LeWorldModel

TINY = LeWMSizes(
    image=16,
    patch=8,
    width=16,
    depth=2,
    heads=2,
    dim=12,
    hidden=24,
    predictor_depth=2,
    predictor_heads=2,
    head_dim=8,
    predictor_mlp=20,
    dropout=0.0,
)


def config_of(sizes=TINY, **more):
    bounds = {"actions": 2, "action_low": (-2.0, -1.0), "action_high": (2.0, 1.0)}
    return LeWMConfig(sizes=sizes, **{**bounds, **more})


def random_model(sizes=TINY, **more):
    """With gates that are open and norms that have seen something: a fresh one ignores actions."""
    torch.manual_seed(0)
    model = LeWorldModel(config_of(sizes, **more)).eval()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm1d):
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)
    for block in model.predictor.blocks:
        nn.init.normal_(block.modulation.weight, std=0.7)
        nn.init.normal_(block.modulation.bias, std=0.2)
    for part in model.action_encoder.parameters():
        part.data *= 3
    return model

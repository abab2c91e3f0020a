"""Times ``stable-worldmodel``'s LeWM: one plan and one update; runs in that package's environment.

``python swm_lewm.py '{"samples": 300, ...}'`` builds the network at its published size with random
weights (speed does not depend on them), plans once to warm up with a single iteration, then once
as asked for, learns from one batch to warm up and from another, and prints one line of JSON: CPU
seconds of plan and update, and the number of parameters.

It imports nothing of Foresight. Needs ``stable-worldmodel==0.1.1`` and, without its requirements,
``stable-pretraining==0.1.8``; see docs/lewm.md.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import sys
import time
import types
from typing import Any

import torch
from torch import nn


def network(settings: dict[str, Any]) -> nn.Module:
    """Encoder, predictor, action encoder and both MLPs, as their training script puts them."""
    lewm = importlib.import_module("stable_worldmodel.wm.lewm")
    parts = importlib.import_module("stable_worldmodel.wm.lewm.module")
    backbone = importlib.import_module("stable_pretraining.backbone.utils")
    encoder = backbone.vit_hf(
        "tiny",
        patch_size=settings["patch"],
        image_size=settings["image"],
        pretrained=False,
        use_mask_token=False,
    )
    width = encoder.config.hidden_size
    predictor = parts.Predictor(
        num_frames=settings["history"],
        depth=6,
        heads=16,
        mlp_dim=2048,
        dim_head=64,
        dropout=0.1,
        input_dim=width,
        hidden_dim=width,
        output_dim=width,
    )
    block = settings["every"] * settings["actions"]
    projections = [
        parts.MLP(input_dim=width, hidden_dim=2048, output_dim=width, norm_fn=nn.BatchNorm1d)
        for _ in range(2)
    ]
    actions = parts.Embedder(input_dim=block, emb_dim=width)
    return lewm.LeWM(encoder, predictor, actions, *projections).eval().requires_grad_(False)


def solver(model: nn.Module, settings: dict[str, Any], iterations: int) -> Any:
    """Their cross-entropy method over blocks of actions."""
    gym = importlib.import_module("gymnasium")
    found = importlib.import_module("stable_worldmodel.solver").CEMSolver(
        model,
        num_samples=settings["samples"],
        var_scale=1.0,
        n_steps=iterations,
        topk=settings["elites"],
    )
    found.configure(
        action_space=gym.spaces.Box(-1.0, 1.0, (1, settings["actions"])),
        n_envs=1,
        config=types.SimpleNamespace(horizon=settings["blocks"], action_block=settings["every"]),
    )
    return found


def scene(settings: dict[str, Any]) -> dict[str, torch.Tensor]:
    """A picture of now and one of the goal, and an action that their encoder asks for."""
    side, block = settings["image"], settings["every"] * settings["actions"]
    torch.manual_seed(0)
    return {
        "pixels": torch.randn(1, 1, 3, side, side),
        "goal": torch.randn(1, 1, 3, side, side),
        "action": torch.zeros(1, 1, block),
    }


def update(model: nn.Module, settings: dict[str, Any]) -> float:
    """CPU seconds of an update: their terms, AdamW; after one that warms up."""
    regulariser = importlib.import_module("stable_worldmodel.wm.loss").SIGReg()
    model.train().requires_grad_(True)
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-5, weight_decay=1e-3)
    side, block = settings["image"], settings["every"] * settings["actions"]
    clips, frames = settings["clips"], settings["history"] + 1
    seconds = 0.0
    for _ in range(2):
        told = {
            "pixels": torch.randn(clips, frames, 3, side, side),
            "action": torch.randn(clips, frames - 1, block),
        }
        begun = time.process_time()
        seen = model.encode(told)  # type: ignore[operator]
        z = seen["emb"]
        ahead = model.predict(z[:, :-1], seen["act_emb"])  # type: ignore[operator]
        loss = (ahead - z[:, 1:]).square().mean() + 0.09 * regulariser(z.transpose(0, 1))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        seconds = time.process_time() - begun
    return seconds


def main(settings: dict[str, Any]) -> None:
    """Measure and print."""
    torch.set_num_threads(1)
    model = network(settings)
    with contextlib.redirect_stdout(sys.stderr), torch.inference_mode():  # it prints
        solver(model, settings, 1).solve(scene(settings))
        asked = solver(model, settings, settings["iterations"])
        begun = time.process_time()
        asked.solve(scene(settings))
        seconds = time.process_time() - begun
    count = sum(p.numel() for p in model.parameters())
    found = {"seconds": seconds, "update_seconds": update(model, settings), "parameters": count}
    print(json.dumps(found))


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))

"""CPU seconds of a plan with a LeWorldModel: ours, a plain rollout, and another project's; updates.

All sides search with the same network size and, but for ``our-search``, the same number of
candidates. The plain side does what published code does: both pictures are encoded in every
iteration and every window is computed anew for every candidate. The sides take turns in one run,
on one thread. An update is the published objective's, in fp32 on both sides.
"""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.peers import swm_lewm
from foresight.core.errors import ForesightError
from foresight.planning.lewm import FAST_PLAN, LeWMPlan, LeWMPlanner
from foresight.planning.objective import GoalDistance, Objective
from foresight.training.lewm.train import lewm_losses
from foresight.worldmodel.lewm.config import LeWMConfig, sizes_of
from foresight.worldmodel.lewm.model import LeWorldModel
from foresight.worldmodel.lewm.sigreg import SIGReg

OURS = ("ours", "our-search")


@dataclass(frozen=True)
class LeWMSpeedConfig:
    """What to plan with; the weights are random, speed does not depend on them."""

    size: str = "paper-64"
    """Named size of the model."""
    samples: int = 300
    """Candidates of an iteration, of the published search."""
    elites: int = 30
    """Candidates that its distribution is refitted to."""
    iterations: int = 30
    """Its refinements."""
    clips: int = 16
    """Of an update's batch."""
    rounds: int = 3
    """Turns of each side."""
    peer: Path | None = None
    """Python of an environment with stable-worldmodel 0.1.1; left out if not given."""

    @property
    def published(self) -> LeWMPlan:
        """The published search."""
        return LeWMPlan(samples=self.samples, elites=self.elites, iterations=self.iterations)


def lewm_speed(
    options: LeWMSpeedConfig, say: Callable[[dict[str, Any]], None]
) -> list[dict[str, Any]]:
    """Rows of ``plan-seconds`` (conditions ours, plain, our-search, stable-worldmodel), of
    ``update-seconds`` (ours, stable-worldmodel), and of their quotients: ``plain-over-ours``,
    ``peer-over-ours``, ``peer-over-our-search`` and ``peer-update-over-ours``;
    ``largest-difference`` of what both imagine.
    """
    torch.set_num_threads(1)
    model = random_model(options.size)
    side = model.config.sizes.image
    torch.manual_seed(0)
    pictures = torch.randint(0, 256, (2, side, side, 3), dtype=torch.uint8)
    rows = [_row("largest-difference", _difference(model))]
    say(rows[0])
    for turn in range(options.rounds):
        found = {
            "plain": _timed(lambda: _planned(PlainPlanner, model, pictures, options.published)),
            "ours": _timed(lambda: _planned(LeWMPlanner, model, pictures, options.published)),
            "our-search": _timed(lambda: _planned(LeWMPlanner, model, pictures, FAST_PLAN)),
        }
        updates = {"ours": update_seconds(options)}
        ratios = {"plain-over-ours": found["plain"] / found["ours"]}
        if options.peer is not None:
            theirs = peer_seconds(options.peer, model, options.published, options.clips)
            found["stable-worldmodel"], updates["stable-worldmodel"] = theirs
            ratios |= {f"peer-over-{name}": theirs[0] / found[name] for name in OURS}
            ratios["peer-update-over-ours"] = theirs[1] / updates["ours"]
        measured = {"plan-seconds": found, "update-seconds": updates}
        new = [
            _row(measure, value, condition=name, turn=turn)
            for measure, each in measured.items()
            for name, value in each.items()
        ]
        new += [_row(measure, value, turn=turn) for measure, value in ratios.items()]
        for row in new:
            say(row)
        rows += new
    return rows


def update_seconds(options: LeWMSpeedConfig) -> float:
    """CPU seconds of an update of ours, after one that warms up."""
    model = random_model(options.size).train().requires_grad_(True)
    sizes, regulariser = model.config.sizes, SIGReg()
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-5, weight_decay=1e-3)
    shape = (options.clips, sizes.history + 1, sizes.image, sizes.image, 3)

    def step() -> None:
        blocks = torch.randn(options.clips, sizes.history, model.config.block)
        frames = torch.randint(0, 256, shape, dtype=torch.uint8)
        parts = lewm_losses(model, {"frames": frames, "blocks": blocks}, regulariser)
        optimizer.zero_grad()
        (parts["prediction"] + 0.09 * parts["sigreg"]).backward()
        optimizer.step()

    step()
    return _timed(step)


def random_model(size: str) -> LeWorldModel:
    """A model of two actions whose predictor does not ignore them."""
    torch.manual_seed(0)
    low, high = (-1.0, -1.0), (1.0, 1.0)
    config = LeWMConfig(sizes=sizes_of(size), actions=2, action_low=low, action_high=high)
    model = LeWorldModel(config).eval()
    for block in model.predictor.blocks:
        torch.nn.init.normal_(block.modulation.weight, std=0.1)  # type: ignore[union-attr, arg-type]
    return model.requires_grad_(False)


class PlainDynamics:
    """Windows of all candidates computed anew at every step, after pictures at every call."""

    def __init__(self, model: LeWorldModel, pictures: Tensor) -> None:
        self.model, self.pictures, self.every = model, pictures, model.config.every

    def step(self, z: Tensor, action: Tensor) -> Tensor:
        """Not for single actions."""
        raise NotImplementedError("futures are imagined as a whole")

    def imagine(self, z0: Tensor, actions: Tensor) -> Tensor:
        """Embeddings after every block, from the present picture alone."""
        z = self.model.encode(self.pictures)[:1].expand(actions.shape[1], -1)[:, None]
        blocks = actions[0].unflatten(1, (-1, self.every)).flatten(2)
        history = self.model.config.sizes.history
        for step in range(blocks.shape[1]):
            first = max(0, step + 1 - history)
            ahead = self.model.predict(z[:, first:], blocks[:, first : step + 1])
            z = torch.cat([z, ahead[:, -1:]], 1)
        return z[None, None]


class PlainPlanner(LeWMPlanner):
    """The same search on plain rollouts."""

    pictures: Tensor

    @torch.inference_mode()
    def plan(self, seen: Tensor, done: Tensor, goal: Tensor) -> Tensor:
        """As its parent."""
        found = self.solver.plan(seen[-1:], Objective(GoalDistance(goal)))
        return found.actions[0]


def _planned(
    kind: type[LeWMPlanner], model: LeWorldModel, pictures: Tensor, plan: LeWMPlan
) -> Tensor:
    """One plan from pictures to actions."""
    planner = kind(model, plan)
    if kind is PlainPlanner:
        planner.solver.dynamics = PlainDynamics(model, pictures)  # type: ignore[union-attr]
    with torch.inference_mode():
        seen = model.encode(pictures)
        return planner.plan(seen[:1], torch.zeros(0, model.config.block), seen[1])


def _difference(model: LeWorldModel) -> float:
    """Of what both imagine of a few candidates."""
    side = model.config.sizes.image
    pictures = torch.zeros(2, side, side, 3, dtype=torch.uint8)
    actions = torch.rand(1, 3, 4 * model.config.every, 2)
    with torch.inference_mode():
        z = model.encode(pictures)[:1]
        fast = LeWMPlanner(model, LeWMPlan()).dynamics.imagine(z, actions)
        return float((fast - PlainDynamics(model, pictures).imagine(z, actions)).abs().max())


def _timed(work: Callable[[], object]) -> float:
    begun = time.process_time()
    work()
    return time.process_time() - begun


def peer_seconds(
    python: Path, model: LeWorldModel, plan: LeWMPlan, clips: int
) -> tuple[float, float]:
    """One plan and one update of the other project, in its own environment.

    Raises:
        ForesightError: it cannot be run, or its network has another number of parameters.
    """
    sizes, config = model.config.sizes, model.config
    settings = {
        "image": sizes.image,
        "patch": sizes.patch,
        "history": sizes.history,
        "every": config.every,
        "actions": config.actions,
        "blocks": plan.blocks,
        "samples": plan.samples,
        "elites": plan.elites,
        "iterations": plan.iterations,
        "clips": clips,
    }
    script = str(Path(swm_lewm.__file__))
    try:
        done = subprocess.run(
            [str(python), script, json.dumps(settings)], capture_output=True, text=True, check=False
        )
        told = json.loads(done.stdout.strip().splitlines()[-1])
    except (OSError, ValueError, IndexError) as error:
        said = "it cannot be run" if isinstance(error, OSError) else done.stderr.strip()[-300:]
        raise ForesightError(
            f"The peer under {python} failed ({said}): install stable-worldmodel 0.1.1 there as "
            "docs/lewm.md says."
        ) from None
    own = sum(p.numel() for p in model.parameters())
    if told["parameters"] != own:
        raise ForesightError(
            f"The peer's network has {told['parameters']} parameters and ours {own}: compare at "
            "the size paper-64."
        )
    return float(told["seconds"]), float(told["update_seconds"])


def _row(measure: str, value: float, **more: Any) -> dict[str, Any]:
    return {"measure": measure, "value": value, "task": "lewm", **more}

"""Frames of Spot a second of processor time: hulls beside the original meshes.

Each side steps Spot's gait for one decision and draws it, in turns of one run. Processor time, not
the clock on the wall, so that whatever else the machine does hardly counts.

    foresight bench spot
"""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from foresight.envs.registry import make
from foresight.envs.render import FrameRenderer, RenderSettings
from foresight.envs.spot.model import load_model
from foresight.evaluation.results import make_result
from foresight.evaluation.statistics import Row

SIDES = ("hulls", "original")
WORST_GROUND = (0.0, 0.0, 0.01)
"""The ground as Playground's scene has it: endless, in 40,000 squares."""


@dataclass(frozen=True)
class SpotFramesConfig:
    """Measure Spot's frames a processor second, with hulls and with the original meshes."""

    sizes: tuple[int, ...] = (64, 256)
    """Pixels of a side."""
    rounds: int = 5
    """Turns of each side."""
    frames: int = 40
    """Frames of a turn."""
    out: Path = Path("results/spot-frames.json")
    """Result file."""


def main(options: SpotFramesConfig) -> None:
    """Run the benchmark and write its result."""
    result = make_result("spot-frames", asdict(options), "none", measure(options))
    result.save(options.out)
    for key, interval in result.summary.items():
        print(f"{key:45} {interval['mean']:9.2f}  [{interval['low']:.2f}, {interval['high']:.2f}]")
    print(f"written to {options.out}")


def measure(options: SpotFramesConfig) -> list[Row]:
    """``frames-per-cpu-second`` of drawing alone and of the whole environment, and their ratio.

    ``as-published`` is Playground's scene with the original meshes; ``original`` has our ground.
    """
    rows: list[Row] = []
    for size in options.sizes:
        settings = RenderSettings(size=size, camera="side")
        drawn = {side: Drawn(side, settings) for side in SIDES}
        drawn["as-published"] = Drawn("original", settings, WORST_GROUND)
        env = make("spot/command", size=size)
        env.reset(seed=0)
        task = f"{size}-pixels"
        for turn in range(options.rounds + 1):
            rates = {name: each.rate(options.frames) for name, each in drawn.items()}
            rates["environment"] = _stepped(env, options.frames)
            if turn == 0:  # caches are warm now
                continue
            shared: dict[str, Any] = {"task": task, "turn": turn}
            rows += [
                {"measure": "frames-per-cpu-second", "condition": name, "value": rate, **shared}
                for name, rate in rates.items()
            ]
            for name in SIDES:
                times = rates[name] / rates["as-published"]
                row = {"measure": "times-as-published", "condition": name, "value": times}
                rows.append({**row, **shared})
        env.close()
        for each in drawn.values():
            each.close()
    return rows


class Drawn:
    """One way to draw Spot as it stands."""

    def __init__(
        self, meshes: Any, settings: RenderSettings, ground: tuple[float, ...] | None = None
    ) -> None:
        import mujoco

        model = load_model(meshes)
        if ground is not None:
            model.geom_size[model.geom("floor").id] = ground
        self._data = mujoco.MjData(model)
        mujoco.mj_resetDataKeyframe(model, self._data, 0)
        mujoco.mj_forward(model, self._data)
        self._renderer = FrameRenderer(model, settings)

    def rate(self, frames: int) -> float:
        begin = time.process_time()
        for _ in range(frames):
            self._renderer.render(self._data)
        return frames / (time.process_time() - begin)

    def close(self) -> None:
        self._renderer.close()


def _stepped(env: Any, frames: int) -> float:
    """Decisions of 100 ms, each with its frame."""
    action = np.array([0.3, 0.0, 0.2])
    begin = time.process_time()
    for _ in range(frames):
        *_, fell, over, _ = env.step(action)
        if fell or over:
            env.reset(seed=0)
    return frames / (time.process_time() - begin)

"""Days 36 and 37 of the source documents: V-JEPA 2-AC zero-shot, and how fast it drifts.

The documents say nothing of the weights' file, the clip or how cosines were averaged. Here they
are means over all tokens of all predicted frames, beside persistence: tokens of neighbouring
frames are alike, so a high cosine alone proves nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from rich.console import Console

from foresight.core.errors import ForesightError
from foresight.data.clip import fit_frames, read_clip
from foresight.diagnostics.drift import HORIZONS, Track, drift, other_means
from foresight.diagnostics.forecasters import ACForecaster
from foresight.evaluation.results import Result, make_result
from foresight.evaluation.statistics import Row
from foresight.perception.ac import ACModel, load_ac
from foresight.perception.ac_checkpoint import random_ac_predictor
from foresight.perception.ac_layers import ACConfig
from foresight.perception.encoder import load_encoder
from foresight.pipelines.stages import DataPlan
from foresight.report.drift import drift_tables
from foresight.report.tables import print_result, to_rich
from foresight.rollout.collect import collect
from studies.registry import Request

TASK = "reacher-easy"
SOURCE_FIGURES = {
    "day36-zero-shot": {"mean cosine over a 32-frame ALOHA clip": 0.87},
    "day37-drift": {"cosine at step 1": 0.89, "cosine at step 30, open loop": 0.40},
}
RANDOM_NOTE = (
    "No --ac checkpoint was given: a small AC predictor with random weights was made on the spot, "
    "so these numbers show that everything runs, and what untrained weights give, no more."
)
STILL_NOTE = "The clip comes without robot poses: zero actions at a constant pose."


@dataclass(frozen=True)
class ACRecipeConfig:
    """What is loaded and what it is shown."""

    ac: Path | None = None
    """V-JEPA 2-AC checkpoint; small random weights without one."""
    encoder: str | None = None
    """Another encoder than the checkpoint's own; without a checkpoint foresight-small."""
    clip: Path | None = None
    """A video or .npy frames; without one, rendered episodes of random actions."""
    clips: int = 5
    """How many episodes are rendered."""
    frames: int = 32
    """Frames of a clip, as in the sources."""
    every: int = 6
    """Keep each so many-th frame: 8 a second from rendered episodes of 50."""
    device: str = "cpu"
    """Where it runs."""


def presets() -> dict[str, ACRecipeConfig]:
    """The named sizes."""
    return {"full": ACRecipeConfig(), "smoke": ACRecipeConfig(clips=2, frames=8, every=2)}


def reproduce(request: Request) -> Result:
    """The day that is asked for."""
    config = replace(
        presets()[request.preset],
        ac=request.ac,
        encoder=request.other_encoder,  # the checkpoint's own otherwise, if there is one
        clip=request.clip,
        device=request.device,
    )
    if request.episodes is not None:
        config = replace(config, clips=request.episodes)
    return run(request.name, config, request.folder, request.processes)


def show(result: Result) -> None:
    """Print drift horizon by horizon, and the other day as any result."""
    if result.name == "day37-drift":
        Console().print(*map(to_rich, drift_tables(result, brief=True)))
    else:
        print_result(result)


def run(name: str, config: ACRecipeConfig, folder: Path, workers: int = 1) -> Result:
    """Run ``day36-zero-shot`` or ``day37-drift``; rendered clips are kept in ``folder``.

    The sources' figures stand in the result's configuration under ``source``.
    """
    model = _model(config)
    forecaster = ACForecaster(model)
    tracks = [forecaster.track(clip) for clip in _clips(config, model, folder, workers)]
    if name == "day36-zero-shot":
        task = config.clip.stem if config.clip else TASK
        rows = zero_shot_rows(forecaster, tracks, task)
    else:
        rows = drift(forecaster, tracks, HORIZONS)
    notes = ([] if config.ac else [RANDOM_NOTE]) + [STILL_NOTE]
    settings = {
        "recipe": config,
        "source": SOURCE_FIGURES[name],
        "notes": notes,
        "encoder": model.encoder.name,
        "encoder_fingerprint": model.encoder.fingerprint,
        "predictor": model.predictor.config,
        "predictor_fingerprint": model.predictor.source or "random",
    }
    return make_result(name, settings, "none", rows)


@torch.no_grad()
def zero_shot_rows(forecaster: ACForecaster, tracks: list[Track], task: str) -> list[Row]:
    """Mean cosine between predicted and true tokens of each clip, teacher-forced.

    Measures ``zero-shot-cosine`` and ``zero-shot-centred-cosine``; the conditions are none for the
    model, ``persistence`` (the frame before) and ``mean``.
    """
    rows: list[Row] = []
    for index, (track, mean) in enumerate(zip(tracks, other_means(tracks), strict=True)):
        guess = forecaster.closed_loop(track.inputs[None, :-1], track.controls[None, :-1])[0]
        truth = track.features[1:]
        guesses = {None: guess, "persistence": track.features[:-1], "mean": mean.expand_as(truth)}
        for condition, given in guesses.items():
            raw = torch.cosine_similarity(given, truth, dim=-1).mean()
            centred = torch.cosine_similarity(given - mean, truth - mean, dim=-1).mean()
            named = {} if condition is None else {"condition": condition}
            for measure, value in (("cosine", raw), ("centred-cosine", centred)):
                row = {"measure": f"zero-shot-{measure}", "task": task, "value": float(value)}
                rows.append({**row, **named, "episode": index})
    return rows


def _model(config: ACRecipeConfig) -> ACModel:
    if config.ac is not None:
        foreign = config.encoder is not None
        return load_ac(config.ac, config.device, encoder=config.encoder, allow_foreign=foreign)
    encoder = load_encoder(config.encoder or "foresight-small", config.device)
    sizes = ACConfig(encoder.dim, 128, 2, 2, 512, encoder.grid)
    predictor = random_ac_predictor(sizes).to(encoder.device)
    return ACModel(encoder, predictor, allow_foreign=True)


def _clips(config: ACRecipeConfig, model: ACModel, folder: Path, workers: int) -> list[np.ndarray]:
    size = model.encoder.image_size
    if config.clip is not None:
        clips = [fit_frames(read_clip(config.clip, config.every, config.frames), size)]
    else:
        steps = config.frames * config.every
        # Not the expert: it arrives within seconds and then nothing moves.
        plan = DataPlan(TASK, config.clips, ("random",), steps=steps)
        name = f"clips-{size}px-{config.clips}x{steps}"
        store = collect(folder / name, plan.specs(size), workers)
        clips = [store.frames(i)[:: config.every] for i in range(len(store))]
    if min(map(len, clips)) < 2:
        raise ForesightError(
            f"A clip of {min(map(len, clips))} frames has nothing to predict: give at least 2, or "
            "keep more of them with a smaller step."
        )
    limit = model.predictor.config.max_frames
    return [clip[: limit + 1] for clip in clips]

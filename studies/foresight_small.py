"""``foresight-small`` again, from nothing: corpus, pretraining, encoder folder and model card."""

from __future__ import annotations

import fcntl
import os
import shlex
import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch

from foresight.core.files import disk_errors, write_text
from foresight.core.metrics import read_metrics
from foresight.core.provenance import versions
from foresight.data.dataset import Dataset
from foresight.evaluation.results import Result, make_result
from foresight.evaluation.results import load as load_result
from foresight.evaluation.statistics import Row
from foresight.perception.export import save_encoder
from foresight.perception.pretraining.config import PretrainConfig, Weights
from foresight.perception.pretraining.frames import FrameBank
from foresight.perception.pretraining.train import pretrain
from studies.corpus import collect_corpus
from studies.registry import Request

NAME = "foresight-small"
FIRST = PretrainConfig(
    minutes=55.0,
    batch=32,  # of each of two processes
    frames=(4, 4, 4, 2),
    masks=("wide",),
    loss=Weights(latent=0.0, pixels=1.0),
    probe_every=5000,
    save_every=1000,
)
SECOND = replace(
    FIRST, minutes=30.0, lr=6e-4, loss=Weights(latent=0.0, pixels=1.0, visible=3.0), probe_every=0
)
"""What it was made with, one after the other, under ``torchrun --nproc-per-node 2``; the second
stage makes tokens keep what they show themselves. docs/experiments.md says why."""


def reproduce(request: Request) -> Result:
    """Make the bundled encoder again."""
    return run(request.preset, request.folder, request.processes, request.device)


def run(preset: str, folder: Path, workers: int, device: str = "cpu") -> Result:
    """Collect, pretrain, and write ``folder/foresight-small``; every stage resumes.

    Under ``torchrun`` the first process collects and writes, all of them train.

    Args:
        preset: ``full``, or ``smoke`` for a few updates on a few frames.
        folder: for the corpus, the training's state and the encoder.
        workers: processes that collect.
        device: where the training runs.

    Raises:
        ForesightError: as the stages.
    """
    smoke = preset == "smoke"
    scale = 0.02 if smoke else 1.0
    stores = _corpus(folder, scale, workers, 3 if smoke else 999)
    bank = FrameBank(stores, folder / "frames")
    short = {"updates": 4, "batch": 4, "probe_every": 0, "save_every": 2, "log_every": 1}
    rows: list[Row] = []
    stages: dict[str, PretrainConfig] = {}
    start: str | None = None
    for name, settings in (("first", FIRST), ("second", SECOND)):
        place = folder / f"training-{name}"
        changes: dict[str, Any] = {**(short if smoke else {}), "device": device, "init": start}
        encoder = pretrain(bank, replace(settings, **changes), place)
        start = str(place / "encoder")
        if _rank() == 0:  # the others wait for it where the next stage begins
            save_encoder(place / "encoder", encoder.state_dict(), encoder.config)
        found = training_rows(read_metrics(place / "metrics.jsonl"))
        rows += [{**row, "condition": name} for row in found]
        stages[name] = replace(settings, **{**changes, "init": None})
    settings_of = {name: asdict(settings) for name, settings in stages.items()}
    config = {"settings": settings_of, "scale": scale, "processes": _processes()}
    result = make_result(NAME, config, "none", rows, command=_command())
    if _rank() == 0:
        out = folder / NAME
        save_encoder(out, encoder.state_dict(), encoder.config, torch.float32)
        probes = Path("results/probes.json")
        write_text(
            out / "README.md", model_card(stores, result, probes if probes.exists() else None)
        )
    return result


def training_rows(log: list[Row]) -> list[Row]:
    """The log of a training as measurements: about forty points of each curve."""
    rows: list[Row] = []
    every = max(1, len(log) // 40)
    for index, line in enumerate(log):
        probing = any(name.startswith("probe") for name in line)
        if probing or index % every == 0 or index == len(log) - 1:
            values = {k: v for k, v in line.items() if k not in ("step", "lr") and v is not None}
            rows += [_row(name, value, line["step"]) for name, value in values.items()]
    return rows


def _row(name: str, value: float, step: int) -> Row:
    measure, _, task = name.partition("/")  # probe/reacher-easy
    row: Row = {"measure": measure, "value": value, "step": step}
    return {**row, "task": task} if task else row


def model_card(stores: Sequence[Dataset], result: Result, probes: Path | None) -> str:
    """The model card: what it is, what it saw, how it was made, what can be read from it.

    Args:
        stores: the corpus.
        result: the training's record.
        probes: a finished ``results/probes.json``, for the table.
    """
    stages: dict[str, dict[str, Any]] = result.config["settings"]
    ends = [_last(result.rows, name) for name in stages]
    frames = sum(sum(store.lengths) for store in stores)
    parts = "\n".join(
        f"| {store.path.name} | {len(store)} | {sum(store.lengths)} |" for store in stores
    )
    losses = "\n".join(
        f"| {row['condition']} | {row['step']} | {row['value']:.4f} |"
        for row in result.rows
        if row["measure"] == "loss"
    )
    return CARD.format(
        frames=f"{frames:,}",
        datasets=len(stores),
        parts=parts,
        command=result.command,
        git=result.git,
        torch=versions()["torch"],
        updates=" and ".join(f"{updates:,}" for updates, _ in ends),
        minutes=" and ".join(f"{seconds / 60:.0f}" for _, seconds in ends),
        stages=" | ".join(stages),
        rules="---|" * (1 + len(stages)),
        settings="\n".join(
            f"| {name} | {' | '.join(str(stage[name]) for stage in stages.values())} |"
            for name in asdict(FIRST)
            if name != "init"
        ),
        losses=losses,
        probes=_probe_table(probes) if probes else "Run `foresight probe` to fill this in.",
    )


def _last(rows: Sequence[Row], stage: str) -> tuple[int, float]:
    """Updates and seconds at a stage's end; 0 where nothing was logged."""
    found = [row for row in rows if row["condition"] == stage and row["measure"] == "seconds"]
    return (found[-1]["step"], found[-1]["value"]) if found else (0, 0.0)


def _probe_table(path: Path) -> str:
    summary = load_result(path).summary
    lines = ["| measure | foresight-small | random weights | pixel PCA |", "|---|---|---|---|"]
    for name, entry in summary.items():
        if ":" in name:
            continue
        others = [summary.get(f"{prefix}:{name}") for prefix in ("random-weights", "pixel-pca")]
        cells = [f"{entry['mean']:.3f}", *(f"{o['mean']:.3f}" if o else "–" for o in others)]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _corpus(folder: Path, scale: float, workers: int, most: int) -> list[Dataset]:
    with disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / "corpus.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # of several processes, one collects
            return collect_corpus(folder / "corpus", scale=scale, workers=workers, most=most)


def _rank() -> int:
    return int(os.environ.get("RANK", "0"))


def _processes() -> int:
    return int(os.environ.get("WORLD_SIZE", "1"))


def _command() -> str:
    words = " ".join(map(shlex.quote, sys.argv[1:]))
    count = _processes()
    start = f"torchrun --nproc-per-node {count} -m foresight" if count > 1 else "foresight"
    return f"{start} {words}"


CARD = """# foresight-small

A small V-JEPA 2 encoder for simulated robots: 64 x 64 pixels, patches of 8, tubelets of 2 frames,
192 channels, 6 layers, 3 heads, 2.7 million parameters in fp32. It is a V-JEPA 2 configuration:
`foresight.load_encoder("foresight-small")` and `transformers` load it like the published ones.

Licence: Apache-2.0, weights and data alike. All frames were rendered from dm_control's models and
from scenes of simple shapes; no other images were used.

It knows simulated robots in 64 pixels, plain and with changed colours, light and cameras. It knows
nothing of real pictures: for those take one of Meta's encoders.

## Data

{frames} frames in {datasets} datasets of Foresight episodes, rendered at twice the size and
averaged. `varied` parts change colours, light and camera from episode to episode. Behaviours:
uniform random, autoregressive noise, experts where there are any, and the oracle.

| dataset | episodes | frames |
|---|---|---|
{parts}

## Training

`{command}`

at revision `{git}` with PyTorch {torch}: {updates} updates in {minutes} minutes. The command
collects the data, trains and writes this folder. The second stage starts from the first one's
encoder.

| setting | {stages} |
|{rules}
{settings}

| stage | update | loss |
|---|---|---|
{losses}

## What can be read from it

Held-out episodes, best readout and probe (`foresight probe`); R2 and accuracies, 1 is perfect.

{probes}
"""

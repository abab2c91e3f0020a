"""``foresight features``: can cosine or distance tell the steps of a dataset apart?"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

if TYPE_CHECKING:
    from foresight.data.dataset import Dataset
    from foresight.diagnostics.feature_health import Health
    from foresight.report.tables import Table

HELD_OUT = 0.2


@dataclass(frozen=True)
class Config:
    """Print the health of a dataset's features, raw and centred, and warn where they are blind.

    Encodes the dataset first if need be. A goal's cosine or distance can be no better than what
    this table leaves.
    """

    dataset: Annotated[Path, tyro.conf.Positional]
    """Folder of a LeRobot dataset, from `foresight collect` or anybody else."""
    camera: str | None = None
    """Name of the camera; the first one if not given."""
    encoder: str = "foresight-small"
    """Folder or hub id of a V-JEPA 2 checkpoint, for example facebook/vjepa2-vitl-fpc64-256."""
    readout: tuple[str, ...] = ("tubelet",)
    """One or more readouts to compare, for example mean tubelet last:grid=8,window=4."""
    device: str = "cpu"
    """Where the encoder runs: cpu, cuda, cuda:1, or auto for cuda where there is one."""
    fit: Literal["squash", "crop", "pad"] = "squash"
    """How frames of another size or shape become the encoder's squares. squash: everything is
    seen, proportions change; crop: the middle square; pad: between black bars."""
    conditioning: Literal["none", "standardise", "pca", "whiten"] = "none"
    """Also fit this on four fifths of the episodes and measure all on the others."""
    dim: int = 128
    """Axes that `pca` and `whiten` keep."""
    episodes: int = 50
    """Episodes to look at, spread evenly over the dataset; only these are encoded. 0 for all."""
    cache: Path | None = None
    """Where feature caches live; the folder `cache` beside the dataset if not given."""
    out: Path | None = None
    """Also write the result as JSON to this file."""


def main(config: Config) -> None:
    """Measure, print, warn, write."""
    from rich.console import Console

    from foresight.data.dataset import Dataset
    from foresight.diagnostics.feature_health import health_rows, warnings_of
    from foresight.evaluation.results import make_result
    from foresight.report.tables import to_rich

    dataset = Dataset.open(config.dataset)
    task = (dataset.tasks[0] if len(dataset.tasks) == 1 else "") or config.dataset.resolve().name
    found = {spec: _measure(config, dataset, spec) for spec in config.readout}
    console = Console()
    for spec, health in found.items():
        console.print(to_rich(_table(health, f"{task} by {config.encoder}, readout {spec}")))
        for sentence in warnings_of(health):
            console.print(f"[yellow]warning[/] {spec}, {sentence}", soft_wrap=True)
    if config.out is not None:
        rows = [row for spec, health in found.items() for row in health_rows(health, task, spec)]
        make_result("features", config, "none", rows).save(config.out)
        print(f"written to {config.out}")


def _measure(config: Config, dataset: Dataset, spec: str) -> dict[str, Health]:
    from foresight.data.windows import split_episodes
    from foresight.diagnostics.feature_health import feature_health
    from foresight.perception.conditioning import ConditioningConfig, cached_conditioning
    from foresight.perception.config import EncoderConfig
    from foresight.perception.encode import encode_dataset

    encoder, readout = EncoderConfig(config.encoder, spec, config.device, config.fit).load()
    root = config.cache or config.dataset.parent / "cache"
    count = min(config.episodes or len(dataset), len(dataset))
    chosen = [index * len(dataset) // count for index in range(count)]
    cache = encode_dataset(dataset, encoder, readout, root, config.camera, chosen)
    features = cache.array.reshape(len(cache.array), -1)
    if config.conditioning == "none":
        return feature_health(features, cache.offsets, chosen)
    train, held_out = (
        [chosen[place] for place in part] for part in split_episodes(count, HELD_OUT, 0)
    )
    settings = ConditioningConfig(config.conditioning, min(config.dim, features.shape[1]))
    fitted = cached_conditioning(cache, train, settings)
    return feature_health(features, cache.offsets, held_out, fitted)


def _table(health: dict[str, Health], title: str) -> Table:
    """Measures down; raw, centred and conditioned features across."""
    from dataclasses import asdict

    from foresight.report.tables import Cell, Table

    columns = {kind: asdict(found) for kind, found in health.items()}
    rows = []
    for name in columns["raw"]:
        values = [column[name] for column in columns.values()]
        cells = [Cell("–" if value is None else _number(name, value)) for value in values]
        rows.append([Cell(name.replace("_", " ")), *cells])
    return Table(title, ("measure", *columns), rows)


def _number(name: str, value: float) -> str:
    # The mean of centred numbers is nothing but rounding.
    tiny = abs(value) < 1e-6
    return f"{value:.4f}" if name.startswith("cosine") or tiny else f"{value:.4g}"

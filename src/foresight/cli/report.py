"""``foresight report``: the page of a run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from foresight.core.checkout import use_checkout


@dataclass(frozen=True)
class Config:
    """Write the HTML page of a finished run; in a checkout, also the tables of a results folder."""

    folder: Annotated[Path, tyro.conf.Positional]
    """Folder that `foresight run` worked in, or one that holds result files such as `results`."""
    readme: Path | None = None
    """With result files: also write the main tables into this file, between its markers."""
    findings: Path | None = None
    """With result files: also write the page that holds the conclusions of the
    studies against them, for example docs/findings.md."""
    film: Path | None = None
    """With a run, or a task's folder of `foresight learn`: also write its last film as a GIF, for
    pages that play no video."""


def main(config: Config) -> None:
    """Write the page or the tables and say where."""
    from foresight.report.run_page import film_gif, road_page

    is_run = (config.folder / "result.json").exists() or not config.folder.is_dir()
    if is_run:
        print(f"report: {road_page(config.folder)}")
    if config.film is not None:
        print(f"film: {film_gif(config.folder, config.film)}")
    if is_run or config.film is not None:
        return
    use_checkout("studies")
    from studies.summary import write_results

    for path in write_results(config.folder, config.readme):
        print(f"written: {path}")
    if config.findings is not None:
        from studies.findings import write_findings

        print(f"written: {write_findings(config.folder, config.findings)}")

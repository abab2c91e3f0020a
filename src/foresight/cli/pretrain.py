"""``foresight pretrain``: make an encoder of your own from recorded episodes."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import tyro

from foresight.perception.pretraining.config import PretrainConfig


@dataclass(frozen=True)
class Config:
    """Pretrain an encoder on recorded episodes with V-JEPA 2's masked objective; resumes.

    The result is a folder that every --encoder takes. On several devices or cores run it as
    `torchrun --nproc-per-node 2 -m foresight pretrain ...`.
    """

    datasets: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """Folders of LeRobot datasets, from `foresight collect` or anybody else."""
    out: Path
    """Folder of the encoder; the state of an unfinished training lies in it too."""
    camera: str | None = None
    """Name of the camera; each dataset's first one if not given."""
    size: int | None = None
    """Side of the encoder's square frames in pixels, a multiple of --patch; the frames' own if not
    given."""
    fit: Literal["squash", "crop", "pad"] = "squash"
    """How frames of another shape become squares of --size. squash: everything is seen,
    proportions change; crop: the middle square; pad: between black bars."""
    training: Annotated[PretrainConfig, tyro.conf.arg(name="")] = field(
        default_factory=lambda: PretrainConfig(minutes=10)
    )


def main(config: Config) -> None:
    """Pretrain and write the encoder."""
    from foresight.core.home import foresight_home
    from foresight.data.dataset import Dataset
    from foresight.perception.export import check_square, save_encoder
    from foresight.perception.pretraining.frames import FrameBank
    from foresight.perception.pretraining.train import pretrain

    datasets = [Dataset.open(path) for path in config.datasets]
    frames = foresight_home() / "frames"
    bank = FrameBank(datasets, frames, config.camera, config.size, config.fit)
    check_square(*bank.size)
    encoder = pretrain(bank, config.training, config.out)
    if int(os.environ.get("RANK", "0")) == 0:
        save_encoder(config.out, encoder.state_dict(), encoder.config)
        print(f"{config.out}: an encoder for frames of {bank.size[0]}x{bank.size[1]} pixels")

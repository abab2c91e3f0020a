"""``foresight pretrain``: make eyes of your own from recorded episodes."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import tyro

from foresight.perception.pretraining.config import PretrainConfig


@dataclass(frozen=True)
class Config:
    """Pretrain an encoder on recorded episodes with V-JEPA 2's masked objective; resumes.

    The result is a folder that every --encoder takes. On several devices or cores run it as
    `torchrun --nproc-per-node 2 -m foresight pretrain ...`.
    """

    datasets: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """Folders of episodes with frames of one size."""
    out: Path
    """Folder of the encoder; the state of an unfinished training lies in it too."""
    training: Annotated[PretrainConfig, tyro.conf.arg(name="")] = field(
        default_factory=lambda: PretrainConfig(minutes=10)
    )


def main(config: Config) -> None:
    """Pretrain and write the encoder."""
    from foresight.core.home import foresight_home
    from foresight.data.store import EpisodeStore
    from foresight.perception.export import check_square, save_encoder
    from foresight.perception.pretraining.frames import FrameBank
    from foresight.perception.pretraining.train import pretrain

    stores = [EpisodeStore.open(path) for path in config.datasets]
    bank = FrameBank(stores, foresight_home() / "frames")
    check_square(*bank.size)
    encoder = pretrain(bank, config.training, config.out)
    if int(os.environ.get("RANK", "0")) == 0:
        save_encoder(config.out, encoder.state_dict(), encoder.config)
        print(f"{config.out}: an encoder for frames of {bank.size[0]}x{bank.size[1]} pixels")

"""What ``foresight imagine`` does: a model's open-loop imagination as pictures, and as numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor

from foresight.core.errors import ForesightError
from foresight.core.files import file_fingerprint, fingerprint, write_bytes
from foresight.core.progress import track as progress
from foresight.data.clip import fit_frames
from foresight.data.dataset import Dataset
from foresight.data.windows import split_episodes
from foresight.diagnostics.drift import Track, window_starts
from foresight.evaluation.results import Result, make_result
from foresight.evaluation.statistics import Row
from foresight.pipelines.tracks import DatasetTracks, LookedAt
from foresight.report.videos import encode_mp4, side_by_side, upscale
from foresight.training.decoding import DecoderConfig, Seen, learn_decoder
from foresight.worldmodel.dynamics.rollout import context_of, mean_rollout
from foresight.worldmodel.heads.decoder import as_fractions
from foresight.worldmodel.model import WorldModel

SHARE = 0.2
"""Of the episodes, held out where the model was trained on others."""
MOST = 20_000
"""Pictures that the decoder learns from."""


@dataclass(frozen=True)
class ImagineConfig:
    """What is imagined, and how it is made visible."""

    decoder: DecoderConfig = field(default_factory=DecoderConfig)
    horizons: tuple[int, ...] = (1, 5, 10, 20)
    """Decisions ahead."""
    episodes: int = 40
    """Most episodes that the decoder learns from."""
    tests: int = 10
    """Most held-out episodes that are imagined."""
    starts: int = 8
    """Beginnings in each of them."""
    encoder: str | None = None
    """Encoder; the one that the model names if not given."""
    readout: str | None = None
    """Readout; the one that the model was trained on if not given."""
    device: str = "cpu"
    """Where the encoder runs and the decoder is learned."""


def imagine(folder: Path, source: Path, config: ImagineConfig, out: Path) -> Result:
    """Learn a decoder, imagine held-out episodes under their own actions, write film and numbers.

    Args:
        folder: of a world model.
        source: of a dataset that it can see.
        config: what is imagined.
        out: gets ``imagine.json``, ``imagine.mp4`` (real, decoded, imagined side by side) and
            ``model/``, the checkpoint with its decoder; the original stays as it is.

    Returns:
        Rows ``picture-error``: mean square error in units of the pictures' variance, so that 1 is
        what the mean picture gives. Conditions: none, what was imagined; ``decoded``, decoded from
        the true state, which no imagination can beat but by luck; ``persistence``, the picture of
        the beginning; ``mean``; ``shuffled-actions``, imagined with another beginning's actions.

    Raises:
        ForesightError: too few or too short episodes, or a model or dataset that does not fit.
    """
    looked = LookedAt(folder, config.encoder, config.readout, config.device)
    store = Dataset.open(source)
    tracks = DatasetTracks(looked, store, source)
    learning, tests = _split(tracks, config)
    limit = context_of(looked.model.dynamics)
    horizons = [h for h in sorted(set(config.horizons)) if 1 <= h <= (limit or h)]
    side = config.decoder.side
    kept = max(1, len(learning) // 5)
    seen = _looked(tracks, learning[:-kept] or learning, side, MOST)
    held_out = _looked(tracks, learning[-kept:], side, MOST // 5)
    of = fingerprint(
        {
            "weights": file_fingerprint(folder / "model.safetensors"),
            "data": store.fingerprint,
            "episodes": learning,
            "decoder": config.decoder,
        }
    )
    device = str(looked.encoder.device)
    model = learn_decoder(looked.model, seen, held_out, config.decoder, out / "decoder", of, device)
    model.save(out / "model")
    rows: list[Row] = []
    for number, episode in enumerate(progress(tests, "imagine")):
        one = tracks.track(episode)
        pictures = _pictures(tracks, episode, side)
        if horizons and len(pictures) > horizons[0]:
            found = _errors(model, one, pictures, horizons, config.starts)
            rows += [{**row, "episode": episode} for row in found]
        if number == 0:
            write_bytes(out / "imagine.mp4", _film(model, one, pictures, limit, store.spec.fps))
    if not rows:
        raise ForesightError(
            f"No held-out episode of {source} is long enough for the horizons "
            f"{list(config.horizons)}: ask for shorter ones."
        )
    settings = {"model": str(folder), "source": str(source), "imagine": config}
    result = make_result("imagine", {**settings, "notes": tracks.notes}, "none", rows)
    result.save(out / "imagine.json")
    return result


def _split(tracks: DatasetTracks, config: ImagineConfig) -> tuple[list[int], list[int]]:
    """Episodes for the decoder, and episodes that neither it nor, if known, the model has seen."""
    learning, tests = tracks.training, tracks.held_out
    if not learning:
        if len(tests) < 2:
            raise ForesightError(
                f"{len(tests)} episodes are too few: one is imagined that the decoder has not "
                "seen, give at least two."
            )
        parts = split_episodes(len(tests), SHARE, 0)
        learning, tests = ([tests[i] for i in part] for part in parts)
    every = max(1, len(learning) // config.episodes)
    return learning[::every][: config.episodes], tests[: config.tests]


def _pictures(tracks: DatasetTracks, episode: int, side: int) -> UInt8[Tensor, "T C S S 3"]:
    """Small pictures of all cameras, the part of them that the encoder sees."""
    seen = [fit_frames(tracks.frames(episode, name), side) for name in tracks.cameras]
    return torch.from_numpy(np.stack(seen, axis=1))


def _looked(tracks: DatasetTracks, episodes: Sequence[int], side: int, most: int) -> Seen:
    """States and pictures of some episodes, thinned evenly to ``most``."""
    steps = sum(tracks.store.lengths[i] // tracks.every for i in episodes)
    every = -(-steps // most) or 1
    states, pictures = [], []
    for episode in progress(episodes, "look"):
        states.append(tracks.track(episode).inputs[::every])
        pictures.append(_pictures(tracks, episode, side)[::every])
    return Seen(torch.cat(states), torch.cat(pictures))


@torch.inference_mode()
def _errors(
    model: WorldModel,
    one: Track,
    pictures: UInt8[Tensor, "T C S S 3"],
    horizons: Sequence[int],
    starts: int,
) -> list[Row]:
    """Means over the beginnings in one episode."""
    decoder = model.decoder
    assert decoder is not None
    horizons = [h for h in horizons if h < len(pictures)]
    length = horizons[-1]
    begins = window_starts(len(pictures), length, starts)
    actions = one.controls[begins[:, None] + torch.arange(length)]
    z = one.inputs[begins]
    imagined = mean_rollout(model.dynamics, z, actions)
    # Another time's actions: those of the beginning half of the episode away.
    other = mean_rollout(model.dynamics, z, actions.roll(max(1, len(begins) // 2), 0))
    rows: list[Row] = []
    for horizon in horizons:
        truth = as_fractions(pictures[begins + horizon])
        guesses = {
            None: decoder(imagined[:, horizon]),
            "decoded": decoder(one.inputs[begins + horizon]),
            "persistence": as_fractions(pictures[begins]),
            "mean": decoder.mean.expand_as(truth),
            "shuffled-actions": decoder(other[:, horizon]),
        }
        if len(begins) < 2:
            del guesses["shuffled-actions"]
        for condition, guess in guesses.items():
            error = float(((guess - truth) / decoder.deviation).square().mean())
            row = {"measure": "picture-error", "task": f"h{horizon}", "value": error}
            rows.append({**row, "condition": condition})
    return rows


@torch.inference_mode()
def _film(
    model: WorldModel,
    one: Track,
    pictures: UInt8[Tensor, "T C S S 3"],
    limit: int | None,
    fps: float,
) -> bytes:
    """One episode: real, decoded from what was seen, imagined from its first picture on."""
    assert model.decoder is not None
    steps = min(len(pictures) - 1, limit or len(pictures))
    imagined = mean_rollout(model.dynamics, one.inputs[:1], one.controls[None, :steps])[0]
    shown: list[UInt8[Tensor, "T C S S 3"]] = [
        pictures[: steps + 1],
        model.decoder.show(one.inputs[: steps + 1]),
        model.decoder.show(imagined),
    ]
    cameras = range(pictures.shape[1])
    clips = [upscale(part[:, c].numpy(), 192) for c in cameras for part in shown]
    return encode_mp4(side_by_side(clips), fps=max(1.0, min(fps, 12)))

"""Chunks of actions on paper: a panel for each joint, and films of what the actions look at."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageDraw

from foresight.diagnostics.chunks import Along, executed
from foresight.report.plots import FREE_COLOURS, INK, figure_of, plot_style, svg_of
from foresight.report.videos import GAP, side_by_side, upscale

SHOWN, POLICY, BLIND, REPLAY = "shown", "policy", "blind", "nearest replay"
SIDE = 192
"""Least pixels of a picture in a film."""
LINE = 14
"""Pixels of a line of text."""
CUT = 0.998
"""Share of all places and steps whose heat is not cut."""
HOT = np.array([255, 80, 0], np.float32)


def chunk_panels(along: Along, names: Sequence[str], execute: int) -> str:
    """Decided chunks against shown actions over time, one panel for each number of the action.

    Of each chunk that acting would decide, the executed actions are drawn strongly and the rest
    faintly; the blind policy and the nearest replay stand beside.

    Args:
        along: a policy along an episode.
        names: of the numbers of an action.
        execute: actions of a chunk that are executed.

    Returns:
        An ``<svg>`` element.
    """
    columns = min(2, len(names))
    down = -(-len(names) // columns)
    with plot_style():
        figure = figure_of(4.6 * columns, 2.1 * down + 0.4)
        for joint, name in enumerate(names):
            axes = figure.add_subplot(down, columns, joint + 1)
            _draw_joint(axes, along, joint, execute)
            axes.set_title(name)
            if joint >= len(names) - columns:
                axes.set_xlabel("step")
        handles, labels = axes.get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper left", ncols=len(labels))
        return svg_of(figure)


def _draw_joint(axes: Any, along: Along, joint: int, execute: int) -> None:
    policy, blind, replay = FREE_COLOURS[:3]
    steps, length = np.arange(len(along.shown)), along.chunks.shape[1]
    axes.plot(along.replay[:, joint], color=replay, lw=1, ls=":", label=REPLAY)
    if along.blind is not None:
        told = executed(along.blind, execute)[:, joint]
        axes.plot(told, color=blind, lw=1, ls="--", label=BLIND)
    axes.plot(steps, along.shown[:, joint], color=INK, lw=2.2, alpha=0.45, label=SHOWN)
    for start in range(0, len(steps), execute):
        reach = np.arange(start, min(start + length, len(steps)))
        chunk = along.chunks[start, : len(reach), joint]
        axes.plot(reach, chunk, color=policy, lw=1, alpha=0.35)
        # One step more than is executed, so that the lines of neighbouring chunks meet.
        label = POLICY if start == 0 else None
        axes.plot(reach[: execute + 1], chunk[: execute + 1], color=policy, lw=1.6, label=label)
        axes.plot(start, chunk[0], "o", color=policy, ms=2.5)


def gaze_film(along: Along) -> UInt8[np.ndarray, "T h w 3"]:
    """What the actions look at at every step: cameras side by side, heat below the pictures.

    Pictures are those of the encoder, with its proportions. Heat is a token's share of attention
    or occlusion for its area, on one scale for the whole film and all cameras; above each camera
    stands its share, below them that of all that is no picture.
    """
    # Of a place of the finest map: maps of cameras may differ in how fine they are.
    density = {name: _density(found) for name, found in along.maps.items()}
    # A few tokens of a few steps may be far above the rest: they are cut, so that the rest shows.
    most = max(float(np.quantile(found, CUT)) for found in density.values()) or 1.0
    columns = [
        _camera_film(along.pictures[name], np.minimum(density[name] / most, 1), name, along.shares)
        for name in along.maps
    ]
    film = side_by_side(columns)
    told = [name for name in along.shares if not name.startswith("camera/")]
    texts = [
        f"step {t}  " + "  ".join(f"{name} {along.shares[name][t]:.0%}" for name in told)
        for t in range(len(film))
    ]
    return np.concatenate([film, _lines(texts, film.shape[2])], axis=1)


def _density(maps: np.ndarray) -> np.ndarray:
    """Shares for each unit of the picture's area."""
    return maps * maps.shape[1] * maps.shape[2]


def _camera_film(
    pictures: np.ndarray, heat: np.ndarray, name: str, shares: dict[str, np.ndarray]
) -> np.ndarray:
    clip = upscale(pictures, SIDE)
    height, width = clip.shape[1:3]
    rows = np.arange(height) * heat.shape[1] // height
    columns = np.arange(width) * heat.shape[2] // width
    share = heat[:, rows][:, :, columns, None]
    grey = clip.mean(axis=3, keepdims=True) * 0.8
    warm = ((1 - 0.85 * share) * grey + 0.85 * share * HOT).round().astype(np.uint8)
    head = _lines([f"{name} {value:.0%}" for value in shares[f"camera/{name}"]], width)
    gap = np.full((len(clip), GAP, width, 3), 127, np.uint8)
    return np.concatenate([head, clip, gap, warm], axis=1)


def _lines(texts: Sequence[str], width: int) -> UInt8[np.ndarray, "T l w 3"]:
    """A line of text for every frame, light on dark."""
    found = np.empty((len(texts), LINE, width, 3), np.uint8)
    for index, text in enumerate(texts):
        line = Image.new("RGB", (width, LINE), (24, 25, 27))
        ImageDraw.Draw(line).text((3, 1), text, fill=(235, 235, 235))
        found[index] = np.asarray(line)
    return found


def contact_sheet(frames: UInt8[np.ndarray, "T h w 3"], most: int = 8) -> Image.Image:
    """Some frames of a film as one picture, evenly spread, four in a row."""
    some = frames[np.linspace(0, len(frames) - 1, min(most, len(frames))).round().astype(int)]
    across = min(4, len(some))
    down = -(-len(some) // across)
    height, width = some.shape[1] + GAP, some.shape[2] + GAP
    sheet = Image.new("RGB", (across * width - GAP, down * height - GAP), (127, 127, 127))
    for index, frame in enumerate(some):
        sheet.paste(Image.fromarray(frame), (index % across * width, index // across * height))
    return sheet

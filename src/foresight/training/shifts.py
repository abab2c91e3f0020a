"""Shifted pictures: what a frozen encoder sees when the camera had stood a little to the side.

Shifts of a few pixels are the augmentation that lets values learn from pixels (DrQ; Kostrikov et
al. 2021, arXiv 2004.13649); before a frozen encoder, too (PIE-G; Yuan et al. 2022, arXiv
2212.08860). An episode keeps its shifts, so what moves in it moves alike in every view, and each
view is encoded once.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Shaped, UInt8
from torch import Tensor

from foresight.perception.preprocess import moved

REACH = 4 / 84
"""Largest shift in either direction, as a share of the picture's height; DrQ's."""


def shift_of(seed: int, view: int, size: int) -> tuple[int, int]:
    """Pixels down and to the right by which a view of an episode is shifted; view 0 is not."""
    if view == 0:
        return 0, 0
    most = max(1, round(REACH * size))
    down, right = np.random.default_rng([seed, view]).integers(-most, most + 1, 2)
    return int(down), int(right)


def all_views(
    frames: Sequence[UInt8[np.ndarray, "H W 3"]], seeds: Sequence[int], views: int
) -> UInt8[np.ndarray, "N H W 3"]:
    """One picture of each scene as it is, then all of them shifted, ``views`` times.

    Args:
        frames: of the scenes.
        seeds: of their episodes.
        views: shifted ones of each; 0 gives the pictures as they are.
    """
    return np.stack(
        [
            moved(frame, *shift_of(seed, view, frame.shape[0])) if view else frame
            for view in range(views + 1)
            for frame, seed in zip(frames, seeds, strict=True)
        ]
    )


def by_scene(
    seen: Shaped[Tensor, "N T *rest"], lengths: Sequence[int], views: int
) -> list[Shaped[Tensor, "*views t *rest"]]:
    """What was seen of the pictures that `all_views` gave, scene by scene.

    Args:
        seen: at every step.
        lengths: of the scenes' episodes; what was seen after that is left out.
        views: shifted ones; with some, a scene's views lie side by side.
    """
    apart = seen.unflatten(0, (views + 1, len(lengths)))
    found = [apart[:, scene, :length] for scene, length in enumerate(lengths)]
    return found if views else [each[0] for each in found]

"""Films of episodes, drawn apart from what the policy sees."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import UInt8

from foresight.core.errors import ForesightError

Picture = UInt8[np.ndarray, "H W 3"]


@dataclass(frozen=True)
class Film:
    """Which episodes are filmed, and how."""

    seeds: tuple[int, ...]
    """Of the episodes."""
    size: int = 192
    """Height and width in pixels, where the environment can choose."""
    quality: str = "full"
    """How carefully, where the environment can choose."""


def open_camera(env: Any, film: Film, closing: ExitStack) -> Callable[[], Picture]:
    """What draws the present moment of an environment.

    An environment that has ``film_camera(size, quality)`` gives a drawer (with ``close()``) beside
    its own cameras; of others ``render()`` is asked.

    Args:
        env: a Gymnasium environment.
        film: size and quality.
        closing: frees the camera in the end.

    Raises:
        ForesightError: the environment cannot draw itself.
    """
    if env.has_wrapper_attr("film_camera"):
        camera = env.get_wrapper_attr("film_camera")(film.size, film.quality)
        closing.callback(camera.close)
        return camera  # type: ignore[no-any-return]
    if env.render_mode == "rgb_array":
        return lambda: np.array(env.render(), np.uint8)
    raise ForesightError(
        f"{type(env.unwrapped).__name__} cannot be filmed: it has neither film_camera(size, "
        'quality) nor the render mode "rgb_array".'
    )

"""What can be told of an environment's pictures without knowing what they should show."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from foresight.core.observation import Observation
from foresight.envs.registry import EnvConfig

CLEARLY = 0.1
"""A changed picture must be this much nearer to ``render()`` before it is called changed."""


@dataclass(frozen=True)
class Seen:
    """What is kept of an observation: large pictures of whole episodes would fill the memory.

    Attributes:
        digests: camera name to a hash of its picture.
        colours: camera name to the colour of a picture that has only one.
        state: a copy.
    """

    digests: dict[str, bytes]
    colours: dict[str, tuple[int, ...]]
    state: np.ndarray

    @classmethod
    def of(cls, raw: dict[str, Any]) -> Seen:
        """Keep an observation of an environment of ours."""
        found = Observation.of(raw)
        digests, colours = {}, {}
        for name, picture in found.images.items():
            digests[name] = hashlib.blake2b(picture.tobytes(), digest_size=16).digest()
            if (picture == picture[0, 0]).all():
                colours[name] = tuple(map(int, picture[0, 0]))
        return cls(digests, colours, found.state.copy())

    def difference(self, other: Seen) -> str:
        """What differs from another; empty for nothing."""
        for name, digest in self.digests.items():
            if digest != other.digests.get(name):
                return f"the picture of camera {name!r}"
        return "" if np.array_equal(self.state, other.state) else "the state"


def picture_findings(episodes: Sequence[Sequence[Seen]]) -> Iterator[tuple[bool, str]]:
    """Cameras that are dark, or that stand still.

    Args:
        episodes: what was seen in each.

    Yields:
        Whether it is a fault, and the sentence.
    """
    for name in episodes[0][0].digests:
        every = [seen for episode in episodes for seen in episode]
        if all(name in seen.colours for seen in every):
            colour = every[0].colours[name]
            words = f"Camera {name!r} shows nothing but one colour {colour}: check that it is on."
            yield True, words
        elif len({seen.digests[name] for seen in every}) == 1:
            yield True, f"Camera {name!r} never changes: check that it is read at every step."
        elif any(len({seen.digests[name] for seen in episode}) == 1 for episode in episodes):
            yield False, f"Camera {name!r} shows one picture for a whole episode."


def upside_down(config: EnvConfig, seed: int) -> Iterator[str]:
    """Cameras that show what ``render()`` shows, but turned over, mirrored or with blue for red.

    Args:
        config: of the environment. One that takes no ``render_mode`` tells nothing.
        seed: of the moment that is compared.
    """
    told = dict(config.options)
    told.setdefault("render_mode", "rgb_array")
    try:
        env = replace(config, options=tuple(sorted(told.items()))).make()
    except Exception:  # it takes no render mode, or cannot render here
        return
    try:
        seen, _ = env.reset(seed=seed)
        shown: Any = env.render()
    except Exception:
        return
    finally:
        env.close()
    for name, picture in Observation.of(seen).images.items():
        if isinstance(shown, np.ndarray) and shown.shape == picture.shape:
            words = _turned(picture, shown)
            if words:
                yield f"Camera {name!r} is {words} against render(): turn its pictures round."


def _turned(picture: np.ndarray, shown: np.ndarray) -> str:
    """How a picture differs from the other; empty where it is the same or quite another."""

    def distance(other: np.ndarray) -> float:
        return float(np.abs(other.astype(int) - shown).mean())

    changes = {
        "upside down": picture[::-1],
        "mirrored": picture[:, ::-1],
        "turned by half a turn": picture[::-1, ::-1],
        "with blue in the place of red": picture[..., ::-1],
    }
    nearest = min(changes, key=lambda words: distance(changes[words]))
    return nearest if distance(changes[nearest]) < CLEARLY * distance(picture) else ""

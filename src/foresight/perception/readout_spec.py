"""Readouts by name and settings: ``tubelet``, ``last:grid=4,window=4``, ``tubelet:zoom=.5,.5``."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from foresight.core.errors import ForesightError
from foresight.perception.readout import READOUTS, Readout
from foresight.perception.zoom import Zoom

# The pool that is no preset by its own name.
ALIASES = {"grid": "tubelet"}
NUMBERS = ("window", "grid", "stride")
SETTINGS = (*NUMBERS, "tubelets", "zoom")


def parse_readout(spec: str) -> Readout:
    """The readout that a specification names.

    Args:
        spec: a preset (`READOUTS`) or a pool, then, if wanted, a colon and settings
            ``name=value`` with commas between them: ``window``, ``grid``, ``stride`` (whole
            numbers), ``tubelets`` (``all`` or ``last``) and ``zoom`` (``x,y`` or ``x,y,factor``,
            the centre as a share of the frame).

    Raises:
        ForesightError: an unknown name or setting, or a value that does not fit.
    """
    name, _, rest = spec.strip().partition(":")
    preset = READOUTS.get(ALIASES.get(name, name))
    if preset is None:
        raise ForesightError(
            f"Unknown readout {name!r}: choose one of {', '.join(READOUTS)}, if wanted with "
            "settings as in last:grid=4,window=4."
        )
    changes: dict[str, Any] = {}
    for key, words in _settings(spec, rest).items():
        if key == "zoom":
            changes[key] = _zoom(spec, words)
        elif len(words) != 1:
            raise _bad(spec, f"{key} takes one value")
        else:
            changes[key] = _number(spec, key, words[0]) if key in NUMBERS else words[0]
    return replace(preset, **changes)


def _settings(spec: str, rest: str) -> dict[str, list[str]]:
    """Name to its values; a part without ``=`` is one more value of the name before it."""
    found: dict[str, list[str]] = {}
    last = None
    for part in rest.split(",") if rest else []:
        key, equals, value = part.partition("=")
        if equals:
            last = key.strip()
            if last not in SETTINGS:
                raise _bad(spec, f"{last!r} is not one of {', '.join(SETTINGS)}")
            if last in found:
                raise _bad(spec, f"{last} is given twice")
            found[last] = [value.strip()]
        elif last is None:
            raise _bad(spec, f"{part!r} is no setting")
        else:
            found[last].append(part.strip())
    return found


def _number(spec: str, key: str, word: str) -> int:
    try:
        return int(word)
    except ValueError:
        raise _bad(spec, f"{key}={word} is no whole number") from None


def _zoom(spec: str, words: list[str]) -> Zoom:
    try:
        x, y, *factor = words
        return Zoom(float(x), float(y), *(int(word) for word in factor))
    except (ValueError, TypeError):
        raise _bad(spec, f"zoom={','.join(words)} is not x,y or x,y,factor") from None


def _bad(spec: str, why: str) -> ForesightError:
    return ForesightError(
        f"The readout {spec!r} cannot be understood ({why}): write it like last:grid=4,window=4 or "
        "tubelet:zoom=.5,.5."
    )

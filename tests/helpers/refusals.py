"""Encoders that are refused, and how."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import foresight
from foresight.core.errors import ForesightError


def refused(path: Path | str, *words: str, **options: Any) -> str:
    """The one sentence of the refusal, which holds all ``words``."""
    with pytest.raises(ForesightError) as caught:
        foresight.load_encoder(path, **options)
    sentence = str(caught.value)
    assert "\n" not in sentence and sentence.endswith(".")
    for word in words:
        assert word in sentence, sentence
    return sentence

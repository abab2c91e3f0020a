"""Settings that cannot work are refused in one sentence, before anything runs."""

from __future__ import annotations

import pytest

from foresight.core.errors import ForesightError
from foresight.perception.pretraining.config import PredictorConfig, PretrainConfig, Weights


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"updates": 0}, "length 0"),
        ({"minutes": -1.0}, r"length -1\.0"),
        ({"frames": ()}, "even numbers"),
        ({"frames": (4, 3)}, "even numbers"),
        ({"strides": ()}, "Strides"),
        ({"strides": (1, 0)}, "Strides"),
        ({"batch": 0}, "batch 0"),
        ({"save_every": 0}, "save_every 0"),
        ({"log_every": 0}, "log_every 0"),
        ({"probe_every": -1}, "probe_every -1"),
        ({"shift": -1}, "shift -1"),
        ({"warmup": 1.5}, r"warm-up of 1\.5"),
        ({"momentum": (0.9, 1.1)}, "momentum"),
        ({"heads": 5}, "5 heads over 192"),
        ({"heads": 0}, "0 heads"),
        ({"dim": 8, "heads": 2}, "2 heads over 8"),
        ({"masks": ("short", "tall")}, "Unknown mask 'tall'"),
        ({"masks": ()}, "No mask"),
    ],
)
def test_bad_settings_are_refused(changes, said):
    with pytest.raises(ForesightError, match=said):
        PretrainConfig(**changes)


@pytest.mark.parametrize(
    "changes", [{"dim": 97}, {"heads": 0}, {"dim": 15, "heads": 1}, {"depth": 0}]
)
def test_a_bad_predictor_is_refused(changes):
    with pytest.raises(ForesightError, match=r"refused|do not fit"):
        PredictorConfig(**changes)


@pytest.mark.parametrize("values", [(0, 0, 0), (1, -1, 0)])
def test_bad_weights_are_refused(values):
    with pytest.raises(ForesightError, match="Loss weights"):
        Weights(*values)

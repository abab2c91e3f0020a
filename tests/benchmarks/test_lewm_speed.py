"""The sides of the measurement imagine the same; a peer that cannot be run is one sentence."""

from pathlib import Path

import pytest

from benchmarks.lewm_speed import (
    LeWMSpeedConfig,
    _difference,
    peer_seconds,
    random_model,
    update_seconds,
)
from foresight.core.errors import ForesightError
from foresight.planning.lewm import LeWMPlan


def test_both_sides_imagine_the_same():
    assert 0 <= _difference(random_model("mini")) < 1e-5


def test_a_peer_that_is_not_there_is_one_sentence(tmp_path):
    with pytest.raises(ForesightError, match="install stable-worldmodel"):
        peer_seconds(Path(tmp_path / "python"), random_model("mini"), LeWMPlan(), 4)


def test_a_peer_is_believed_only_with_a_network_of_the_same_size(tmp_path):
    model = random_model("mini")
    python = tmp_path / "python"

    def says(parameters: int) -> None:
        told = f'{{"seconds": 2.5, "update_seconds": 0.5, "parameters": {parameters}}}'
        python.write_text(f"#!/bin/sh\necho '{told}'\n")
        python.chmod(0o755)

    own = sum(p.numel() for p in model.parameters())
    says(own)
    assert peer_seconds(python, model, LeWMPlan(), 4) == (2.5, 0.5)
    says(own + 1)
    with pytest.raises(ForesightError, match="parameters"):
        peer_seconds(python, model, LeWMPlan(), 4)


def test_an_update_takes_time():
    assert update_seconds(LeWMSpeedConfig(size="mini", clips=2)) > 0

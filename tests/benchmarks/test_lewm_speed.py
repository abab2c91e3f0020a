"""The sides of the measurement imagine the same; a peer that cannot be run is one sentence."""

from pathlib import Path

import pytest

from benchmarks.lewm_speed import _difference, peer_seconds, random_model
from foresight.core.errors import ForesightError
from foresight.planning.lewm import LeWMPlan


def test_both_sides_imagine_the_same():
    assert 0 <= _difference(random_model("mini")) < 1e-5


def test_a_peer_that_is_not_there_is_one_sentence(tmp_path):
    with pytest.raises(ForesightError, match="install stable-worldmodel"):
        peer_seconds(Path(tmp_path / "python"), random_model("mini"), LeWMPlan())

"""Whether Spot's model is here: `make test` fetches it, where there is a network."""

from __future__ import annotations

import pytest

from foresight.envs.spot.assets import is_ready

needs_spot = pytest.mark.skipif(
    not is_ready(), reason="Spot's model is not here: run `foresight envs setup spot`"
)

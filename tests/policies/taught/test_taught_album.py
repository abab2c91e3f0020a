from __future__ import annotations

import numpy as np
import pytest
import torch
from taught_worlds import line_heads

from foresight.core.errors import ForesightError
from foresight.policies.taught.album import Album


def test_the_nearest_frame_of_all_parts_is_shown():
    album = Album(line_heads().space)
    frames = np.arange(5, dtype=np.uint8)[:, None, None, None] * np.ones((1, 2, 2, 3), np.uint8)
    z = torch.zeros(5, 3)
    z[:, 0] = torch.tensor([0.0, 1.0, 2.0, 3.0, 4.0])
    with pytest.raises(ForesightError, match="album is empty"):
        album.nearest(z[0])
    album.add(z[:2], frames[:2])
    album.add(z[2:], frames[2:])
    for position, wanted in ((-3.0, 0), (1.2, 1), (2.6, 3), (9.0, 4)):
        assert album.nearest(torch.tensor([position, 7.0, 7.0]))[0, 0, 0] == wanted
    with pytest.raises(ForesightError, match="2 frames do not fit 3"):
        album.add(z[:3], frames[:2])

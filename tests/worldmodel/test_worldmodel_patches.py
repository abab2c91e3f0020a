from __future__ import annotations

import pytest
import torch

from foresight.core.errors import ForesightError
from foresight.worldmodel.patches import PatchPCA


def tokens(count=300, places=6, dim=10, rank=3, seed=0):
    """Tokens that vary in ``rank`` directions about a scene of their own at each place."""
    random = torch.Generator().manual_seed(seed)
    scene = 5 * torch.randn(places, dim, generator=random)
    axes = torch.linalg.qr(torch.randn(dim, rank, generator=random)).Q
    scores = torch.randn(count, places, rank, generator=random) * torch.tensor([3.0, 1.0, 0.2])
    return scene + scores @ axes.T, axes, scores


def test_the_axes_keep_what_varies_and_drop_the_scene():
    found, _, scores = tokens()
    places = PatchPCA(6, 10, 3)
    assert places.fit(found) == pytest.approx(1.0, abs=1e-4)
    out = places(found)
    assert out.shape == (300, 18)
    assert float(out.square().mean()) == pytest.approx(1.0, rel=1e-3)
    torch.testing.assert_close(out.mean(0), torch.zeros(18), atol=1e-4, rtol=0)
    # Every score can be read off its own place linearly.
    own = out.view(300, 6, 3)
    for place in range(6):
        fit = torch.linalg.lstsq(own[:, place], scores[:, place] - scores[:, place].mean(0))
        left = own[:, place] @ fit.solution - (scores[:, place] - scores[:, place].mean(0))
        assert float(left.abs().max()) < 1e-3


def test_small_motion_is_lifted_but_keeps_its_rank():
    found, _, _ = tokens()
    places = PatchPCA(6, 10, 3)
    places.fit(found)
    spread = places(found).view(300, 6, 3).std((0, 1))
    assert spread[0] > spread[1] > spread[2]
    assert float(spread[0] / spread[2]) == pytest.approx((3.0 / 0.2) ** 0.5, rel=0.2)


def test_fewer_axes_say_how_much_they_keep():
    found, _, _ = tokens()
    assert 0.85 < PatchPCA(6, 10, 1).fit(found) < 0.95


def test_bad_input_is_refused_in_a_sentence():
    with pytest.raises(ForesightError, match="kept as 11 numbers"):
        PatchPCA(6, 10, 11)
    with pytest.raises(ForesightError, match="do not fit 6 patches of 10 channels"):
        PatchPCA(6, 10, 3).fit(torch.zeros(4, 5, 10))
    with pytest.raises(ForesightError, match="never change"):
        PatchPCA(6, 10, 3).fit(torch.ones(4, 6, 10))

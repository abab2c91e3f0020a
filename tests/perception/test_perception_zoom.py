from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from foresight.core.errors import ForesightError
from foresight.perception.readout import READOUTS, Readout
from foresight.perception.readout_spec import parse_readout
from foresight.perception.stream import FeatureStream
from foresight.perception.zoom import Zoom, area_average


@settings(max_examples=20, deadline=None)
@given(st.integers(2, 5), st.integers(1, 4), st.integers(0, 9))
def test_area_average_is_the_rounded_mean(factor, size, seed):
    rng = np.random.default_rng(seed)
    frames = rng.integers(0, 256, (2, factor * size, factor * size, 3), np.uint8)
    squares = frames.reshape(2, size, factor, size, factor, 3).astype(float).mean(axis=(2, 4))
    expected = np.floor(squares + 0.5).astype(np.uint8)
    assert np.array_equal(area_average(torch.from_numpy(frames), factor).numpy(), expected)


@pytest.mark.parametrize(
    ("zoom", "row", "column"),
    [(Zoom(), 4, 4), (Zoom(0, 0), 0, 0), (Zoom(1, 0), 0, 8), (Zoom(0.3, 0.6), 6, 1)],
)
def test_views_are_the_whole_and_a_sharp_part(zoom, row, column):
    frames = torch.randint(0, 256, (3, 16, 16, 3), dtype=torch.uint8)
    whole, part = zoom.views(frames, 8)
    assert torch.equal(whole, area_average(frames, 2))
    assert torch.equal(part, frames[:, row : row + 8, column : column + 8])


@pytest.mark.parametrize("spec", ["tubelet:zoom=.2,.7", "difference:zoom=.5,.5,grid=2"])
def test_zoomed_features_are_those_of_both_views(tiny_encoder, clip, spec):
    readout = parse_readout(spec)
    frames = clip(batch=1, time=7, size=64)[0]
    stream = FeatureStream(tiny_encoder, readout)
    features = stream.episode(frames)
    assert features.shape == (7, stream.dim)
    plain = Readout(readout.window, readout.pool, readout.grid)
    views = readout.zoom.views(torch.from_numpy(frames), 32).numpy()
    alone = [FeatureStream(tiny_encoder, plain).episode(view) for view in views]
    np.testing.assert_allclose(features, np.concatenate(alone, axis=1), rtol=1e-4, atol=1e-4)
    assert np.array_equal(np.stack([stream.push(frame) for frame in frames]), features)


def test_frame_size(tiny_encoder):
    assert READOUTS["tubelet"].frame_size(tiny_encoder) == 32
    assert parse_readout("tubelet:zoom=.5,.5,3").frame_size(tiny_encoder) == 96


def test_refusals(tiny_encoder, clip):
    stream = FeatureStream(tiny_encoder, parse_readout("tubelet:zoom=.5,.5"))
    with pytest.raises(ForesightError, match=r"48x48 pixels are too small .* at least 64x64"):
        stream.episode(clip(size=48)[0])
    with pytest.raises(ForesightError, match="float32 cannot be encoded: expected uint8"):
        stream.episode(clip(size=64)[0].astype(np.float32))
    with pytest.raises(ForesightError, match="32x32 pixels"):
        stream.push(clip()[0][0])
    with pytest.raises(ForesightError, match=r"dtype torch\.int16"):
        Zoom().views(torch.zeros(1, 64, 64, 3, dtype=torch.int16), 32)

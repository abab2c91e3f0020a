from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from foresight.data.stats import NAMES, QUANTILES, histogram, image_stats, numeric_stats


@settings(max_examples=30, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.integers(1, 6),
    st.integers(1, 9),
    st.integers(1, 9),
    st.sampled_from([1, 5, 256]),
)
def test_image_stats_equal_those_of_all_pixels(seed, length, height, width, top):
    rng = np.random.default_rng(seed)
    frames = rng.integers(0, top, (length, height, width, 3), np.uint8)
    stats = image_stats(histogram(frames), length)
    pixels = frames.reshape(-1, 3) / 255
    expected = {
        "min": pixels.min(0),
        "max": pixels.max(0),
        "mean": pixels.mean(0),
        "std": pixels.std(0),
        **{name: np.quantile(pixels, share, axis=0) for name, share in QUANTILES.items()},
    }
    assert set(stats) == set(NAMES)
    assert stats["count"] == [length]
    for name, values in expected.items():
        assert np.shape(stats[name]) == (3, 1, 1)
        np.testing.assert_allclose(np.ravel(stats[name]), values, atol=1e-12)


def test_histograms_of_episodes_add_up():
    frames = np.random.default_rng(0).integers(0, 256, (6, 8, 8, 3), np.uint8)
    assert np.array_equal(histogram(frames), histogram(frames[:2]) + histogram(frames[2:]))


def test_numeric_stats_keep_columns_apart():
    rng = np.random.default_rng(0)
    wide = rng.normal(size=(50, 3)).astype(np.float32)
    flags = rng.random(50) > 0.5
    stats = numeric_stats({"wide": wide, "flags": flags})
    np.testing.assert_allclose(stats["wide"]["q10"], np.quantile(wide.astype(float), 0.1, axis=0))
    np.testing.assert_allclose(stats["wide"]["std"], wide.astype(float).std(0))
    assert stats["flags"]["mean"] == [flags.mean()]
    assert stats["flags"]["count"] == [50]

from __future__ import annotations

import pytest
import torch

from foresight.errors import ForesightError
from foresight.perception.readout import READOUTS, Readout


def naive_cell(tokens, low_high_rows, low_high_columns):
    (r0, r1), (c0, c1) = low_high_rows, low_high_columns
    return tokens[r0:r1, c0:c1].reshape(-1, tokens.shape[-1]).mean(0)


def test_mean_is_over_all_tokens():
    tokens = torch.randn(3, 4, 5, 5, 6)
    features = Readout(8, "mean").apply(tokens)
    assert features.shape == (3, 6)
    torch.testing.assert_close(features[1], tokens[1].reshape(-1, 6).mean(0))


@pytest.mark.parametrize(
    ("side", "grid", "edges"),
    [
        (8, 4, [(0, 2), (2, 4), (4, 6), (6, 8)]),
        (4, 4, [(0, 1), (1, 2), (2, 3), (3, 4)]),
        (7, 2, [(0, 4), (3, 7)]),  # cells that do not divide overlap in the middle
        (5, 1, [(0, 5)]),
    ],
)
def test_grid_keeps_tubelet_row_column_channel(side, grid, edges):
    tokens = torch.randn(2, 3, side, side, 5)
    features = Readout(6, "grid", grid).apply(tokens)
    expected = [
        naive_cell(tokens[1, tubelet], rows, columns)
        for tubelet in range(3)
        for rows in edges
        for columns in edges
    ]
    torch.testing.assert_close(features[1], torch.cat(expected))


def test_feature_dim_is_what_apply_gives(tiny_encoder, clip):
    for readout in (*READOUTS.values(), Readout(4, "grid", 3)):
        tokens = tiny_encoder.encode(clip(time=readout.window))
        assert readout.apply(tokens).shape == (2, readout.feature_dim(tiny_encoder))


def test_refusals(tiny_encoder):
    for window in (3, 0, 1, -2):
        with pytest.raises(ForesightError, match=f"window of {window} frames"):
            Readout(window, "mean")
    with pytest.raises(ForesightError, match="'max'"):
        Readout(2, "max")
    with pytest.raises(ForesightError, match="grid of 0"):
        Readout(2, "grid", 0)
    with pytest.raises(ForesightError, match="finer than the encoder's 4 tokens"):
        Readout(2, "grid", 5).feature_dim(tiny_encoder)


def test_fingerprints_tell_readouts_apart():
    readouts = [*READOUTS.values(), Readout(2, "grid", 2), Readout(4, "grid"), Readout(2, "mean")]
    assert len({r.fingerprint for r in readouts}) == 5
    assert Readout(8, "mean", grid=2).fingerprint == READOUTS["source"].fingerprint

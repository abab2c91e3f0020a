from __future__ import annotations

import pytest
import torch

from foresight.core.errors import ForesightError
from foresight.perception.readout import READOUTS, Readout
from foresight.perception.readout_spec import parse_readout
from foresight.perception.zoom import Zoom


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
    last = Readout(6, "last", grid).apply(tokens)
    torch.testing.assert_close(last, features[:, -last.shape[1] :])
    torch.testing.assert_close(Readout(6, "difference", grid).apply(tokens), last)


def test_tokens_are_kept_as_they_are():
    tokens = torch.randn(2, 3, 4, 4, 5)
    assert torch.equal(Readout(6, "tokens").apply(tokens), tokens.reshape(2, -1))
    last = Readout(6, "tokens", tubelets="last").apply(tokens)
    assert torch.equal(last, tokens[:, 2].reshape(2, -1))


def test_pooled_dim_is_what_apply_gives(tiny_encoder, clip):
    others = (Readout(4, "grid", 3), Readout(4, "tokens", tubelets="last"), Readout(4, "tokens"))
    for readout in (*READOUTS.values(), *others):
        tokens = tiny_encoder.encode(clip(time=readout.clip))
        assert readout.apply(tokens).shape == (2, readout.pooled_dim(tiny_encoder))


def test_refusals(tiny_encoder):
    for window in (3, 0, 1, -2):
        with pytest.raises(ForesightError, match=f"window of {window} frames"):
            Readout(window, "mean")
    with pytest.raises(ForesightError, match="'max'"):
        Readout(2, "max")
    with pytest.raises(ForesightError, match="grid of 0"):
        Readout(2, "grid", 0)
    with pytest.raises(ForesightError, match="stride of -1"):
        Readout(2, "grid", stride=-1)
    with pytest.raises(ForesightError, match="stride of 0"):
        Readout(4, "difference", stride=0)
    with pytest.raises(ForesightError, match="'first'"):
        Readout(2, "tokens", tubelets="first")
    with pytest.raises(ForesightError, match="over 2 frames has no earlier"):
        Readout(2, "difference")
    with pytest.raises(ForesightError, match="finer than the encoder's 4 tokens"):
        Readout(2, "grid", 5).feature_dim(tiny_encoder)


def test_fingerprints_tell_readouts_apart():
    readouts = [
        *READOUTS.values(),
        Readout(2, "grid", 2),
        Readout(4, "grid"),
        Readout(2, "mean"),
        Readout(2, "grid", stride=2),
        Readout(8, "last", 2),
        Readout(4, "tokens"),
        Readout(4, "tokens", tubelets="last"),
        Readout(2, "grid", zoom=Zoom()),
        Readout(2, "grid", zoom=Zoom(0.25)),
        Readout(2, "grid", zoom=Zoom(factor=3)),
    ]
    assert len({r.fingerprint for r in readouts}) == len(readouts)
    assert Readout(8, "mean", grid=2).fingerprint == READOUTS["mean"].fingerprint


def test_fingerprints_of_caches_on_disks_stay():
    assert READOUTS["mean"].fingerprint == "b0b0d986f0d8b4b7"
    assert READOUTS["tubelet"].fingerprint == "d509982fc782eea2"


@pytest.mark.parametrize(
    ("spec", "readout"),
    [
        ("mean", READOUTS["mean"]),
        ("grid:grid=8", Readout(2, "grid", 8)),
        (" last:grid=4,window=4 ", Readout(4, "last", 4)),
        ("difference:stride=3,window=6", Readout(6, "difference", 4, 3)),
        ("tokens:tubelets=last,window=4", Readout(4, "tokens", tubelets="last")),
        ("tubelet:zoom=.5,.25", Readout(2, "grid", zoom=Zoom(0.5, 0.25))),
        ("last:zoom=.5,.25,3,grid=2", Readout(8, "last", 2, zoom=Zoom(0.5, 0.25, 3))),
    ],
)
def test_specifications(spec, readout):
    assert parse_readout(spec) == readout


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("nothing", "Unknown readout 'nothing': choose one of mean, tubelet"),
        ("", "Unknown readout ''"),
        ("last:size=4", "'size' is not one of window"),
        ("last:4", "'4' is no setting"),
        ("last:grid=four", "grid=four is no whole number"),
        ("last:grid=4,5", "grid takes one value"),
        ("last:grid=4,grid=5", "grid is given twice"),
        ("last:grid=0", "grid of 0"),
        ("last:window=3", "window of 3"),
        ("tubelet:zoom=.5", "zoom=.5 is not x,y"),
        ("tubelet:zoom=a,b", "zoom=a,b is not x,y"),
        ("tubelet:zoom=.5,.5,2,2", "is not x,y"),
        ("tubelet:zoom=.5,2", "y = 2.0 is outside of the frame"),
        ("tubelet:zoom=nan,.5", "x = nan is outside of the frame"),
        ("tubelet:zoom=.5,.5,1", "zoom factor of 1"),
        ("tokens:tubelets=none", "'none': choose all or last"),
    ],
)
def test_specifications_that_are_refused(spec, message):
    with pytest.raises(ForesightError, match=message) as caught:
        parse_readout(spec)
    assert "\n" not in str(caught.value)

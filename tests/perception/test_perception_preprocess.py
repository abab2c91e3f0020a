"""Pictures of any size to the encoder's squares."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foresight.core.errors import ForesightError
from foresight.perception.preprocess import PicturePreparation


def pictures(height, width, count=2, seed=0):
    shape = (count, height, width, 3)
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def halves(height, width):
    """Left half black, right half white, a red line along the outer left and right border."""
    frame = np.zeros((1, height, width, 3), np.uint8)
    frame[:, :, width // 2 :] = 255
    return frame


@pytest.mark.parametrize("fit", ["squash", "crop", "pad"])
def test_pictures_that_fit_stay_as_they_are(fit):
    frames = pictures(16, 16)
    prepare = PicturePreparation(16, fit)
    assert prepare(frames) is frames
    assert prepare.rule(16, 16) == "as they are"
    assert prepare.fingerprint(16, 16) == PicturePreparation(16).fingerprint(16, 16)


@settings(max_examples=30, deadline=None)
@given(st.sampled_from(["squash", "crop", "pad"]), st.integers(1, 50), st.integers(1, 50))
def test_any_size_gives_squares_each_on_its_own(fit, height, width):
    frames, prepare = pictures(height, width, 3), PicturePreparation(16, fit)
    found = prepare(frames)
    assert found.shape == (3, 16, 16, 3) and found.dtype == np.uint8
    for index in range(3):
        assert np.array_equal(prepare(frames[index : index + 1])[0], found[index])
    mirrored = np.ascontiguousarray(frames[:, :, ::-1])[:, :, ::-1]  # a view with other strides
    assert np.array_equal(prepare(mirrored), found)


def test_squash_shows_everything_and_averages():
    frames = halves(32, 64)
    found = PicturePreparation(16)(frames)[0, :, :, 0]
    assert (found[:, :7] == 0).all() and (found[:, 9:] == 255).all()
    fine = np.zeros((1, 64, 64, 3), np.uint8)
    fine[:, :, ::2] = 255  # stripes finer than a pixel of the result: grey, not black or white
    assert np.abs(PicturePreparation(16)(fine)[0, :, 2:-2].astype(int) - 127).max() <= 2


def test_crop_keeps_the_middle_square():
    frames = pictures(16, 48)
    assert np.array_equal(PicturePreparation(16, "crop")(frames), frames[:, :, 16:32])
    tall = frames.swapaxes(1, 2)
    assert np.array_equal(PicturePreparation(16, "crop")(tall), tall[:, 16:32])


def test_pad_keeps_proportions_between_black_bars():
    frames = np.full((1, 24, 48, 3), 200, np.uint8)
    found = PicturePreparation(16, "pad")(frames)[0]
    assert (found[4:12] == 200).all() and (found[:4] == 0).all() and (found[12:] == 0).all()
    tall = PicturePreparation(16, "pad")(frames.swapaxes(1, 2))[0]
    assert np.array_equal(tall, found.swapaxes(0, 1))


def test_the_rule_is_recorded():
    prepare = PicturePreparation(16, "pad")
    assert prepare.rule(480, 640) == "480x640 pad to 16x16"
    marks = {
        PicturePreparation(size, fit).fingerprint(480, 640)
        for size in (16, 32)
        for fit in ("squash", "crop", "pad")
    }
    assert len(marks) == 6


@pytest.mark.parametrize(
    ("frames", "message"),
    [
        (pictures(4, 4).astype(np.float32), "float32 cannot be encoded: expected uint8"),
        (pictures(4, 4)[0], r"shape \(4, 4, 3\)"),
        (pictures(4, 4)[..., :1], "shape"),
        (np.zeros((1, 0, 4, 3), np.uint8), "shape"),
    ],
)
def test_refuses_what_is_no_picture(frames, message):
    with pytest.raises(ForesightError, match=message):
        PicturePreparation(16)(frames)


def test_unknown_rules():
    with pytest.raises(ForesightError, match="'stretch': choose one of squash, crop, pad"):
        PicturePreparation(16, "stretch")

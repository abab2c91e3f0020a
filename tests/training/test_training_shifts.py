"""Shifted pictures, and how what was seen of them comes back scene by scene."""

from __future__ import annotations

import numpy as np
import torch

from foresight.perception.preprocess import moved
from foresight.training.shifts import REACH, all_views, by_scene, shift_of


def test_a_shift_moves_what_is_seen_and_the_border_fills_the_rest():
    frame = np.zeros((6, 8, 3), np.uint8)
    frame[2, 3] = 255
    frame[0] = 7
    found = moved(frame, 1, -2)
    assert (found[3, 1] == 255).all() and (found == 255).sum() == 3
    assert (found[:2] == 7).all()  # the upper border, twice
    np.testing.assert_array_equal(moved(frame, 0, 0), frame)


def test_an_episode_keeps_its_shifts_and_others_have_other_ones():
    most = round(REACH * 84)
    found = [shift_of(seed, view, 84) for seed in range(40) for view in (1, 2)]
    assert shift_of(3, 0, 84) == (0, 0)
    assert found == [shift_of(seed, view, 84) for seed in range(40) for view in (1, 2)]
    assert len(set(found)) > 30
    assert {abs(pixels) for pair in found for pixels in pair} == set(range(most + 1))


def test_views_lie_behind_the_pictures_and_come_back_with_their_scene():
    random = np.random.default_rng(0)
    frames = [random.integers(0, 255, (16, 16, 3)).astype(np.uint8) for _ in range(3)]
    seeds = [5, 6, 7]
    seen = all_views(frames, seeds, 2)
    assert seen.shape == (9, 16, 16, 3)
    np.testing.assert_array_equal(seen[:3], frames)
    np.testing.assert_array_equal(seen[3 + 1], moved(frames[1], *shift_of(6, 1, 16)))
    np.testing.assert_array_equal(seen[6 + 2], moved(frames[2], *shift_of(7, 2, 16)))
    np.testing.assert_array_equal(all_views(frames, seeds, 0), frames)
    steps = torch.from_numpy(seen).unsqueeze(1).expand(-1, 4, -1, -1, -1)
    scenes = by_scene(steps, [4, 2, 3], 2)
    assert [tuple(each.shape[:2]) for each in scenes] == [(3, 4), (3, 2), (3, 3)]
    for view in range(3):
        np.testing.assert_array_equal(scenes[1][view, 0], seen[3 * view + 1])
    plain = by_scene(steps[:3], [4, 2, 3], 0)
    np.testing.assert_array_equal(plain[2][0], frames[2])
    assert len(plain[2]) == 3

"""Scenes are reproducible, and their labels are what the picture shows."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foresight.core.errors import ForesightError
from foresight.envs.dmc.scene_model import CAMERA, CLASSES
from foresight.envs.dmc.scenes import (
    DIRECTIONS,
    LABELS,
    SPEEDS,
    SceneRenderer,
    draw_scene,
    project,
    scene_labels,
    unproject,
)

SIZE = 128


@pytest.fixture(scope="module")
def renderer():
    made = SceneRenderer(SIZE)
    yield made
    made.close()


def mask(renderer, scene):
    """Pixels of the object ``[T, H, W]``: those that change when only its colour does."""
    colours = scene.colours.copy()
    colours[0] = (colours[0] + 0.5) % 1.0
    dark = replace(scene, colours=colours)
    return (renderer.render(scene) != renderer.render(dark)).any(axis=-1)


def middle(pixels):
    """Mean place of a mask ``[H, W]``, x to the right and y up from -1 to 1."""
    rows, columns = np.nonzero(pixels)
    return (columns.mean() + 0.5) / SIZE * 2 - 1, 1 - (rows.mean() + 0.5) / SIZE * 2


def spheres(count, frames=2):
    """Scenes with a sphere: its picture's middle is the middle's picture, but for perspective."""
    found = (draw_scene(3, i, frames) for i in range(400))
    return [scene for scene in found if CLASSES[scene.shape] == "sphere"][:count]


def test_labels_of_place_are_where_the_object_is_seen(renderer):
    for scene in spheres(6):
        x, y = middle(mask(renderer, scene)[-1])
        labels = dict(zip(LABELS, scene_labels(scene), strict=True))
        assert (labels["object x"], labels["object y"]) == pytest.approx((x, y), abs=0.03)


def test_size_over_depth_is_the_extent_seen(renderer):
    slope = np.tan(np.radians(CAMERA.fovy) / 2)
    for scene in spheres(6):
        labels = dict(zip(LABELS, scene_labels(scene), strict=True))
        radius = np.sqrt(mask(renderer, scene)[-1].sum() / np.pi) / (SIZE / 2)
        wanted = 0.9 * labels["object size"] / (labels["object depth"] * slope)
        assert radius == pytest.approx(wanted, rel=0.06)


def test_objects_move_where_the_direction_says(renderer):
    seen = {}
    for i in range(60):
        scene = draw_scene(4, i, 6)
        if scene.direction not in seen:
            first, *_, last = mask(renderer, scene)
            seen[scene.direction] = np.subtract(middle(last), middle(first))
    assert len(seen) == len(DIRECTIONS)
    for number, (right, up) in seen.items():
        words = DIRECTIONS[number]
        assert ("right" in words) == (right > 0.05), words
        assert ("left" in words) == (right < -0.05), words
        assert ("away" in words) == (up > 0.05), words
        assert ("near" in words) == (up < -0.05), words


def test_every_class_is_drawn_and_looks_like_nothing_else(renderer):
    """The same pose in every shape: no two silhouettes are alike."""
    base = replace(draw_scene(0, 0, 1), size=0.6, turn=0.2, places=np.array([[0.0, 0.0, 0.6]]))
    masks = [mask(renderer, replace(base, shape=n))[0] for n in range(len(CLASSES))]
    assert len(CLASSES) >= 8
    for n, first in enumerate(masks):
        assert first.sum() > 200
        for second in masks[:n]:
            assert (first & second).sum() < 0.85 * (first | second).sum()


def test_a_scene_is_the_same_alone_in_any_order_and_in_any_renderer(renderer):
    alone = renderer.render(draw_scene(7, 5, 4))
    for i in (3, 9):
        renderer.render(draw_scene(7, i, 4))
    np.testing.assert_array_equal(renderer.render(draw_scene(7, 5, 4)), alone)
    other = SceneRenderer(SIZE)
    np.testing.assert_array_equal(other.render(draw_scene(7, 5, 4)), alone)
    other.close()
    assert alone.shape == (4, SIZE, SIZE, 3)
    assert alone.dtype == np.uint8
    assert (renderer.render(draw_scene(8, 5, 4)) != alone).any()


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**31), index=st.integers(0, 10**6), frames=st.integers(1, 8))
def test_drawn_scenes_stay_in_the_picture(seed, index, frames):
    scene = draw_scene(seed, index, frames)
    assert scene.places.shape == (frames, 3)
    steps = np.linalg.norm(np.diff(scene.places, axis=0), axis=1)
    assert ((steps > SPEEDS[0] - 1e-9) & (steps < SPEEDS[1] + 1e-9)).all()
    labels = scene_labels(scene)
    assert np.isfinite(labels).all()
    assert np.abs(labels[:2]).max() < 0.9
    assert np.abs(scene.colours[0] - scene.colours[1:]).max(axis=1).min() > 0.4


@settings(max_examples=40, deadline=None)
@given(st.floats(-0.9, 0.9), st.floats(-0.9, 0.9), st.floats(0.0, 1.0))
def test_unproject_undoes_project(x, y, height):
    point = unproject(np.array([x, y]), height)
    assert point[2] == pytest.approx(height, abs=1e-9)
    assert project(point)[:2] == pytest.approx((x, y), abs=1e-9)


def test_impossible_scenes_are_refused():
    with pytest.raises(ForesightError, match="0 frames"):
        draw_scene(0, 0, 0)
    with pytest.raises(ForesightError, match="seed -1"):
        draw_scene(-1, 0, 4)

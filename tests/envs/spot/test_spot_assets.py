"""Hulls of meshes, and the files that they come from."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial import ConvexHull

from foresight.cli import main
from foresight.core.errors import ForesightError
from foresight.envs import make
from foresight.envs.spot import assets
from foresight.envs.spot.assets import coarse_hull, obj_text, read_vertices, sphere


def volume(vertices, faces):
    """Of a closed mesh whose faces turn outwards, by the divergence theorem."""
    a, b, c = np.moveaxis(vertices[faces], 1, 0)
    return (a * np.cross(b, c)).sum() / 6


def test_directions_are_spread_evenly():
    directions = sphere(64)
    assert np.linalg.norm(directions, axis=1) == pytest.approx(np.ones(64))
    nearest = np.sort(directions @ directions.T, axis=1)[:, -2]
    assert np.arccos(nearest).min() > 0.5 * np.arccos(nearest).max()


def test_a_hull_is_closed_turns_outwards_and_holds_most_of_the_body():
    points = np.random.default_rng(0).standard_normal((3000, 3)) * [5.0, 1.0, 0.2] + [3, 0, 1]
    vertices, faces = coarse_hull(points)
    whole = ConvexHull(points).volume
    assert len(vertices) <= 64 and len(faces) == 2 * len(vertices) - 4  # Euler's formula
    assert 0.75 * whole < volume(vertices, faces) <= whole
    assert {tuple(v) for v in vertices} <= {tuple(p) for p in points}


def test_a_box_is_its_eight_corners():
    corners = np.array(list(np.ndindex(2, 2, 2)), np.float64) * [4.0, 1.0, 0.1]
    inside = np.random.default_rng(0).uniform(0, 1, (100, 3)) * [4.0, 1.0, 0.1]
    vertices, faces = coarse_hull(np.concatenate([inside, corners]))
    assert len(vertices) == 8 and len(faces) == 12
    assert volume(vertices, faces) == pytest.approx(0.4)


def test_an_obj_file_keeps_places_and_merges_those_that_are_one():
    text = "# said\nv 0 0 0\nv 1 0 0\nvn 0 0 1\nv 0 1 0\nv 1 0 0\nf 1//1 2//1 3//1\n"
    assert read_vertices(text).tolist() == [[0, 0, 0], [0, 1, 0], [1, 0, 0]]
    vertices, faces = coarse_hull(np.random.default_rng(1).standard_normal((50, 3)))
    again = read_vertices(obj_text(vertices, faces))
    assert again == pytest.approx(np.unique(vertices, axis=0), abs=1e-6)


def test_without_its_files_spot_says_what_to_run(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("FORESIGHT_HOME", str(tmp_path))
    with pytest.raises(ForesightError, match="run `foresight envs setup spot`"):
        make("spot/joints")
    with pytest.raises(ForesightError, match=r"holds no playground-0\.2\.0-\*\.whl"):
        assets.set_up(tmp_path)
    (tmp_path / "playground-0.2.0-py3-none-any.whl").write_bytes(b"another one")
    with pytest.raises(ForesightError, match="has the SHA-256"):
        assets.set_up(tmp_path)
    assert not assets.is_ready()
    assert main(["envs", "setup", "walker"]) == 2
    assert "expected spot" in capsys.readouterr().err


def test_pips_last_word_is_passed_on(tmp_path, monkeypatch):
    monkeypatch.setenv("FORESIGHT_HOME", str(tmp_path))
    monkeypatch.setenv("PIP_INDEX_URL", "file:///nowhere")
    monkeypatch.setenv("PIP_EXTRA_INDEX_URL", "file:///nowhere")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    with pytest.raises(ForesightError, match=r"could not download .*playground"):
        assets.set_up()

"""The encoder in the package: small, whole, told about, and the same in both libraries."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import foresight
from foresight.core.errors import ForesightError
from foresight.perception import bundled
from foresight.perception.preprocess import normalise
from studies import foresight_small

FOLDER = Path(bundled.folder("foresight-small"))


@pytest.fixture(scope="module")
def frames():
    from foresight.envs.registry import EnvConfig
    from foresight.rollout.episode import EpisodeSpec, run_episode

    env = EnvConfig("reacher-easy", size=64, quality="smooth")
    return run_episode(EpisodeSpec(env, 3, "ar1:0.9", 40)).images["camera"]


def test_it_is_small_and_has_the_recipes_sizes():
    assert (FOLDER / "model.safetensors").stat().st_size <= 12e6
    config = foresight.load_encoder("foresight-small").config
    settings = foresight_small.FIRST
    assert (config.patch, config.dim, config.depth, config.heads) == (
        settings.patch,
        settings.dim,
        settings.depth,
        settings.heads,
    )
    assert config.grid == (8, 8)


def test_its_card_tells_how_it_was_made():
    card = (FOLDER / "README.md").read_text()
    for words in ("Apache-2.0", "foresight reproduce foresight-small", "| update | loss |"):
        assert words in card
    for task in ("reacher-easy", "walker-walk", "quadruped-walk", "scenes"):
        assert f"| {task}" in card
    assert "position-r2/reacher-easy" in card


def test_transformers_loads_it_too(frames):
    from transformers import VJEPA2Model

    clip = normalise(torch.from_numpy(frames[None, :4]))
    with torch.no_grad():
        theirs = VJEPA2Model.from_pretrained(FOLDER).get_vision_features(clip)
    ours = foresight.load_encoder("foresight-small", dtype="float32").tokens(clip)
    torch.testing.assert_close(ours.flatten(1, 3), theirs, rtol=1e-4, atol=1e-4)


def test_its_tokens_tell_moments_apart(frames):
    tokens = foresight.load_encoder("foresight-small").encode(
        np.stack([frames[t - 1 : t + 1] for t in range(1, 40, 3)])
    )
    flat = tokens.flatten(1) - tokens.flatten(1).mean(0)
    values = torch.linalg.svdvals(flat)
    assert values[4] > 0.05 * values[0]  # not a line, not a point


def test_a_broken_installation_is_told(monkeypatch, tmp_path):
    monkeypatch.setattr(bundled.resources, "files", lambda name: tmp_path)
    with pytest.raises(ForesightError, match="foresight-small is missing at"):
        bundled.folder("foresight-small")

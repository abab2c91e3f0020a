from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from foresight.core.errors import ForesightError
from foresight.data.cache import FeatureCache
from foresight.perception import conditioning
from foresight.perception.conditioning import (
    ConditioningConfig,
    cached_conditioning,
    fit_conditioning,
)

LENGTHS = (120, 80, 100)
OFFSETS = np.array([0, 120, 200, 300])


def features(width=12, seed=0):
    rng = np.random.default_rng(seed)
    mixed = (
        rng.normal(size=(300, width)) * np.linspace(3, 0.1, width) @ rng.normal(size=(width, width))
    )
    return (mixed + 50).astype(np.float32)


@pytest.fixture
def cache(tmp_path):
    made = FeatureCache.open_or_create(tmp_path, "data", "encoder", "readout", LENGTHS, (12,))
    x = features()
    for index in range(3):
        made.write_episode(index, x[OFFSETS[index] : OFFSETS[index + 1]])
    return made


@pytest.mark.parametrize("kind", ["centre", "standardise", "pca", "whiten"])
def test_inverse_gives_the_features_back(kind):
    x = features()
    fitted = fit_conditioning(x, OFFSETS, [0, 1], ConditioningConfig(kind, dim=12))
    z = fitted.apply(x)
    assert z.shape == (300, fitted.dim) and z.dtype == torch.float32
    torch.testing.assert_close(fitted.invert(z), torch.from_numpy(x), rtol=1e-4, atol=1e-3)
    torch.testing.assert_close(z[:200].mean(0), torch.zeros(12), rtol=0, atol=1e-3)
    torch.testing.assert_close(fitted.apply(torch.from_numpy(x[3])), z[3])


def test_dropped_axes_come_back_at_their_mean():
    x = torch.from_numpy(features())
    fitted = fit_conditioning(x.numpy(), OFFSETS, [0, 1, 2], ConditioningConfig("pca", dim=4))
    z = fitted.apply(x)
    rest = x - fitted.invert(z)
    assert fitted.kept == pytest.approx(1 - float(rest.var(0).sum() / x.var(0).sum()), abs=1e-4)
    torch.testing.assert_close(fitted.apply(fitted.invert(z)), z, rtol=1e-3, atol=1e-3)


def test_whitened_features_are_white():
    x = features()
    config = ConditioningConfig("whiten", dim=6, shrinkage=0.0)
    z = fit_conditioning(x, OFFSETS, [0, 1, 2], config).apply(x)
    np.testing.assert_allclose(np.cov(z.T.numpy()), np.eye(6), atol=1e-3)
    # Full shrinkage is what `pca` does: one scale for all.
    shrunk = fit_conditioning(x, OFFSETS, [0, 1, 2], ConditioningConfig("whiten", 6, 1.0))
    plain = fit_conditioning(x, OFFSETS, [0, 1, 2], ConditioningConfig("pca", 6))
    assert torch.equal(shrunk.scale, plain.scale)
    assert float(plain.apply(x).var(0).mean()) == pytest.approx(1, abs=1e-3)


def test_only_the_training_episodes_are_seen():
    x = features()
    x[OFFSETS[1] : OFFSETS[2]] = 1e6
    fitted = fit_conditioning(x, OFFSETS, [0, 2], ConditioningConfig("standardise"))
    assert float(fitted.mean.max()) < 100


def test_fitted_once_and_loaded_afterwards(cache, monkeypatch):
    config = ConditioningConfig("whiten", dim=5)
    first = cached_conditioning(cache, [2, 0], config)

    def refuse(*_, **__):
        raise AssertionError("fitted again")

    monkeypatch.setattr(conditioning, "fit_conditioning", refuse)
    second = cached_conditioning(cache, [0, 2], config)
    x = torch.from_numpy(features())
    assert torch.equal(first.apply(x), second.apply(x))
    assert (second.config, second.kept) == (config, first.kept)
    for episodes, other in (
        ([0, 1], config),
        ([0, 2], ConditioningConfig("whiten", dim=4)),
        ([0, 2], ConditioningConfig("pca", dim=5)),
    ):
        with pytest.raises(AssertionError):
            cached_conditioning(cache, episodes, other)
    # The cache does not mind what lies beside it.
    assert FeatureCache.open(cache.path).complete


def test_damage_is_one_sentence(cache):
    config = ConditioningConfig("pca", dim=5)
    cached_conditioning(cache, [0], config)
    (stored,) = (cache.path / "conditioning").glob("*.json")
    assert json.loads(stored.read_text())["episodes"] == [0]
    weights = stored.with_suffix(".safetensors")
    weights.write_bytes(weights.read_bytes()[:40])
    with pytest.raises(ForesightError, match=r"damaged, remove .*json and it is fitted again"):
        cached_conditioning(cache, [0], config)
    stored.unlink()
    cached_conditioning(cache, [0], config)


def test_refusals(tmp_path):
    with pytest.raises(ForesightError, match="'zca'"):
        ConditioningConfig("zca")
    with pytest.raises(ForesightError, match="shrinkage of 2"):
        ConditioningConfig(shrinkage=2)
    fitted = fit_conditioning(features(), OFFSETS, [0], ConditioningConfig("pca", 3))
    with pytest.raises(ForesightError, match="conditioning of 12 to 3"):
        fitted.apply(torch.zeros(2, 11))
    with pytest.raises(ForesightError, match="conditioning of 12 to 3"):
        fitted.invert(torch.zeros(2, 12))
    unfinished = FeatureCache.open_or_create(tmp_path, "d", "e", "r", LENGTHS, (12,))
    with pytest.raises(ForesightError, match="3 training episodes have no features yet"):
        cached_conditioning(unfinished, [0, 1, 2], ConditioningConfig())

"""Fast rollouts give what the model gives, step by step, for any length of the past."""

from __future__ import annotations

import pytest
import torch

from foresight.worldmodel.lewm.config import SIZES
from foresight.worldmodel.lewm.rollout import FastPredictor
from lewm_worlds import TINY, random_model


def naive(model, seen, done, actions):
    """Every window computed anew for every candidate."""
    scenes, samples, horizon, _ = actions.shape
    z, taken = seen.repeat_interleave(samples, 0), done.repeat_interleave(samples, 0)
    chosen, history = actions.flatten(0, 1), model.config.sizes.history
    found = [z[:, -1]]
    for step in range(horizon):
        taken = torch.cat([taken, chosen[:, step : step + 1]], 1)
        found.append(model.predict(z[:, -history:], taken[:, -history:])[:, -1])
        z = torch.cat([z, found[-1][:, None]], 1)
    return torch.stack(found, 1).view(scenes, samples, horizon + 1, -1)


@pytest.mark.parametrize("past", [1, 2, 3, 5])
@pytest.mark.parametrize("sizes", [TINY, SIZES["mini"]], ids=["tiny", "mini"])
@torch.inference_mode()
def test_it_is_the_model(past, sizes):
    model = random_model(sizes)
    seen, done = torch.randn(2, past, sizes.dim), torch.randn(2, past - 1, 10)
    actions = torch.randn(2, 3, 5, 10)
    found = FastPredictor(model).imagine(seen, done, actions)
    torch.testing.assert_close(found, naive(model, seen, done, actions), rtol=1e-4, atol=1e-5)
    assert found.std(1)[:, 1:].min() > 1e-4  # candidates differ


@torch.inference_mode()
def test_half_precision_is_near():
    model = random_model()
    seen, done, actions = torch.randn(1, 3, 12), torch.randn(1, 2, 10), torch.randn(1, 4, 5, 10)
    whole = FastPredictor(model).imagine(seen, done, actions)
    half = FastPredictor(model, torch.bfloat16).imagine(seen, done, actions)
    assert half.dtype == torch.float32
    assert 0 < (half - whole).abs().max() < 0.1 * whole.std()


@torch.inference_mode()
def test_the_past_matters_and_a_fourth_picture_does_not():
    model = random_model()
    seen, done, actions = torch.randn(1, 4, 12), torch.randn(1, 3, 10), torch.randn(1, 2, 2, 10)
    fast = FastPredictor(model)
    whole = fast.imagine(seen, done, actions)
    assert torch.equal(whole, fast.imagine(seen[:, 1:], done[:, 1:], actions))
    assert not torch.allclose(whole, fast.imagine(seen[:, 3:], done[:, 3:], actions))

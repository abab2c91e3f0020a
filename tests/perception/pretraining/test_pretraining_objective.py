"""The loss against a slow copy of it, where gradients go, and what cannot be seen."""

from __future__ import annotations

import naive_vit
import pytest
import torch

from foresight.perception.pretraining.config import PredictorConfig, Weights
from foresight.perception.pretraining.objective import MaskedPrediction, Target
from foresight.perception.vit import VisionTransformer, VitConfig, initialise

GRID = (2, 2, 3)
CONFIG = VitConfig(height=8, width=12, patch=4, dim=24, depth=2, heads=2, hidden=32)
MASKS = [
    (torch.tensor([[0, 1, 6, 7], [2, 5, 8, 11]]), torch.tensor([[2, 3, 8], [0, 4, 10]])),
    (torch.tensor([[4], [9]]), torch.tensor([[0, 1, 2, 3, 7, 11], [1, 2, 3, 5, 7, 8]])),
]


def clips(seed=0):
    return torch.randn(2, 4, 3, 8, 12, generator=torch.Generator().manual_seed(seed))


def shaken(module, seed):
    """Large weights, biases and mask tokens, so that every part matters to the output."""
    random = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in module.parameters():
            weight.add_(0.2 * torch.randn(weight.shape, generator=random))
    return module


def made(**weights):
    encoder = VisionTransformer(CONFIG)
    initialise(encoder)
    model = MaskedPrediction(encoder, PredictorConfig(dim=16, depth=2, heads=2), Weights(**weights))
    shaken(model, 1)
    target = Target(encoder)
    shaken(target.encoder, 2)
    return model, target


@pytest.mark.parametrize(
    "weights",
    [
        {"latent": 1.0},
        {"latent": 0.7, "dense": 0.4, "pixels": 0.3},
        {"latent": 0.0, "dense": 2.0},
        {"latent": 0.0, "pixels": 1.5},
        {"latent": 0.0, "pixels": 1.0, "visible": 3.0},
        {"latent": 1.0, "visible": 0.5},
    ],
)
def test_the_loss_equals_its_slow_copy(weights):
    model, target = made(**weights)
    wanted = target(clips()) if weights["latent"] or weights.get("dense") else None
    loss, terms = model(clips(), wanted, MASKS, GRID)
    expected = naive_vit.terms(model, target.encoder, clips(), MASKS, GRID)
    # A term of weight 0 is not even computed.
    assert set(terms) == {name for name, weight in weights.items() if weight}
    for name, value in terms.items():
        assert float(value) == pytest.approx(expected[name], rel=1e-4)
    total = sum(weight * expected[name] for name, weight in weights.items() if weight)
    assert float(loss) == pytest.approx(total, rel=1e-4)


def test_the_predictor_is_no_wider_than_what_it_predicts():
    assert made()[0].predictor.proj.out_features == 24
    assert made(pixels=1.0)[0].predictor.proj.out_features == 24 + 3 * 2 * 4 * 4


def test_the_target_is_the_normed_average_of_the_whole_clip():
    model, target = made()
    found = target(clips())
    assert found.shape == (2, 12, 24)
    assert not found.requires_grad
    for own, clip in zip(found, clips().double(), strict=True):
        tokens = naive_vit.encode(target.encoder, clip, list(range(12)), GRID)
        torch.testing.assert_close(
            own.double(), naive_vit.standard(tokens, 1e-5), atol=1e-4, rtol=0
        )
    torch.testing.assert_close(found.mean(-1), torch.zeros(2, 12), atol=1e-5, rtol=0)
    assert (found - Target(model.encoder)(clips())).abs().max() > 0.1


def test_gradients_reach_encoder_and_predictor_and_never_the_target():
    model, target = made(dense=0.5, pixels=0.5)
    before = [weight.clone() for weight in target.encoder.parameters()]
    loss, _ = model(clips(), target(clips()), MASKS, GRID)
    loss.backward()
    for name, weight in model.named_parameters():
        assert weight.grad is not None, name
        assert weight.grad.abs().max() > 0, name
    for old, weight in zip(before, target.encoder.parameters(), strict=True):
        assert weight.grad is None
        assert weight.equal(old)


def test_hidden_pixels_do_not_reach_the_prediction():
    model, target = made()
    keep, hidden = MASKS[0]
    seen = torch.zeros(2, 12, dtype=torch.bool).scatter_(1, keep, True)
    # Seen or not as pixels: [B, T, 1, H, W].
    shown = seen.view(2, 2, 1, 2, 3).repeat_interleave(2, 1)
    shown = shown.repeat_interleave(4, 3).repeat_interleave(4, 4)
    one, two = clips(), torch.where(shown, clips(), clips(seed=5))

    def prediction(clip):
        return model.predictor(model.encoder(clip, keep), keep, hidden, GRID)[1]

    torch.testing.assert_close(prediction(one), prediction(two), atol=1e-6, rtol=0)
    assert (prediction(one) - prediction(clips(seed=5))).abs().max() > 0.01
    assert (target(one) - target(two)).abs().max() > 0.1


def test_the_average_follows_by_its_formula():
    model, target = made()
    before = [weight.clone() for weight in target.encoder.parameters()]
    for momentum in (1.0, 0.9):
        target.follow(model.encoder, momentum)
        for old, own, new in zip(
            before, target.encoder.parameters(), model.encoder.parameters(), strict=True
        ):
            expected = momentum * old + (1 - momentum) * new
            torch.testing.assert_close(own, expected.detach(), atol=1e-6, rtol=1e-6)
    assert not target.encoder.training

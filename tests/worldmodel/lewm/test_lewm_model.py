"""LeWorldModel: its published size, its parts beside naive ones, its checkpoint."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

import foresight
from foresight.core.errors import ForesightError
from foresight.worldmodel.lewm.config import SIZES, LeWMSizes, sizes_of
from foresight.worldmodel.lewm.model import LeWorldModel, parameters_of
from lewm_worlds import TINY, config_of, random_model


def test_it_has_the_published_number_of_parameters():
    with torch.device("meta"):
        small_pictures = parameters_of(LeWorldModel(config_of(SIZES["paper-64"])))
        paper = parameters_of(LeWorldModel(config_of(SIZES["paper"])))
    assert small_pictures == {
        "encoder": 5_388_480,
        "projection": 792_768,
        "action_encoder": 156_206,
        "predictor": 10_791_360,
        "predicted": 792_768,
    }
    assert sum(small_pictures.values()) == 17_921_582
    assert sum(paper.values()) == 18_034_478  # "about 18 million"


def test_a_fresh_predictor_ignores_actions_and_a_learned_one_does_not():
    fresh, learned = LeWorldModel(config_of()).eval(), random_model()
    z, blocks = torch.randn(3, 3, 12), torch.rand(2, 3, 3, 10)
    assert torch.equal(fresh.predict(z, blocks[0]), fresh.predict(z, blocks[1]))
    assert (learned.predict(z, blocks[0]) - learned.predict(z, blocks[1])).abs().max() > 0.01


def test_the_predictor_sees_no_future():
    model = random_model()
    z, blocks = torch.randn(2, 3, 12), torch.rand(2, 3, 10)
    before = model.predict(z, blocks)
    z[:, 2] += 1
    blocks[:, 2] += 1
    after = model.predict(z, blocks)
    torch.testing.assert_close(after[:, :2], before[:, :2], rtol=1e-5, atol=1e-6)
    assert (after[:, 2] - before[:, 2]).abs().max() > 0.01
    with pytest.raises(ForesightError, match="3 at most"):
        model.predict(torch.randn(1, 4, 12), torch.rand(1, 4, 10))


def test_the_encoder_is_a_vision_transformer():
    """Patch by patch, head by head."""
    vit = random_model().vit
    pictures = torch.randint(0, 256, (2, 16, 16, 3), dtype=torch.uint8)
    mean = torch.tensor([0.485, 0.456, 0.406])
    scale = torch.tensor([0.229, 0.224, 0.225])
    for picture, found in zip(pictures, vit(pictures), strict=True):
        seen = (picture / 255 - mean) / scale
        patches = [seen[r : r + 8, c : c + 8].flatten() for r in (0, 8) for c in (0, 8)]
        x = torch.stack([vit.token[0, 0], *(vit.embed(patch) for patch in patches)])
        x = x + vit.position[0]
        for block in vit.blocks:
            y = block.norm1(x)
            query, key, value = block.qkv(y).chunk(3, -1)
            heads = []
            for part in (slice(0, 8), slice(8, 16)):
                scores = query[:, part] @ key[:, part].T / 8**0.5
                heads.append(scores.softmax(-1) @ value[:, part])
            x = x + block.out(torch.cat(heads, -1))
            first, _, last = block.mlp
            x = x + last(functional.gelu(first(block.norm2(x))))
        torch.testing.assert_close(found, vit.norm(x)[0], rtol=1e-4, atol=1e-5)


def test_a_checkpoint_comes_back_and_every_verb_knows_it(tmp_path):
    model = random_model(task="tworoom/point", camera="view")
    model.save(tmp_path)
    again = foresight.load(tmp_path)
    assert isinstance(again, LeWorldModel) and again.config == model.config
    pictures = torch.randint(0, 256, (3, 16, 16, 3), dtype=torch.uint8)
    assert torch.equal(again.encode(pictures), model.encode(pictures))
    assert again.config.sizes == TINY


def test_pictures_and_sizes_that_do_not_fit_are_refused():
    with pytest.raises(ForesightError, match="give 16x16"):
        random_model().encode(torch.zeros(1, 32, 32, 3, dtype=torch.uint8))
    with pytest.raises(ForesightError, match="divide"):
        LeWMSizes(image=64, patch=7)
    with pytest.raises(ForesightError, match="paper-64"):
        sizes_of("huge")


def test_actions_are_told_between_their_bounds():
    model = random_model()
    told = torch.tensor([[2.0, -1.0], [0.0, 0.5]])
    assert model.normalised(told).tolist() == [[1.0, -1.0], [0.0, 0.5]]
    assert torch.equal(model.scaled(model.normalised(told)), told)

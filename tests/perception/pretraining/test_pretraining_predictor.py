"""The mask predictor against the one in ``transformers``, on the same weights."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tiny_vjepa import TINY

from foresight.perception.pretraining.config import PredictorConfig
from foresight.perception.pretraining.masks import LONG, SHORT, draw_masks
from foresight.perception.pretraining.predictor import Predictor

GRID = (4, 4, 4)


def theirs(**changes):
    from transformers import VJEPA2Config, VJEPA2Model

    torch.manual_seed(0)
    predictor = VJEPA2Model(VJEPA2Config(**{**TINY, **changes})).eval().predictor
    with torch.no_grad():
        for weight in predictor.parameters():  # mask tokens, biases and norms too
            weight.add_(0.2 * torch.randn_like(weight))
    return predictor


def copied(predictor):
    """Ours with the weights of theirs."""
    config = predictor.config
    sizes = PredictorConfig(
        config.pred_hidden_size, config.pred_num_hidden_layers, config.pred_num_attention_heads
    )
    own = Predictor(config.hidden_size, config.hidden_size, sizes)
    state = predictor.state_dict()
    # They hold several mask tokens and use the second.
    found = {"mask_token": state.pop("embeddings.mask_tokens")[1]}
    for name in list(state):
        if ".query." in name:
            parts = [state[name.replace("query", part)] for part in ("query", "key", "value")]
            found[name.replace("attention.query", "attn.qkv")] = torch.cat(parts)
        elif ".key." not in name and ".value." not in name:
            found[name.replace("attention", "attn")] = state[name]
    for old, new in (
        ("embeddings.predictor_embeddings", "embed"),
        ("layernorm", "norm"),
        ("layer.", "blocks."),
    ):
        found = {name.replace(old, new): value for name, value in found.items()}
    own.load_state_dict(found)
    return own.eval()


@pytest.mark.parametrize(
    "changes",
    [
        {"pred_num_hidden_layers": 2},
        {"pred_hidden_size": 48, "pred_num_attention_heads": 3, "pred_num_hidden_layers": 2},
    ],
)
@pytest.mark.parametrize("mask", [SHORT, LONG])
@torch.no_grad()
def test_predictions_equal_those_of_transformers(changes, mask):
    predictor = theirs(**changes)
    keep, hidden = draw_masks(mask, GRID, 3, np.random.default_rng(0))
    tokens = torch.randn(3, 64, 64, generator=torch.Generator().manual_seed(0))
    # They sort all tokens by place and unsort the predictions; attention does not care.
    wanted = predictor(tokens, [keep], [hidden]).last_hidden_state
    shown = tokens.gather(1, keep[..., None].expand(-1, -1, 64))
    seen, found = copied(predictor)(shown, keep, hidden, GRID)
    assert found.shape == (3, hidden.shape[1], 64)
    assert seen.shape == (3, keep.shape[1], 64)
    assert wanted.abs().mean() > 0.1
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-4)

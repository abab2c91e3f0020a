"""Low-rank changes: nothing at first, the formula afterwards, and one plain layer in the end."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from foresight.core.errors import ForesightError
from foresight.perception.low_rank import LowRank, add_low_rank, merge_low_rank


def net():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 5), nn.GELU(), nn.Linear(5, 4))


def test_nothing_has_changed_at_first_and_only_factors_learn():
    module, x = net(), torch.randn(3, 6)
    before = module(x)
    learned = add_low_rank(module, r"[02]", rank=2, alpha=8)
    torch.testing.assert_close(module(x), before, atol=1e-7, rtol=0)
    names = {name for name, p in module.named_parameters() if p.requires_grad}
    assert names == {f"{i}.factors.{part}" for i in (0, 2) for part in ("down", "up")}
    assert {id(p) for p in learned.parameters()} == {
        id(p) for p in module.parameters() if p.requires_grad
    }


def test_the_formula_and_its_merged_layer():
    base = nn.Linear(6, 5)
    weight, bias = base.weight.detach().clone(), base.bias.detach().clone()
    layer, x = LowRank(base, rank=3, alpha=12), torch.randn(4, 6)
    nn.init.normal_(layer.factors.up)
    a, b = layer.factors.down.detach(), layer.factors.up.detach()
    expected = x @ (weight + 12 / 3 * b @ a).T + bias
    torch.testing.assert_close(layer(x), expected)
    merged = layer.merged()
    assert type(merged) is nn.Linear
    torch.testing.assert_close(merged(x), expected)


def test_merging_leaves_plain_layers_that_compute_the_same():
    module, x = net(), torch.randn(3, 6)
    names = list(module.state_dict())
    learned = add_low_rank(module, "2", rank=1, alpha=1)
    nn.init.normal_(learned["2"].up)
    changed = module(x)
    merge_low_rank(module)
    assert list(module.state_dict()) == names
    torch.testing.assert_close(module(x), changed)


def test_bad_requests():
    with pytest.raises(ForesightError, match="No linear layer is called 1"):
        add_low_rank(net(), "1", 1, 1)
    with pytest.raises(ForesightError, match="rank of 5 does not fit"):
        add_low_rank(net(), "2", 5, 1)

"""Two-hot codes, heads with members, TD(λ) and values, against naive formulas."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from foresight.core.errors import ForesightError
from foresight.worldmodel.heads.scalar import (
    ScalarConfig,
    ScalarHead,
    TwoHot,
    bins_for,
    symexp,
    symlog,
)


@given(st.floats(-1e4, 1e4))
def test_symexp_undoes_symlog(x):
    value = torch.tensor(x, dtype=torch.float64)
    assert float(symexp(symlog(value))) == pytest.approx(x, abs=1e-9)


@settings(max_examples=60)
@given(st.floats(-2e4, 2e4), st.integers(2, 101), st.booleans())
def test_a_two_hot_code_is_two_neighbours_and_decodes_to_its_number(x, bins, unbiased):
    code = TwoHot(bins, -10, 10, unbiased).double()
    weights = code.encode(torch.tensor(x, dtype=torch.float64))
    held = weights.nonzero().flatten().tolist()
    assert float(weights.sum()) == pytest.approx(1) and len(held) <= 2
    assert held[-1] - held[0] <= 1 and float(weights.min()) >= 0
    assert float(code.decode(weights.clamp(min=1e-300).log())) == pytest.approx(
        x, rel=1e-4, abs=1e-4
    )


def test_numbers_beyond_the_bins_are_their_ends():
    code = TwoHot(5, -1, 1)
    weights = code.encode(torch.tensor([100.0, -100.0]))
    assert weights[0].tolist() == [0, 0, 0, 0, 1] and weights[1].tolist() == [1, 0, 0, 0, 0]


@given(st.lists(st.floats(-1.0, 190.0), min_size=2, max_size=6))
def test_an_unbiased_code_of_what_may_be_is_worth_its_mean(numbers):
    chances = torch.tensor(numbers, dtype=torch.float64)
    for unbiased in (True, False):
        code = TwoHot(51, -1.5, 5.5, unbiased).double()
        mixed = code.encode(chances).mean(0)
        worth = float(code.decode(mixed.clamp(min=1e-300).log()))
        mean = float(chances.mean())
        if unbiased:
            assert worth == pytest.approx(mean, abs=1e-3)
        else:
            assert worth <= mean + 1e-3 or min(numbers) < 0
    coin = code.encode(torch.tensor([0.0, 190.0], dtype=torch.float64)).mean(0)
    assert float(code.decode(coin.log())) == pytest.approx(191**0.5 - 1, rel=0.01)


def test_a_fresh_unbiased_head_expects_nothing_and_learns_a_coin():
    torch.manual_seed(0)
    head = ScalarHead(4, 0, replace(bins_for(0.0, 200.0, 16), unbiased=True, members=2))
    z = torch.rand(64, 4)
    assert head(z).abs().max() < 1.0
    target = torch.tensor([0.0, 190.0]).repeat(32)
    optimizer = torch.optim.Adam(head.parameters(), lr=1e-2)
    for _ in range(300):
        optimizer.zero_grad()
        head.loss(torch.ones(64, 4), target).backward()
        optimizer.step()
    assert (head(torch.ones(1, 4)) - 95).abs().max() < 8


def test_two_hot_loss_is_least_at_the_target():
    code = TwoHot(11, -3, 3)
    target = torch.tensor([0.7])
    best = code.loss(code.encode(target).clamp(min=1e-9).log(), target)
    for other in (0.0, 0.5, 2.0):
        assert float(
            code.loss(code.encode(torch.tensor([other])).clamp(min=1e-9).log(), target)
        ) > float(best)


@pytest.mark.parametrize("kind", ["twohot", "mse"])
@pytest.mark.parametrize("actions", [0, 2])
def test_members_are_single_heads(kind, actions):
    torch.manual_seed(0)
    head = ScalarHead(6, actions, ScalarConfig(kind, 16, 2, members=3)).double()
    with torch.no_grad():
        for p in head.parameters():
            p.add_(0.3 * torch.randn_like(p))
    z, target = torch.randn(4, 5, 6).double(), torch.randn(4, 5).double()
    action = torch.randn(4, 5, 2).double() if actions else None
    out = head(z, action)
    assert out.shape == (3, 4, 5)
    losses = 0.0
    for index in range(3):
        single = head.member(index)
        assert single.members == 1
        torch.testing.assert_close(out[index], single(z, action), atol=1e-5, rtol=1e-4)
        losses = losses + single.loss(z, target, action)
    torch.testing.assert_close(head.loss(z, target, action), losses, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("kind", ["twohot", "mse"])
def test_a_fresh_head_says_nothing_and_learns_large_and_small(kind):
    torch.manual_seed(0)
    head = ScalarHead(3, 1, ScalarConfig(kind, 64))
    z, a = torch.randn(256, 3), torch.randn(256, 1)
    assert float(head(z, a).abs().max()) < 1e-5
    target = z[:, 0] * 5 + a[:, 0]
    optimizer = torch.optim.Adam(head.parameters(), 1e-2)
    for _ in range(150):
        optimizer.zero_grad()
        head.loss(z, target, a).backward()
        optimizer.step()
    assert float((head(z, a) - target).square().mean() / target.var()) < 0.05


def test_half_precision_weights_keep_the_states_dtype():
    head = ScalarHead(3, 0).bfloat16()
    assert head(torch.randn(4, 3)).dtype == torch.float32


def test_head_refusals():
    with pytest.raises(ForesightError, match="takes 1 actions beside the state and got 0"):
        ScalarHead(3, 1)(torch.zeros(3))
    with pytest.raises(ForesightError, match="takes 0 actions beside the state and got 2"):
        ScalarHead(3, 0)(torch.zeros(3), torch.zeros(2))
    with pytest.raises(ForesightError, match="cannot be built"):
        ScalarHead(3, 0, ScalarConfig("rank"))
    with pytest.raises(ForesightError, match="no member 1"):
        ScalarHead(3).member(1)
    with pytest.raises(ForesightError, match="hold no number"):
        TwoHot(1, 0, 1)

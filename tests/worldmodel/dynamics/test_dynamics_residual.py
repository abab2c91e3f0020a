"""Residual blocks against the sources' description, truncation against a naive loop."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from counted import count_parameters
from foresight.core.errors import ForesightError
from foresight.worldmodel.dynamics.config import (
    DynamicsConfig,
    build_single,
)
from foresight.worldmodel.dynamics.residual import ResBlockDynamics, ResidualDynamics


def test_source_sizes():
    entry = 1026 * 1024 + 1024 + 2 * 1024
    block = 2 * (1024 * 1024 + 1024 + 2 * 1024)
    count = count_parameters(
        build_single(DynamicsConfig("resblock", hidden=1024, layers=4, dropout=0.1), 1024, 2)
    )
    assert count == entry + 4 * block + 1024 * 1024 + 1024 == 10_516_480
    assert (
        count_parameters(build_single(DynamicsConfig("mlp", hidden=512, layers=3), 1024, 2))
        == 1_579_520
    )


def test_resblock_step_equals_the_layers_one_by_one():
    torch.manual_seed(0)
    model = ResBlockDynamics(6, 2, hidden=16, layers=2, dropout=0.5).eval()
    z, a = torch.randn(5, 6), torch.randn(5, 2)
    linear, norm, relu, first, second, out = model.net
    x = relu(norm(linear(torch.cat([z, a], -1))))
    for block in (first, second):
        one, norm1, act, _, two, norm2 = block.body
        x = x + norm2(two(act(norm1(one(x)))))
    torch.testing.assert_close(model.step(z, a), z + out(x))


@pytest.mark.parametrize("kind", [ResidualDynamics, ResBlockDynamics])
def test_dropout_is_drawn_in_training_only(kind):
    model = kind(6, 2, 32, 2, 0.5)
    z, a = torch.randn(5, 6), torch.randn(5, 2)
    assert not torch.equal(model.step(z, a), model.step(z, a))
    model.eval()
    assert torch.equal(model.step(z, a), model.step(z, a))


def test_without_dropout_the_layers_keep_their_numbers():
    assert set(ResidualDynamics(4, 1, 8, 1).state_dict()) == {
        f"net.{layer}.{kind}" for layer in (0, 1, 3) for kind in ("weight", "bias")
    }


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 6), st.integers(1, 7))
def test_truncated_gradient_equals_a_naive_loop(horizon, truncate):
    torch.manual_seed(0)
    model = ResidualDynamics(4, 2, hidden=8, layers=1).double()
    z, actions = torch.randn(3, 4).double(), torch.randn(3, horizon, 2).double()
    imagined = model(z, actions, truncate)
    imagined[:, 1:].square().sum().backward()
    ours = [p.grad.clone() for p in model.parameters()]
    model.zero_grad()
    state, total = z, 0.0
    for t in range(horizon):
        if t % truncate == 0:
            state = state.detach()
        state = model.step(state, actions[:, t])
        torch.testing.assert_close(imagined[:, t + 1], state)
        total = total + state.square().sum()
    total.backward()
    for mine, p in zip(ours, model.parameters(), strict=True):
        torch.testing.assert_close(mine, p.grad)


@pytest.mark.parametrize("wrong", [{"members": 0}, {"hidden": 0}, {"dropout": 1.0}])
def test_impossible_sizes_are_one_sentence(wrong):
    with pytest.raises(ForesightError, match="cannot be built"):
        DynamicsConfig(**wrong)


def test_unknown_kind_is_one_sentence():
    with pytest.raises(ForesightError, match="no dynamics of the kind 'rnn'"):
        build_single(DynamicsConfig("rnn"), 4, 1)

import threading

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from naive_worlds import Integrator, random_network
from torch import nn

from foresight.core.errors import ForesightError
from foresight.planning import fast as fast_module
from foresight.planning.config import MPCConfig
from foresight.planning.fast import FastDynamics, fast, fold_norm, parts_of, relu_
from foresight.planning.objective import GoalDistance, Objective
from foresight.planning.solvers import imagine, make_solver


class Stacked:
    """An ensemble by the house's contract."""

    def __init__(self, networks):
        self.networks = networks
        self.members = len(networks)

    def member(self, index):
        return self.networks[index]

    def step(self, z, action):
        return torch.stack([n.step(s, action) for n, s in zip(self.networks, z, strict=True)])


@settings(max_examples=15, deadline=None)
@given(
    st.integers(1, 4),
    st.integers(1, 3),
    st.integers(1, 9),
    st.integers(1, 4),
    st.integers(1, 4),
    st.sampled_from([3, 512]),
)
def test_imagines_what_the_plain_ensemble_does(members, scenes, samples, horizon, layers, rows):
    networks = [random_network(seed, layers=layers) for seed in range(members)]
    z0, actions = torch.randn(scenes, 8), torch.randn(scenes, samples, horizon, 2)
    expected = imagine(Stacked(networks), z0, actions)
    before, fast_module.ROWS = fast_module.ROWS, rows
    try:
        found = imagine(FastDynamics(networks, torch.float32), z0, actions)
    finally:
        fast_module.ROWS = before
    assert found.shape == (members, scenes, samples, horizon + 1, 8)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


def test_bfloat16_is_near_and_a_step_is_one_of_a_future():
    networks = [random_network(seed, latent=32, hidden=64) for seed in range(3)]
    z0, actions = torch.randn(2, 32), torch.randn(2, 4, 3, 2)
    expected = imagine(Stacked(networks), z0, actions)
    low = FastDynamics(networks, torch.bfloat16)
    found = imagine(low, z0, actions)
    assert found.dtype == torch.float32
    moved = (expected - expected[..., :1, :]).norm()
    assert (found - expected).norm() < 0.03 * moved
    for dtype in (torch.bfloat16, torch.float32):
        dynamics = FastDynamics(networks, dtype)
        start = z0[:, None].expand(2, 4, 32)
        one = dynamics.step(start.expand(3, 2, 4, 32), actions[:, :, 0])
        torch.testing.assert_close(one, imagine(dynamics, z0, actions)[:, :, :, 1])


@pytest.mark.parametrize("threads", [1, 2])
def test_the_same_action_is_chosen(threads):
    networks = [random_network(seed) for seed in range(5)]
    goal = imagine(Stacked(networks), torch.ones(1, 8), torch.ones(1, 1, 4, 2)).mean(0)[:, 0, -1]
    objective = Objective(GoalDistance(goal))
    config = MPCConfig(
        solver="cem", samples=64, elites=8, iterations=4, horizon=4, spread=0.5, min_std=0.02
    )
    plans = {}
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        for name, dynamics in (
            ("plain", Stacked(networks)),
            ("exact", FastDynamics(networks, torch.float32)),
            ("low", FastDynamics(networks, torch.bfloat16)),
        ):
            solver = make_solver(config, dynamics, -torch.ones(2), torch.ones(2))
            plans[name] = solver.plan(torch.ones(1, 8), objective)
    finally:
        torch.set_num_threads(before)
    torch.testing.assert_close(plans["exact"].actions, plans["plain"].actions, atol=1e-3, rtol=0)
    # bfloat16 orders near-equal candidates differently, so the action is near and as good.
    difference = (plans["low"].actions - plans["plain"].actions)[:, 0].abs().max()
    assert difference < 0.2
    actions = plans["low"].actions[:, None]
    cost = objective.cost(imagine(Stacked(networks), torch.ones(1, 8), actions), actions)[:, 0]
    spread = plans["plain"].trace[0].costs.std()
    assert cost - plans["plain"].cost < 0.1 * spread


def test_parts_fill_the_lanes_and_every_row_once():
    for members, rows, lanes in ((5, 500, 2), (5, 128, 2), (1, 1, 4), (3, 1300, 4), (2, 7, 16)):
        parts = parts_of(members, rows, lanes)
        seen = torch.zeros(members, rows, dtype=torch.int)
        for part in parts:
            assert 0 < part.stop - part.start <= fast_module.ROWS
            seen[part.member, part.start : part.stop] += 1
        assert (seen == 1).all()
    assert [(p.member, p.start, p.stop) for p in parts_of(3, 10, 2)] == [
        (0, 0, 10),
        (1, 0, 5),
        (1, 5, 10),
        (2, 0, 10),
    ]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_relu_of_every_bfloat16_number(dtype):
    every = torch.arange(-(2**15), 2**15).to(torch.int16).view(torch.bfloat16)
    every = every[every.isfinite()].to(dtype)
    torch.testing.assert_close(relu_(every.clone()), every.relu(), rtol=0, atol=0)


def test_a_norm_is_folded_where_that_is_exact():
    norm, weight, bias, x = nn.LayerNorm(16), torch.randn(4, 16), torch.randn(4), torch.randn(9, 16)
    with torch.no_grad():
        norm.weight.uniform_(0.5, 2)
        plain, (folded, same) = fold_norm(norm, weight, bias)
        assert plain and same is bias
        alone = nn.functional.layer_norm(x, (16,)).relu() @ folded.T + bias
        torch.testing.assert_close(alone, norm(x).relu() @ weight.T + bias, rtol=1e-4, atol=1e-4)
        norm.bias[3] = 0.1
        assert fold_norm(norm, weight, bias)[0] is False
        norm.bias.zero_()
        norm.weight[3] = -1
        assert fold_norm(norm, weight, bias)[0] is False


def test_untrained_norms_are_folded_and_imagine_the_same():
    from foresight.worldmodel.dynamics.residual import ResidualDynamics

    network = ResidualDynamics(8, 2, 32).requires_grad_(False)
    dynamics = FastDynamics([network], torch.float32)
    assert all(scale is None for _, scale, _, _ in dynamics._stacks[0].norms)
    z0, actions = torch.randn(2, 8), torch.randn(2, 3, 4, 2)
    torch.testing.assert_close(
        imagine(dynamics, z0, actions), imagine(network, z0, actions), rtol=1e-4, atol=1e-4
    )


def test_a_nan_is_seen_where_it_belongs():
    dynamics = FastDynamics([random_network(seed) for seed in range(2)], torch.bfloat16)
    z0, actions = torch.randn(2, 8), torch.randn(2, 3, 4, 2)
    clean = imagine(dynamics, z0, actions)
    actions[1, 2, 1, 0] = torch.nan
    found = imagine(dynamics, z0, actions)
    assert found[:, 1, 2, 2:].isnan().all()
    clean[:, 1, 2, 2:] = found[:, 1, 2, 2:] = 0
    torch.testing.assert_close(found, clean)
    z0[0, 3] = torch.nan
    assert imagine(dynamics, z0, actions)[:, 0, :, 1:, 3].isnan().all()


def test_works_in_inference_mode_with_lanes():
    dynamics = FastDynamics([random_network(seed) for seed in range(3)], torch.float32)
    z0, actions = torch.randn(1, 8), torch.randn(1, 30, 2, 2)
    expected = imagine(dynamics, z0, actions)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with torch.inference_mode():
            found = imagine(dynamics, z0, actions)
    finally:
        torch.set_num_threads(before)
    torch.testing.assert_close(found, expected)
    assert any("lane" in thread.name for thread in threading.enumerate())


def test_the_fast_form_of_an_ensemble_and_of_a_single_network():
    networks = [random_network(seed) for seed in range(3)]
    assert fast(Stacked(networks)).members == 3
    assert fast(networks[0]).members == 1


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: FastDynamics([]), "got 0 members"),
        (lambda: fast(Integrator()), "Integrator has no fast form"),
        (
            lambda: FastDynamics([random_network(), random_network(hidden=16)]),
            "2 members have networks of different sizes",
        ),
        (lambda: FastDynamics([damaged()]), "non-finite weights"),
        (
            lambda: imagine(fast(random_network()), torch.zeros(1, 9), torch.zeros(1, 1, 1, 2)),
            "States of 9 and actions of 2 numbers do not fit a world model of 8 and 2",
        ),
        (lambda: fast(random_network()).step(torch.zeros(2, 8), torch.zeros(2)), "2 members"),
    ],
)
def test_refusals(make, message):
    with pytest.raises(ForesightError, match=message):
        make()


def damaged():
    network = random_network()
    network.net[3].weight[0, 0] = torch.nan
    return network

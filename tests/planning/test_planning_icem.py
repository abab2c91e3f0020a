import math

import pytest
import torch
from naive_worlds import Integrator

from foresight.planning.config import MPCConfig
from foresight.planning.objective import GoalDistance, Objective
from foresight.planning.solvers import CEM, ICEM
from foresight.planning.solvers.noise import coloured_noise

LOW, HIGH = torch.tensor([-1.0]), torch.tensor([1.0])


def expected_covariance(length, beta):
    """Of a stationary signal with power f^-beta, summed over all frequencies of its length."""
    power = [max(min(k, length - k), 1) ** -beta for k in range(length)]
    lags = [
        sum(p * math.cos(2 * math.pi * k * lag / length) for k, p in enumerate(power))
        for lag in range(length)
    ]
    return torch.tensor(
        [[lags[abs(i - j)] / lags[0] for j in range(length)] for i in range(length)]
    )


@pytest.mark.parametrize("length", [1, 2, 5, 8])
@pytest.mark.parametrize("beta", [0.0, 1.0, 2.5])
def test_noise_has_the_asked_for_spectrum_and_unit_variance(length, beta):
    generator = torch.Generator().manual_seed(0)
    noise = coloured_noise((20_000, length, 2), 1, beta, generator)
    assert noise.shape == (20_000, length, 2)
    for dimension in range(2):
        covariance = noise[..., dimension].T.reshape(length, -1).cov(correction=0)
        torch.testing.assert_close(
            covariance.view(length, length), expected_covariance(length, beta), atol=0.05, rtol=0
        )
    assert abs(float((noise[..., 0] * noise[..., 1]).mean())) < 0.03


def icem(own=None, **settings):
    """With other constants than iCEM's where ``own`` has some."""
    given = {"horizon": 8, "samples": 40, "elites": 5, "iterations": 3, **settings}
    kind = type("Other", (ICEM,), own or {})
    return kind(MPCConfig(solver="icem", **given), Integrator(), LOW, HIGH)


def test_samples_decay_but_not_below_twice_the_elites():
    solver = icem(samples=100, elites=10, iterations=6, own={"decay": 2.0})
    plan = solver.plan(torch.zeros(1, 1), Objective(GoalDistance(torch.ones(1))))
    assert [seen.costs.shape[1] for seen in plan.trace] == [100, 50, 25, 20, 20, 20]


def test_elites_of_the_last_decision_come_back_shifted():
    solver = icem({"reuse": 1.0})
    objective = Objective(GoalDistance(torch.tensor([3.0])))
    first = solver.plan(torch.zeros(1, 1), objective)
    kept = solver._last
    assert kept is not None and kept.shape == (1, 5, 8, 1)
    proposed = solver._first(torch.zeros(1, 1), first.actions)
    torch.testing.assert_close(proposed[:, :, :-1], kept[:, :, 1:])
    torch.testing.assert_close(proposed[:, :, -1], kept[:, :, -1])
    assert solver._first(torch.zeros(1, 1), None).shape[1] == 0  # after a reset
    assert solver._first(torch.zeros(2, 1), first.actions).shape[1] == 0  # other scenes
    solver.seed(0)
    assert solver._first(torch.zeros(1, 1), first.actions).shape[1] == 0


def test_kept_elites_make_the_elite_cost_fall_from_turn_to_turn():
    plan = icem({"reuse": 1.0}, iterations=8).plan(
        torch.zeros(1, 1), Objective(GoalDistance(torch.tensor([3.0])))
    )
    elite = torch.stack([seen.elite for seen in plan.trace]).flatten()
    assert (elite.diff() <= 1e-6).all()


def test_momentum_mixes_the_distributions():
    free, slow = (icem({"momentum": share}, iterations=1) for share in (0.0, 0.9))
    objective = Objective(GoalDistance(torch.tensor([3.0])))
    mean = free.plan(torch.zeros(1, 1), objective).trace[0].mean
    mixed = slow.plan(torch.zeros(1, 1), objective).trace[0].mean
    torch.testing.assert_close(mixed, 0.1 * mean)


def test_fewer_samples_than_cem_for_a_goal_that_needs_steady_actions():
    """A far goal asks for the same action again and again, which white noise rarely proposes."""
    goal = torch.tensor([[7.0]])
    objective = Objective(GoalDistance(goal))
    small = MPCConfig(samples=30, elites=5, iterations=3, spread=0.5, min_std=0.02, horizon=10)
    costs = []
    for kind in (ICEM, CEM):
        found = [
            kind(small, Integrator(), LOW, HIGH, seed=seed).plan(torch.zeros(1, 1), objective)
            for seed in range(10)
        ]
        costs.append(float(torch.cat([plan.cost for plan in found]).mean()))
    assert costs[0] < 0.7 * costs[1]

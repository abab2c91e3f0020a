"""Planning with a LeWorldModel: what the solvers see, and that they find what can be found."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from foresight.core.errors import ForesightError
from foresight.planning.lewm import (
    FAST_PLAN,
    BlockDynamics,
    BlockPlanner,
    LeWMDynamics,
    LeWMPlan,
    LeWMPlanner,
    NearestOnTheWay,
)
from foresight.planning.solvers import imagine
from lewm_worlds import random_model

SMALL = LeWMPlan(blocks=3, samples=64, elites=8, iterations=6)


@torch.inference_mode()
def test_actions_of_a_block_lead_to_one_embedding():
    model = random_model(every=2)
    dynamics = LeWMDynamics(model)
    actions = torch.rand(1, 4, 6, 2) * 2 - 1
    seen, done = torch.randn(1, 3, 12), torch.rand(1, 2, 4)
    dynamics.remember(seen, done)
    future = imagine(dynamics, seen[:, -1], actions)
    assert future.shape == (1, 1, 4, 4, 12)
    # The first candidate's first block, told to the model as it was in training.
    block = torch.cat([actions[0, 0, 0], actions[0, 0, 1]])
    told = torch.cat([done[0], block[None]])[None]
    torch.testing.assert_close(
        future[0, 0, 0, 1], model.predict(seen, told)[0, -1], rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize("held", [False, True])
def test_a_goal_that_can_be_imagined_is_found(held):
    model = random_model(every=2)
    torch.manual_seed(3)
    seen, done = torch.randn(2, 12), torch.rand(1, 4)
    wanted = (torch.rand(3, 2) * 1.6 - 0.8).repeat_interleave(2, 0)
    dynamics = LeWMDynamics(model)
    dynamics.remember(seen[None], done[None])
    goal = imagine(dynamics, seen[-1:], wanted[None, None])[0, 0, 0, -1].clone()
    planner = LeWMPlanner(model, replace(SMALL, held=held, iterations=12))
    planner.reset(0)
    found = planner.plan(seen, done, goal)
    assert found.shape == (6, 2) and found.abs().max() <= 1
    if held:
        assert torch.equal(found[::2], found[1::2])
    begun = planner.last.trace[0].costs.median()
    assert planner.last.cost < 0.2 * begun
    again = LeWMPlanner(model, replace(SMALL, held=held, iterations=12))
    again.reset(0)
    assert torch.equal(again.plan(seen, done, goal), found)


def test_the_next_plan_begins_where_the_last_goes_on():
    model = random_model(every=2)
    goal, seen, done = torch.randn(12), torch.randn(1, 12), torch.zeros(0, 4)
    plan = replace(SMALL, iterations=1, spread=1e-6, min_std=0.0, execute=1)
    planner = LeWMPlanner(model, plan)
    first = planner.plan(seen, done, goal)
    second = planner.plan(seen, done, goal)
    # Without any spread a search keeps what it begins with: the old plan, a block on.
    torch.testing.assert_close(second[:4], first[2:], atol=1e-3, rtol=0)
    planner.reset(0)
    assert planner.plan(seen, done, goal).abs().max() < 1e-3


def test_the_nearest_moment_on_the_way_can_count():
    way = torch.tensor([[9.0], [1.0], [4.0]])[None, None, None]  # the present does not count
    term = NearestOnTheWay(torch.tensor([0.5]))
    assert term.cost(way, torch.zeros(1, 1, 2, 1)).item() == 0.5


SPEED = 0.05


class _Square(BlockDynamics):
    """A point in a square, known exactly: its place after every block of five."""

    def __init__(self):
        super().__init__(every=5, actions=2)

    def imagine(self, z0, actions):
        places = [z0[:, None].expand(-1, actions.shape[1], -1)]
        for block in (actions * SPEED).unflatten(2, (-1, 5)).sum(3).unbind(2):
            places.append((places[-1] + block).clamp(0, 1))
        return torch.stack(places, 2)[None]


def _arrivals(plan):
    """In how many of eight episodes of ten blocks a goal is reached, and by how many plans."""
    planner, made, reached = BlockPlanner(_Square(), plan), 0, 0
    places = torch.rand(8, 2, 2, generator=torch.Generator().manual_seed(5))
    for seed, (start, goal) in enumerate(places):
        place = start
        planner.reset(seed)
        queue = torch.zeros(0, 2)
        for _ in range(50):
            if not len(queue):
                told = planner.plan(place[None], torch.zeros(0, 10), goal)
                queue, made = told[: plan.carried_out * 5], made + 1
            place, queue = (place + SPEED * queue[0]).clamp(0, 1), queue[1:]
            if torch.dist(place, goal) < 0.06:
                reached += 1
                break
    return reached, made


def test_with_a_perfect_model_goals_are_reached():
    # The published search, with fewer candidates, carries a plan out to its end.
    assert _arrivals(replace(LeWMPlan(), samples=100, elites=10))[0] >= 7
    reached, made = _arrivals(FAST_PLAN)
    assert reached == 8 and made > 8  # it looked again on the way
    # Judged by its end alone, what is planned anew after every block comes later and later.
    assert _arrivals(replace(FAST_PLAN, judge="last"))[0] < 6


def test_more_blocks_cannot_be_carried_out_than_are_planned():
    with pytest.raises(ForesightError, match="7 blocks of a plan of 5"):
        LeWMPlan(execute=7)

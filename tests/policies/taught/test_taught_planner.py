from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from taught_worlds import glide, line, line_heads, numbers_of, pictures, tiny_model
from torch import nn

from foresight.policies.taught.demonstration import Shown
from foresight.policies.taught.heads import TaughtConfig, TaughtHeads
from foresight.policies.taught.objective import FollowStates
from foresight.policies.taught.planner import FOLLOWING, Follower, propose
from foresight.policies.taught.progress import Progress, ProgressConfig

SEARCH = replace(FOLLOWING, samples=48, elites=8, prior_samples=8, prior_weight=0.0, reach=0.0)


class Gliding(nn.Module):
    """z' = z + a / 2 on the first coordinate, for two members that agree."""

    members = 2

    def __init__(self, factor: float = 0.5) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.tensor(factor))

    def step(self, z, action):
        moved = torch.zeros_like(z)
        moved[..., :1] = self.factor.float() * action.float()
        return z.float() + moved


@pytest.fixture
def world():
    return Gliding(), line_heads(latent=16)


def follows(dynamics, heads):
    """A follower that imagines with these dynamics; its untrained inverse model proposes rest."""
    nn.init.zeros_(heads.inverse.net[-1].weight)
    nn.init.zeros_(heads.inverse.net[-1].bias)
    follower = Follower(tiny_model(latent=16), heads, SEARCH)
    follower.planner.dynamics = follower.planner.solver.dynamics = dynamics
    return follower


def test_the_cost_is_that_of_a_plain_loop():
    torch.manual_seed(0)
    heads = TaughtHeads(5, 2, TaughtConfig(longest=7, hidden=8)).eval()
    heads.space.settle(torch.randn(60, 5))
    goals, imagined = torch.randn(4, 5), torch.randn(2, 1, 3, 5, 5)
    found = FollowStates(heads, goals, reach=0.4, early=0.8).cost(imagined, torch.zeros(1, 3, 4, 2))
    weights = np.array([0.8**3, 0.8**2, 0.8, 1.0])
    for sample in range(3):
        total = 0.0
        for member in range(2):
            states = imagined[member, 0, sample, 1:]
            apart = [
                float((heads.space(state) - heads.space(goal)).square().mean().sqrt())
                for state, goal in zip(states, goals, strict=True)
            ]
            total += float((weights * apart).sum() / weights.sum())
            total += 0.4 * float(heads.decisions(states[-1], goals[-1])) / 7
        assert float(found[0, sample]) == pytest.approx(total / 2, rel=1e-4)


@torch.no_grad()
def drive(dynamics, follower, start, decisions):
    z = torch.zeros(1, 16)
    z[0, 0] = start
    track = [start]
    for _ in range(decisions):
        action = follower.act(z)
        assert float(action.abs().max()) <= 1
        z = dynamics.step(z, action[None])
        track.append(float(z[0, 0]))
    return track


def test_it_goes_along_a_demonstration_and_holds_its_end(world):
    dynamics, heads = world
    follower = follows(dynamics, heads)
    follower.reset(line(*(0.25 * i for i in range(9)), *([2.0] * 6), latent=16))
    track = drive(dynamics, follower, 0.0, 24)
    assert track[8] == pytest.approx(2.0, abs=0.5)
    assert all(abs(position - 2.0) < 0.15 for position in track[-8:])
    assert follower.progress.done == 1
    assert follower.imagined().shape == (SEARCH.horizon, 16)


def test_from_elsewhere_it_comes_to_the_demonstration(world):
    dynamics, heads = world
    follower = follows(dynamics, heads)
    follower.reset(line(*(0.25 * i for i in range(9)), *([2.0] * 6), latent=16))
    track = drive(dynamics, follower, -3.0, 30)
    assert all(abs(position - 2.0) < 0.15 for position in track[-6:])


def test_the_same_seed_gives_the_same_plan_and_an_episode_starts_afresh(world):
    dynamics, heads = world
    follower, shown = follows(dynamics, heads), line(*range(9), latent=16)
    runs = []
    for _ in range(2):
        follower.seed(4)
        follower.reset(shown)
        runs.append(drive(dynamics, follower, 0.3, 4))
    assert runs[0] == runs[1]


def test_a_model_that_fails_leaves_the_last_plan_then_the_inverse_model(world):
    dynamics, heads = world
    follower = follows(dynamics, heads)
    shown = line(*(0.25 * i for i in range(9)), latent=16)
    follower.reset(shown)
    z = torch.zeros(1, 16)
    follower.act(z)
    planned = follower.planner.last.clone()
    dynamics.factor.data.fill_(torch.nan)
    follower.progress.reset()
    with pytest.warns(RuntimeWarning, match="its last good plan"):
        torch.testing.assert_close(follower.act(z), planned[0, 1])
    assert follower.fallbacks == 1
    follower.reset(shown)
    assert follower.act(z).isfinite().all() and follower.fallbacks == 1
    assert follower.imagined().shape == (1, 16)


def test_proposals_ask_for_the_sub_goal_in_time(world):
    _, heads = world
    progress = Progress(line(*range(9), latent=16), heads, ProgressConfig(look_ahead=3))
    z = torch.zeros(4, 16)
    found = propose(heads, progress, z)
    wanted = heads.action(z, progress.shown.z[3], heads.config.longest)  # it seems far away
    torch.testing.assert_close(found, wanted)


def test_heads_learned_from_random_walks_find_the_way_without_a_planner():
    from taught_worlds import SMALL, STEP

    from foresight.training.taught import train_heads

    model = tiny_model()
    numbers = numbers_of(model)
    heads, _ = train_heads(glide(100, 12, model), SMALL)
    path = torch.cat([torch.linspace(-0.8, 0.8, 9), torch.full((6,), 0.8)])
    features = pictures(path, numbers)
    progress = Progress(Shown(features, model.encode(features), 1), heads, ProgressConfig())
    position = -0.8
    with torch.no_grad():
        for _ in range(24):
            z = model.encode(pictures(torch.tensor([position]), numbers))
            progress.update(z[0])
            position += STEP * float(propose(heads, progress, z)[0, 0])
    assert position == pytest.approx(0.8, abs=0.2)

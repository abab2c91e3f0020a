"""Rolling a model through single steps of held decisions, against plain loops."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from foresight.policies.delayed.rolling import in_decisions, roll
from joint_worlds import tiny


def slow_mix(part):
    """The steady push that moves a thing at rest as far as these pushes do."""
    place, speed = 0.0, 0.0
    for push in part:
        place, speed = place + speed + push / 2, speed + push
    return place / (len(part) ** 2 / 2)


def slow(dynamics, z, actions, hold):
    """One scene, one member and one decision after the other; the last one in part."""
    ends = []
    for member in range(dynamics.members):
        state = z
        for start in range(0, len(actions), hold):
            part = actions[start : start + hold]
            after = dynamics(state[None], slow_mix(part)[None, None])[member, 0, 1]
            state = state + (after - state) * len(part) / hold
        ends.append(state)
    return sum(ends) / len(ends)


@settings(max_examples=25, deadline=None)
@given(
    lengths=st.lists(st.integers(0, 7), min_size=1, max_size=3),
    hold=st.integers(1, 3),
    seed=st.integers(0, 20),
)
def test_every_scene_goes_its_own_way(lengths, hold, seed):
    model = tiny()
    random = torch.Generator().manual_seed(seed)
    z = torch.rand(len(lengths), model.latent, generator=random)
    z = model.dynamics.members * z  # no shares: states are what the model makes of them
    z = torch.softmax(z.unflatten(-1, (8, -1)), -2).flatten(-2)
    actions = [2 * torch.rand(n, 2, generator=random) - 1 for n in lengths]
    with torch.no_grad():
        found = roll(model.dynamics, z, actions, hold)
        for one, start, done in zip(found, z, actions, strict=True):
            torch.testing.assert_close(one, slow(model.dynamics, start, done, hold))
    shares = found.unflatten(-1, (8, -1)).sum(-2)
    torch.testing.assert_close(shares, torch.ones_like(shares))  # still a state of the model


def test_nothing_under_way_changes_no_bit():
    z = torch.randn(2, 32)
    assert roll(tiny().dynamics, z, [torch.zeros(0, 2)] * 2, 2) is z


@pytest.mark.parametrize("kind", ["one", "several"])
def test_single_networks_roll_like_ensembles(kind):
    from foresight.worldmodel.dynamics.build import build_dynamics
    from foresight.worldmodel.dynamics.config import DynamicsConfig

    members = 1 if kind == "one" else 3
    dynamics = build_dynamics(DynamicsConfig("mlp", members, hidden=16), 6, 2, seed=1)
    z, done = torch.randn(1, 6), torch.rand(4, 2)
    path = dynamics(z, done[None, ::2])
    wanted = path[:, -1] if kind == "one" else path.mean(0)[:, -1]
    torch.testing.assert_close(roll(dynamics, z, [done[::2].repeat_interleave(2, 0)], 2), wanted)


def test_steps_become_decisions():
    steps = torch.tensor([[1.0], [3.0], [5.0], [5.0], [7.0]])
    decisions, length = in_decisions(steps, 2)
    assert decisions.tolist() == [[1.5], [5.0], [7.0]] and length == 2.5
    assert in_decisions(steps[:0], 3)[1] == 0

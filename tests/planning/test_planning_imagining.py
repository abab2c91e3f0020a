import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from naive_worlds import Gains, Integrator

from foresight.core.errors import ForesightError
from foresight.planning.solvers import imagine, shift


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 4), st.integers(1, 3), st.integers(1, 4), st.integers(1, 4))
def test_members_imagine_as_a_naive_loop_does(members, scenes, samples, horizon):
    world = Gains(*[0.5 + i for i in range(members)])
    z0, actions = torch.randn(scenes, 2), torch.randn(scenes, samples, horizon, 2)
    imagined = imagine(world, z0, actions)
    assert imagined.shape == (members, scenes, samples, horizon + 1, 2)
    for e in range(members):
        for b in range(scenes):
            for s in range(samples):
                state = z0[b]
                assert torch.equal(imagined[e, b, s, 0], state)
                for t in range(horizon):
                    state = state + world.gains[e] * actions[b, s, t]
                    torch.testing.assert_close(imagined[e, b, s, t + 1], state)


def test_members_are_one_product_and_share_the_actions():
    world = Gains(1.0, 2.0, 3.0)
    imagine(world, torch.zeros(4, 2), torch.zeros(4, 5, 6, 2))
    assert world.seen == [((3, 20, 2), (20, 2))] * 6


def test_another_number_of_scenes():
    with pytest.raises(ForesightError, match="2 scenes of actions from 3 states"):
        imagine(Integrator(), torch.zeros(3, 2), torch.zeros(2, 1, 1, 2))


def test_shift_by_more_than_there_is():
    actions = torch.arange(3.0).reshape(1, 3, 1)
    assert shift(actions, 2).flatten().tolist() == [2, 2, 2]
    assert shift(actions, 7).flatten().tolist() == [2, 2, 2]

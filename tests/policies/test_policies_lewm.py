"""Reaching goal pictures: nothing is encoded twice, the past is told, no goal is refused."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from foresight.core.errors import ForesightError
from foresight.core.observation import Observation
from foresight.envs import make, spec_of
from foresight.planning.lewm import LeWMPlan
from foresight.policies.lewm import InverseFactory, InversePolicy, LeWMFactory, LeWMPolicy
from foresight.worldmodel.lewm.inverse import GoalInverse
from lewm_worlds import random_model

SMALL = LeWMPlan(blocks=2, samples=8, elites=2, iterations=2, execute=1)


def observation(number):
    picture = np.full((16, 16, 3), 10 * number, np.uint8)
    return Observation(images={"view": picture, "goal": 255 - picture})


def test_pictures_are_encoded_once_and_the_past_is_what_was_seen_and_done():
    model = random_model(every=2)
    policy = LeWMPolicy(model, SMALL)
    told = []
    plan = policy.planner.plan
    policy.planner.plan = lambda *args: told.append([a.clone() for a in args]) or plan(*args)
    seen = [observation(number) for number in range(10)]
    policy.reset(seen[0], 0)
    actions = np.stack([policy.act(each) for each in seen])
    assert policy.encoded == 1 + 5 and len(told) == 5
    notes = policy.notes()
    assert notes["plans"] == 5 and notes["encoded"] == 6 and notes["ms_per_plan"] > 0
    pictures = torch.from_numpy(np.stack([each.images["view"] for each in seen[::2]]))
    with torch.inference_mode():
        embedded, goal = model.encode(pictures), model.encode(torch.tensor(seen[0].images["goal"]))
    past, done, aim = told[-1]
    torch.testing.assert_close(past, embedded[-3:], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(aim, goal, rtol=1e-4, atol=1e-5)
    blocks = model.normalised(torch.from_numpy(actions)).view(5, 4)
    torch.testing.assert_close(done, blocks[2:4], rtol=1e-5, atol=1e-6)
    assert [len(args[0]) for args in told] == [1, 2, 3, 3, 3]


def test_several_blocks_of_a_plan_can_be_executed():
    policy = LeWMPolicy(random_model(every=2), LeWMPlan(**{**vars(SMALL), "execute": 2}))
    policy.reset(observation(0), 0)
    for number in range(8):
        policy.act(observation(number))
    assert policy.notes()["plans"] == 2 and policy.encoded == 1 + 4


def test_an_episode_follows_from_its_seed():
    policy = LeWMPolicy(random_model(every=2), SMALL)

    def played(seed):
        policy.reset(observation(0), seed)
        return np.stack([policy.act(observation(number)) for number in range(4)])

    first, second, again = played(0), played(1), played(0)
    assert np.array_equal(first, again) and not np.array_equal(first, second)
    assert (np.abs(first) <= [2, 1]).all()


def test_a_goal_can_be_a_picture_and_has_to_be_something(tmp_path):
    model = random_model(every=2)
    alone = Observation(images={"view": np.zeros((16, 16, 3), np.uint8)})
    with pytest.raises(ForesightError, match="'goal'"):
        LeWMPolicy(model, SMALL).reset(alone, 0)
    model.save(tmp_path / "model")
    np.save(tmp_path / "goal.npy", np.full((1, 16, 16, 3), 9, np.uint8))
    spec = spec_of(make("tworoom/point", cameras=[]))
    policy = LeWMFactory(str(tmp_path / "model"), SMALL, goal=str(tmp_path / "goal.npy"))(spec)
    policy.reset(alone, 0)
    assert policy.act(alone).shape == (2,)
    with pytest.raises(ForesightError, match="do not fit"):
        LeWMFactory(str(_other(tmp_path)))(spec)


def _other(folder):
    """A model of a robot with three numbers of action."""
    bounds = {"actions": 3, "action_low": (-1.0,) * 3, "action_high": (1.0,) * 3}
    random_model(**bounds).save(folder / "other")
    return folder / "other"


def test_an_inverse_model_decides_in_one_pass(tmp_path):
    torch.manual_seed(0)
    inverse = GoalInverse(random_model(every=2)).eval()
    inverse.save(tmp_path)
    policy = InverseFactory(str(tmp_path))(spec_of(make("tworoom/point", cameras=[])))
    assert isinstance(policy, InversePolicy)
    policy.reset(observation(3), 0)
    done = np.stack([policy.act(observation(3)) for _ in range(2)])
    model = inverse.model
    with torch.inference_mode():
        pictures = observation(3).images
        z, goal = (model.encode(torch.from_numpy(pictures[n][None])) for n in ("view", "goal"))
        expected = model.scaled(inverse(z, goal).view(2, 2))
    np.testing.assert_allclose(done, expected.numpy(), rtol=1e-4, atol=1e-5)

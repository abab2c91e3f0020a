"""Updates of the reduced Dreamer: it learns to control a tiny world; NaN is a sentence."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from foresight.core.errors import ForesightError
from foresight.envs.registry import spec_of
from foresight.perception.senses import Senses
from foresight.policies.reduced import RANDOM, ReducedPolicy
from foresight.training.reduced_dreamer import DreamerConfig, DreamerLearner
from foresight.training.replay import Replay
from foresight.worldmodel.rssm.agent import ReducedDreamer, config_of
from line_world import ENV, SIZES, dreamer, lived, played


def learner(representation="r2", **changes) -> DreamerLearner:
    robot = Senses().robot(spec_of(ENV.make()))
    torch.manual_seed(0)
    model = ReducedDreamer(config_of(robot, replace(SIZES, representation=representation)))
    return DreamerLearner(model, replace(dreamer(1).learner, **changes))


@pytest.mark.parametrize("representation", ["r2", "reconstruction"])
def test_it_learns_to_control_from_random_episodes(representation):
    trained, replay = learner(representation), lived(60)
    for _ in range(160):
        trained.update(replay)
    random = played(ReducedPolicy(trained.model, Senses(), RANDOM))
    assert played(ReducedPolicy(trained.model, Senses())) > random + 2.5


def test_all_chance_follows_from_seed_and_number():
    replay, first, second = lived(4), learner(), learner()
    for _ in range(2):
        logs, others = first.update(replay), second.update(replay)
        torch.rand(1)
        assert {k: float(v) for k, v in logs.items()} == {k: float(v) for k, v in others.items()}


def test_what_is_not_finite_is_one_sentence():
    broken = learner()
    with torch.no_grad():
        broken.model.rssm.code.fill_(torch.nan)
    with pytest.raises(ForesightError, match=r"reduced Dreamer is not finite \(loss nan\): lower"):
        broken.update(lived(4))
    with pytest.raises(ForesightError, match="no episode to learn from"):
        learner().update(Replay(4, 0, 1, 2))


def test_more_replay_is_refused():
    with pytest.raises(ForesightError, match="at most 32 times"):
        DreamerConfig(ratio=64)

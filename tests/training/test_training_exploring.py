from __future__ import annotations

import torch

from foresight.training.exploring import ActorSampler
from joint_worlds import tiny


def test_who_explores_acts_by_a_sample_and_who_does_not_by_the_mean():
    model = tiny()
    stacked = torch.rand(4, model.features)
    sampler = ActorSampler(model, 3)
    mean = model.prior.mean_action(model.encode(stacked))
    noise = torch.Generator().manual_seed(3)
    drawn = [model.prior.sample(model.encode(stacked), noise)[0] for _ in range(2)]
    torch.testing.assert_close(sampler.act(stacked), drawn[0])
    mask = torch.tensor([True, False, False, True])
    torch.testing.assert_close(
        sampler.act(stacked, explore=mask), torch.where(mask[:, None], drawn[1], mean)
    )
    torch.testing.assert_close(sampler.act(stacked, explore=False), mean)
    assert not torch.equal(drawn[0], mean)

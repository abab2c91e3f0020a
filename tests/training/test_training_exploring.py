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


def test_noise_goes_on_and_each_decision_alone_is_as_the_prior_says():
    model = tiny()
    stacked = torch.rand(400, model.features)
    mean, deviation = model.prior(model.encode(stacked))
    sampler = ActorSampler(model, 0, correlation=0.8)
    acted = [sampler.act(stacked) for _ in range(12)]
    noise = torch.stack([(torch.atanh(a) - mean) / deviation for a in acted]).detach()
    assert noise.mean().abs() < 0.05 and (noise.std(1) - 1).abs().max() < 0.12
    for apart in (1, 3):
        found = (noise[apart:] * noise[:-apart]).mean()
        assert abs(found - 0.8**apart) < 0.06
    sampler.reset()
    again = (torch.atanh(sampler.act(stacked)) - mean) / deviation
    assert abs((again * noise[-1]).mean()) < 0.1

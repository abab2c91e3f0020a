"""Network shapes and sizes against the sources' description and a naive loop."""

import torch

from counted import count_parameters
from foresight.worldmodel.dynamics.residual import ResidualDynamics
from foresight.worldmodel.heads.mlp_reward import RewardModel


def test_source_dynamics_has_the_layers_that_the_sources_name():
    model = ResidualDynamics(1024, 2)
    shapes = [tuple(m.weight.shape) for m in model.net if isinstance(m, torch.nn.Linear)]
    assert shapes == [(512, 1026), (512, 512), (512, 512), (1024, 512)]
    # 1026·512+512 + 2·(512·512+512) + 512·1024+1024 + 3 LayerNorms of 1024
    assert count_parameters(model) == 525_824 + 525_312 + 525_312 + 3_072


def test_source_reward_model_has_329_thousand_parameters():
    assert count_parameters(RewardModel(1024, 2)) == 328_961


def test_rollout_equals_a_naive_loop_and_starts_at_z():
    torch.manual_seed(0)
    model = ResidualDynamics(6, 2, hidden=16)
    z, actions = torch.randn(3, 6), torch.randn(3, 4, 2)
    rolled = model(z, actions)
    assert torch.equal(rolled[:, 0], z)
    state = z
    for t in range(4):
        joined = torch.cat([state, actions[:, t]], -1)
        for layer in model.net:
            joined = layer(joined)
        state = state + joined
        torch.testing.assert_close(rolled[:, t + 1], state)


def test_zero_output_layer_is_persistence():
    model = ResidualDynamics(6, 2, hidden=16)
    torch.nn.init.zeros_(model.net[-1].weight)
    torch.nn.init.zeros_(model.net[-1].bias)
    z = torch.randn(5, 6)
    assert torch.equal(model.step(z, torch.randn(5, 2)), z)


def test_bf16_weights_keep_an_fp32_state():
    torch.manual_seed(0)
    model = ResidualDynamics(32, 2, hidden=64)
    z, a = torch.randn(7, 32), torch.randn(7, 2)
    exact = model.step(z, a)
    rounded = model.bfloat16().step(z, a)
    assert rounded.dtype == torch.float32
    torch.testing.assert_close(rounded, exact, atol=0.05, rtol=0.05)

import pytest
import torch
from naive_worlds import random_network

from benchmarks.planner_bench import LoopDynamics
from foresight.core.errors import ForesightError
from foresight.native import library, why_not
from foresight.planning.fast import FastDynamics
from foresight.planning.native_dynamics import NATIVE_ROWS, can_roll
from foresight.planning.solvers import imagine

pytestmark = pytest.mark.skipif(library() is None, reason=f"no native dynamics: {why_not()}")


def rounded(x):
    return x.bfloat16().float()


def naive(network, z, actions):
    """A rollout written out in fp32, rounded where the compiled one rounds."""
    states = [z]
    for action in actions.unbind(-2):
        x = torch.cat([states[-1], rounded(action)], dim=-1)
        for layer in network.net:
            if isinstance(layer, torch.nn.Linear):
                x = torch.nn.functional.linear(rounded(x), rounded(layer.weight), layer.bias)
            else:
                x = layer(x)
        states.append(states[-1] + x)
    return torch.stack(states, dim=-2)


@pytest.mark.parametrize(
    ("latent", "hidden", "actions"), [(32, 64, 2), (128, 512, 6), (19, 32, 1), (70, 96, 33)]
)
def test_equals_the_rollout_written_out(latent, hidden, actions):
    network = random_network(3, latent=latent, hidden=hidden, actions=actions).eval()
    for layer in network.net:
        if isinstance(layer, torch.nn.LayerNorm):
            layer.weight.data.uniform_(-1.5, 1.5)
            layer.bias.data.normal_(0, 0.3)
    dynamics = FastDynamics([network], torch.bfloat16)
    assert dynamics.native is not None
    z, taken = torch.randn(1, latent), 2 * torch.rand(1, 45, 4, actions) - 1
    with torch.no_grad():
        expected = naive(network, z[:, None].expand(1, 45, latent), taken)
    found = imagine(dynamics, z, taken)[0]
    assert found.shape == expected.shape
    moved = (expected - expected[..., :1, :]).norm()
    assert (found - expected).norm() < 2e-3 * moved  # what rounds to another side here and there


def test_members_parts_and_company():
    networks = [random_network(seed, latent=32, hidden=64) for seed in range(3)]
    dynamics = FastDynamics(networks, torch.bfloat16)
    z, actions = torch.randn(2, 32), torch.randn(2, 2 * NATIVE_ROWS + 9, 3, 2)
    together = imagine(dynamics, z, actions)
    expected = imagine(LoopDynamics(networks), z, actions)
    moved = (expected - expected[..., :1, :]).norm()
    assert (together - expected).norm() < 0.02 * moved
    for scene, start, stop in ((0, 0, 1), (1, 7, 50), (1, 100, 2 * NATIVE_ROWS + 9)):
        alone = imagine(dynamics, z[scene : scene + 1], actions[scene : scene + 1, start:stop])
        assert torch.equal(alone[:, 0], together[:, scene, start:stop])
    step = dynamics.step(together[:, :, :, 1], actions[:, :, 1])
    assert torch.equal(step, together[:, :, :, 2])
    every_other = torch.randn(2, actions.shape[1], 4).bfloat16()[..., ::2]
    assert dynamics.step(together[:, :, :, 1], every_other).isfinite().all()
    for network in networks:  # what learns on later is another network
        for weight in network.parameters():
            weight.zero_()
    double = imagine(dynamics, z.double(), actions)
    assert double.dtype == torch.float64 and torch.equal(double.float(), together)


def test_a_nan_stays_in_its_future():
    dynamics = FastDynamics([random_network(0, latent=32, hidden=64)], torch.bfloat16)
    actions = torch.randn(1, 40, 3, 2)
    actions[0, 3, 1] = torch.nan
    found = imagine(dynamics, torch.randn(1, 32), actions)
    assert found[:, 0, 3, 2:].isnan().all() and found[:, 0, 4:].isfinite().all()


def test_where_it_does_not_fit_torchs_operations_run():
    odd = random_network(0, latent=32, hidden=40)
    assert not can_roll(odd, torch.bfloat16)
    assert not can_roll(random_network(0, latent=32, hidden=64), torch.float32)
    assert FastDynamics([odd], torch.bfloat16).native is None
    assert FastDynamics([random_network(0)], torch.bfloat16, native=False).native is None


def test_too_little_memory_is_one_sentence(monkeypatch):
    dynamics = FastDynamics([random_network(0, latent=32, hidden=64)], torch.bfloat16)
    broken = type("F", (), {"foresight_roll": lambda *_: 1})
    monkeypatch.setattr(dynamics.native, "_functions", broken)
    with pytest.raises(ForesightError, match="not enough memory to imagine 5 futures"):
        imagine(dynamics, torch.randn(1, 32), torch.randn(1, 5, 3, 2))

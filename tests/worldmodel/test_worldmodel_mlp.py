"""Few operations give what plain layers give, member by member: values, losses and gradients."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from foresight.native import norms as native
from foresight.native.norms import norms
from foresight.training import learner as learning
from foresight.training.learner import Learner
from foresight.training.learner_config import LearnerConfig
from foresight.worldmodel import layers
from foresight.worldmodel.dynamics import simnorm_rollout
from foresight.worldmodel.dynamics.config import DynamicsConfig
from foresight.worldmodel.dynamics.simnorm import SimNormDynamics
from foresight.worldmodel.dynamics.stacked import stack, unstack
from foresight.worldmodel.layers import plan_of
from foresight.worldmodel.mlp import MLP
from joint_worlds import point_world, tiny


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(params=["compiled", "torch"])
def kernels(request, monkeypatch):
    """Both ways through what lies between the products."""
    if request.param == "torch":
        for module in (layers, simnorm_rollout):
            monkeypatch.setattr(module, "norms", lambda: None)
    elif norms() is None:
        pytest.skip("no compiler")


def network(activation, seed, width=64):
    torch.manual_seed(seed)
    blocks = [nn.Linear(20, width), nn.LayerNorm(width), activation()]
    blocks += [nn.Linear(width, width), nn.LayerNorm(width), activation(), nn.Linear(width, 7)]
    net = MLP(*blocks)
    with torch.no_grad():
        for weight in net.parameters():
            weight.add_(0.2 * torch.randn(weight.shape))
    return net


def gradients(loss, net, inputs):
    return torch.autograd.grad(loss, [*net.parameters(), *inputs])


def looped(members, parts, up, dtype):
    """Outputs and gradients of plain layers, one member after the other."""
    found = []
    for index, net in enumerate(members):
        own = [part[index].detach().requires_grad_() for part in parts]
        with torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16):
            out = nn.Sequential.forward(net, torch.cat(own, -1))
        found.append([out.float(), *gradients((out.float() * up[index]).sum(), net, own)])
    return [torch.stack(every) for every in zip(*found, strict=True)]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("activation", [nn.ReLU, nn.SiLU])
def test_a_stack_equals_a_loop_over_plain_members(kernels, activation, dtype):
    """In bfloat16: it is about as far from what fp32 gives as the plain layers are."""
    members = [network(activation, seed) for seed in range(3)]
    together = stack(members)
    parts = [torch.randn(3, 2, 90, width, requires_grad=True) for width in (16, 4)]
    up = torch.randn(3, 2, 90, 7)
    with torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16):
        out = together(*parts)
    assert out.dtype == dtype and "_Run" in type(out.grad_fn).__name__
    ours = [out.float(), *gradients((out.float() * up).sum(), together, parts)]
    exact, plain = looped(members, parts, up, torch.float32), looped(members, parts, up, dtype)
    for one, other, truth in zip(ours, plain, exact, strict=True):
        off, usual = (float((x - truth).norm() / truth.norm()) for x in (one, other))
        assert off < 1.3 * usual + 3e-6


def test_parts_and_weights_without_gradient_get_none(kernels):
    net = network(nn.SiLU, 0).requires_grad_(False)
    z, action = torch.randn(5, 16), torch.randn(5, 4, requires_grad=True)
    net(z, action).square().sum().backward()
    found, action.grad = action.grad, None
    nn.Sequential.forward(net, torch.cat([z, action], -1)).square().sum().backward()
    torch.testing.assert_close(found, action.grad, atol=2e-5, rtol=1e-4)
    assert z.grad is None and all(p.grad is None for p in net.parameters())


@pytest.mark.parametrize("latent", [32, 128])
def test_the_imagined_rollout_equals_a_loop_over_members_and_steps(kernels, latent):
    dynamics = SimNormDynamics(DynamicsConfig("simnorm", 3, 64, 2), latent, 2, seed=0)
    z = torch.rand(3, 5, 8, latent // 8).softmax(-2).flatten(-2).requires_grad_()
    actions, up = torch.randn(3, 5, 3, 2), torch.randn(3, 5, 4, latent)
    found = dynamics.apart(z, actions)
    assert "SimNormRollout" in type(found.grad_fn).__name__
    ours = gradients((found * up).sum(), dynamics, [z])
    for index in range(3):
        single = copy.deepcopy(dynamics.ensemble.member(index))
        states = [z[index]]
        for step in range(3):
            joined = torch.cat([states[-1], actions[index, :, step]], -1)
            change = nn.Sequential.forward(single.net, joined)
            logits = states[-1].clamp(min=1e-2).log() + change
            states.append(logits.unflatten(-1, (8, -1)).softmax(-2).flatten(-2))
        wanted = torch.stack(states, 1)
        torch.testing.assert_close(found[index], wanted, atol=1e-6, rtol=1e-4)
        theirs = gradients((wanted * up[index]).sum(), single, [z])
        for one, other in zip(ours, theirs, strict=True):
            own = other[index] if other.shape == one.shape else other
            torch.testing.assert_close(one[index], own, atol=1e-4, rtol=1e-3)


def plain(monkeypatch):
    monkeypatch.setattr("foresight.worldmodel.mlp.plan_of", lambda net: None)
    monkeypatch.setattr("foresight.worldmodel.dynamics.simnorm.plan_of", lambda net: None)


def learned(dtype, monkeypatch):
    monkeypatch.setattr(learning, "default_dtype", lambda device: dtype)
    model, (replay, _) = tiny(latent=128, continuation=True), point_world(20, latent=128)
    replay.expert_actions[: int(replay.offsets[10])] = torch.tensor([0.5, -0.5])
    replay.asked[:10] = True
    learner = Learner(model.train(), LearnerConfig(batch=8))
    learner.refresh(replay)
    logs = [learner.update(replay) for _ in range(5)]
    return logs, torch.cat([p.detach().flatten() for p in model.parameters()])


@pytest.mark.parametrize(("dtype", "close"), [(torch.float32, 2e-4), (torch.bfloat16, 3e-2)])
def test_updates_have_the_losses_of_plain_layers(kernels, monkeypatch, dtype, close):
    logs, weights = learned(dtype, monkeypatch)
    plain(monkeypatch)
    wanted, others = learned(dtype, monkeypatch)
    for one, other in zip(logs, wanted, strict=True):
        assert one.keys() == other.keys() == {"prediction", "reward", "value", "continuation",
                                              "value-estimate", "entropy", "imitation"}  # fmt: skip
        for name, value in one.items():
            assert float(value) == pytest.approx(float(other[name]), rel=close, abs=close)
    assert float((weights - others).abs().mean()) < (1e-5 if dtype == torch.float32 else 1e-3)


def test_evaluation_several_threads_and_other_layers_are_left_to_torch():
    net = network(nn.ReLU, 0)
    x = torch.randn(4, 20)
    assert "_Run" in type(net(x).grad_fn).__name__
    assert "_Run" not in type(net.eval()(x).grad_fn).__name__
    assert plan_of(MLP(nn.Linear(4, 4), nn.LayerNorm(4), nn.Tanh(), nn.Linear(4, 2))) is None
    assert plan_of(MLP(nn.Linear(4, 4, bias=False), *network(nn.ReLU, 0)[1:])) is None
    assert plan_of(network(nn.ReLU, 0).double()) is None
    torch.set_num_threads(2)
    assert plan_of(net) is None
    torch.testing.assert_close(unstack(stack([net]), 0, network(nn.ReLU, 1))(x), net(x))


def test_no_compiler_is_no_error(monkeypatch, tmp_path):
    monkeypatch.setenv("FORESIGHT_HOME", str(tmp_path))
    monkeypatch.setenv("CXX", "no-such-compiler")
    native.norms.cache_clear()
    assert native.norms() is None
    native.norms.cache_clear()

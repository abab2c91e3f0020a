"""An ensemble is its members: same numbers, same gradients, nothing shared."""

import pytest
import torch

from foresight.core.errors import ForesightError
from foresight.worldmodel.dynamics.build import build_dynamics
from foresight.worldmodel.dynamics.config import DynamicsConfig
from foresight.worldmodel.dynamics.ensemble import (
    EnsembleDynamics,
    HistoryEnsemble,
    clip_gradients,
)
from foresight.worldmodel.dynamics.history import Remembering
from foresight.worldmodel.dynamics.rollout import mean_rollout, mean_step, members_of
from foresight.worldmodel.dynamics.stacked import stack

Z, A, E, H = 12, 2, 3, 4
KINDS = {
    "mlp": DynamicsConfig("mlp", E, 16, 2),
    "resblock": DynamicsConfig("resblock", E, 16, 2),
    "transformer": DynamicsConfig("transformer", E, 16, 2, heads=2, context=6),
    "tokens": DynamicsConfig("tokens", E, 16, 1, heads=2, context=6, tokens=4),
    "factorised": DynamicsConfig("tokens", E, 16, 1, heads=2, context=6, tokens=4, factorised=True),
}


def ensemble(kind: str) -> EnsembleDynamics:
    made = build_dynamics(KINDS[kind], Z, A, seed=3)
    assert isinstance(made, EnsembleDynamics)
    torch.manual_seed(0)
    with torch.no_grad():
        for p in made.parameters():
            p.add_(0.2 * torch.randn_like(p))  # transformers start with layers at zero
    return made


@pytest.fixture(params=KINDS)
def made(request):
    return ensemble(request.param)


def test_every_member_is_a_plain_network(made):
    made.double()
    z, a = torch.randn(7, Z).double(), torch.randn(7, H, A).double()
    together = made(z, a)
    assert together.shape == (E, 7, H + 1, Z) and made.members == members_of(made) == E
    own = torch.randn(E, 7, Z).double()
    stepped, started = made.step(own, a[:, 0]), made(own, a)
    for index in range(E):
        single = made.member(index)
        assert not hasattr(single, "members") and members_of(single) == 1
        torch.testing.assert_close(together[index], single(z, a))
        torch.testing.assert_close(stepped[index], single.step(own[index], a[:, 0]))
        torch.testing.assert_close(started[index], single(own[index], a))
    torch.testing.assert_close(mean_rollout(made, z, a), together.mean(0))
    torch.testing.assert_close(mean_step(made, z, a[:, 0]), together.mean(0)[:, 1])


def test_members_begin_as_single_networks_of_their_seeds(made):
    fresh = build_dynamics(made.config, Z, A, seed=3)
    alone = DynamicsConfig(**{**vars(made.config), "members": 1})
    for index in range(E):
        single = build_dynamics(alone, Z, A, seed=3 + index)
        for name, value in single.state_dict().items():
            assert torch.equal(value, fresh.network.state_dict()[name][index]), name
    first = fresh.network.state_dict()
    assert any(not torch.equal(value[0], value[1]) for value in first.values())


def test_gradients_do_not_mix_between_members(made):
    z, a = torch.randn(E, 5, Z), torch.randn(E, 5, H, A)
    losses = made.apart(z, a)[:, :, 1:].square().mean((1, 2, 3))
    losses[1].backward(retain_graph=True)
    for name, p in made.named_parameters():
        assert float(p.grad[[0, 2]].abs().sum()) == 0, name
    alone = {name: p.grad[1].clone() for name, p in made.named_parameters()}
    made.zero_grad()
    losses.sum().backward()
    single = made.member(1)
    single(z[1], a[1])[:, 1:].square().mean().backward()
    expected = dict(single.named_parameters())
    for name, p in made.network.named_parameters():
        torch.testing.assert_close(p.grad[1], alone[f"network.{name}"])
        torch.testing.assert_close(p.grad[1], expected[name].grad, atol=1e-6, rtol=1e-4)


def test_dropout_differs_between_members():
    made = EnsembleDynamics(DynamicsConfig("mlp", 2, 64, 1, dropout=0.5), Z, A, 0)
    with torch.no_grad():
        for p in made.parameters():
            p[1] = p[0]
    out = made(torch.randn(4, Z), torch.randn(4, 1, A))
    assert not torch.equal(out[0], out[1])
    made.eval()
    out = made(torch.randn(4, Z), torch.randn(4, 1, A))
    torch.testing.assert_close(out[0], out[1])


def test_scenes_and_candidates_need_no_flattening(made):
    z, a = torch.randn(E, 2, 5, Z), torch.randn(2, 5, A)
    flat = made.step(z.flatten(1, 2), a.flatten(0, 1)).unflatten(1, (2, 5))
    torch.testing.assert_close(made.step(z, a), flat, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("kind", ["transformer", "factorised"])
def test_histories_of_ensembles(kind):
    made = ensemble(kind)
    assert isinstance(made, HistoryEnsemble) and made.context == 6
    z, a = torch.randn(2, 3, Z), torch.randn(2, 3, A)
    actions = torch.randn(2, 5, H, A)
    history = (z[:, :2], a[:, :2])
    imagined = Remembering(made, history).imagine(z[:, 2], actions)
    assert imagined.shape == (E, 2, 5, H + 1, Z)
    followed = made(z[:, 2], actions[:, 0], history=history)
    torch.testing.assert_close(imagined[:, :, 0], followed, atol=1e-6, rtol=1e-5)
    for index in range(E):
        alone = Remembering(made.member(index), history).imagine(z[:, 2], actions)
        torch.testing.assert_close(imagined[index], alone[0], atol=1e-6, rtol=1e-5)
    memoryless = made.imagine(z[:, 2], actions)
    torch.testing.assert_close(memoryless[:, :, 3], made(z[:, 2], actions[:, 3]))
    own = made.predict(z.expand(E, 2, 3, Z), a.expand(E, 2, 3, A))
    torch.testing.assert_close(own[1], made.member(1).predict(z, a)[0], atol=1e-6, rtol=1e-5)


def test_half_precision_weights_keep_an_fp32_state(made):
    z, a = torch.randn(E, 4, Z), torch.randn(4, A)
    exact = made.step(z, a)
    rounded = made.bfloat16().step(z, a)
    assert rounded.dtype == torch.float32
    assert made.member(0).state_dict().popitem()[1].dtype == torch.bfloat16
    torch.testing.assert_close(rounded, exact, atol=0.15, rtol=0.1)


def test_clipping_looks_at_each_member_alone():
    made = torch.nn.ModuleDict({"dynamics": ensemble("mlp"), "reward": torch.nn.Linear(3, 1)})
    for p in made.parameters():
        p.grad = torch.full_like(p, 1e-4)
    for p in made["dynamics"].parameters():
        p.grad[2] = 100.0
    clip_gradients(made, 1.0)
    grads = [p.grad for p in made["dynamics"].parameters()]
    norm = torch.stack([g[2].norm() for g in grads]).norm()
    assert float(norm) == pytest.approx(1.0, rel=1e-4)
    for g in [*(g[:2] for g in grads), made["reward"].weight.grad]:
        torch.testing.assert_close(g, torch.full_like(g, 1e-4))


def test_refusals():
    made = ensemble("mlp")
    with pytest.raises(ForesightError, match="no member 3"):
        made.member(3)
    with pytest.raises(ForesightError, match=r"give \[..., Z\] or \[3, ..., Z\]"):
        made(torch.zeros(4, 7, Z), torch.zeros(7, H, A))
    with pytest.raises(TypeError, match="no stacked form"):
        stack([torch.nn.Conv1d(1, 1, 1)])

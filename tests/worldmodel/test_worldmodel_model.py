from __future__ import annotations

import pytest
import torch
from safetensors.torch import load_file, save_file

from foresight.core.errors import ForesightError
from foresight.planning.solvers import imagine
from foresight.worldmodel.dynamics.simnorm import simnorm
from foresight.worldmodel.model import WorldModel
from joint_worlds import tiny


def test_simnorm_makes_groups_of_eight_that_sum_to_one():
    x = torch.randn(3, 5, 32)
    out = simnorm(x)
    groups = torch.stack([out[..., k::4] for k in range(4)], -2)  # members lie Z / 8 apart
    torch.testing.assert_close(groups.sum(-1), torch.ones(3, 5, 4))
    naive = torch.stack(
        [x[..., k::4].exp() / x[..., k::4].exp().sum(-1, True) for k in range(4)], -1
    )
    torch.testing.assert_close(out, naive.flatten(-2))


def test_members_imagine_apart_as_step_by_step():
    model = tiny()
    z, actions = simnorm(torch.randn(3, 7, 32)), torch.rand(3, 7, 4, 2)
    found = model.dynamics.apart(z, actions)
    assert found.shape == (3, 7, 5, 32)
    for member in range(3):
        state = z
        for t in range(4):
            state = model.dynamics.step(state, actions[member, :, t])
            torch.testing.assert_close(found[member, :, t + 1], state[member])


def test_a_planning_copy_imagines_like_the_first_members():
    model = tiny().eval()
    small = model.for_planning(2, torch.float32)
    z, actions = simnorm(torch.randn(2, 32)), torch.rand(2, 6, 3, 2) * 2 - 1
    whole, part = imagine(model.dynamics, z, actions), imagine(small.dynamics, z, actions)
    assert part.shape == (2, 2, 6, 4, 32)
    torch.testing.assert_close(part, whole[:2])
    torch.testing.assert_close(small.value_of(z), model.value_of(z)[:2])
    torch.testing.assert_close(small.encode(torch.ones(1, 12)), model.encode(torch.ones(1, 12)))
    with pytest.raises(ForesightError, match="Planning with 4 dynamics"):
        model.for_planning(4, torch.float32)


def test_actions_are_scaled_to_the_bounds():
    scaled = tiny().scaled(torch.tensor([[-1.0, -1.0], [1.0, 1.0], [0.0, 0.5]]))
    torch.testing.assert_close(scaled, torch.tensor([[-1.0, -2.0], [1.0, 4.0], [0.0, 2.5]]))


def test_samples_of_the_prior_have_their_own_density():
    prior = tiny().prior
    z = simnorm(torch.randn(1, 32)).expand(20_000, -1)
    action, density = prior.sample(z, torch.Generator().manual_seed(0))
    assert float(action.abs().max()) <= 1
    mean, deviation = prior(z[:1])
    before = torch.atanh(action[:50].double().clamp(-0.999999, 0.999999))
    normal = torch.distributions.Normal(mean.double(), deviation.double())
    naive = (normal.log_prob(before) - torch.log(1 - torch.tanh(before) ** 2 + 1e-6)).sum(-1)
    torch.testing.assert_close(density[:50].double(), naive, atol=1e-2, rtol=1e-2)


def test_a_checkpoint_comes_back_whole(tmp_path):
    model = tiny(steps=7)
    model.state.pca[0].projection.normal_()
    model.save(tmp_path)
    again = WorldModel.load(tmp_path)
    assert again.config == model.config and not again.training
    for name, value in model.state_dict().items():
        torch.testing.assert_close(again.state_dict()[name], value)


def test_damage_and_strangers_are_named(tmp_path):
    model = tiny()
    model.save(tmp_path)
    with pytest.raises(ForesightError, match="trained on encoder some"):
        model.config.expect_encoder("other")
    tensors = load_file(tmp_path / "model.safetensors")
    tensors.pop("reward.net.0.weight")
    save_file(tensors, tmp_path / "model.safetensors")
    with pytest.raises(ForesightError, match=r"no tensor reward\.net\.0\.weight"):
        WorldModel.load(tmp_path)
    text = (tmp_path / "config.json").read_text()
    (tmp_path / "config.json").write_text(text.replace('"task"', '"chore"'))
    with pytest.raises(ForesightError, match="not the configuration of a world model"):
        WorldModel.load(tmp_path)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"latent": 30}, "does not divide into groups"),
        ({"values": 1}, "cannot be built"),
        ({"discount": 1.0}, "discount of 1.0"),
    ],
)
def test_sizes_that_cannot_be_are_refused(changes, words):
    with pytest.raises(ForesightError, match=words):
        tiny(**changes)

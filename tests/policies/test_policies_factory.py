"""The form in which agents imagine with a trained world model."""

import pytest
import torch

from foresight.pipelines.planners import imagining_form
from foresight.planning.fast import FastDynamics
from foresight.planning.solvers import imagine
from foresight.worldmodel.dynamics.build import build_dynamics
from foresight.worldmodel.dynamics.config import DynamicsConfig


@pytest.mark.parametrize("members", [1, 3])
@pytest.mark.parametrize("kind", ["mlp", "resblock"])
def test_the_fast_form_where_there_is_one_and_the_same_futures(kind, members):
    torch.manual_seed(0)
    config = DynamicsConfig(kind, members, hidden=32, layers=2)
    dynamics = build_dynamics(config, 8, 2).eval().requires_grad_(False)
    form = imagining_form(dynamics, config, torch.float32)
    assert isinstance(form, FastDynamics) == (kind == "mlp") and form is not dynamics
    z0, actions = torch.randn(2, 8), torch.rand(2, 5, 4, 2)
    expected = imagine(dynamics, z0, actions)
    torch.testing.assert_close(imagine(form, z0, actions), expected, rtol=1e-4, atol=1e-4)

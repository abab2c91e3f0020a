"""The sources' cloning network."""

import pytest
import torch

from counted import count_parameters
from foresight.core.errors import ForesightError
from foresight.policies.cloned import ClonedPolicy, CloningConfig
from foresight.worldmodel.config import CameraInput


def policy(features: int = 1024, low: float = -1, high: float = 1) -> ClonedPolicy:
    torch.manual_seed(0)
    return ClonedPolicy(
        CloningConfig(
            "reacher-easy", (CameraInput("camera", 1, features),), 2, (low, low), (high, high)
        )
    )


def test_parameter_count_of_the_sources():
    assert count_parameters(policy()) == 279_490


def test_learns_a_known_mapping_and_stays_in_bounds():
    model = policy(8, -2, 2)
    z = torch.randn(512, 8)
    action = 0.75 * torch.tanh(z[:, :2])
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    first = None
    for _ in range(200):
        loss, logs = model({"z": z, "action": action})
        first = first or logs["loss"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert logs["loss"] < 0.05 * first
    far = model.select_action(100 * torch.randn(64, 8))
    assert far.abs().max() <= 2
    assert model.predict_action_chunk(z).shape == (512, 1, 2)


def test_round_trip_and_foreign_checkpoint(tmp_path):
    model = policy(8)
    model.save(tmp_path)
    z = torch.randn(3, 8)
    assert torch.equal(ClonedPolicy.load(tmp_path).select_action(z), model.select_action(z))
    text = (tmp_path / "config.json").read_text()
    (tmp_path / "config.json").write_text(text.replace('"task"', '"chore"'))
    with pytest.raises(ForesightError, match="not the configuration of a cloned policy"):
        ClonedPolicy.load(tmp_path)

from __future__ import annotations

import numpy as np
import pytest
import torch

from foresight.core.errors import ForesightError
from studies.latent_stats import Grounds


def test_grounds_survive_the_disk(tmp_path):
    grounds = Grounds(torch.eye(3), torch.ones(2, 3), torch.tensor([2.0, 1.0]))
    grounds.save(tmp_path / "grounds.safetensors")
    again = Grounds.load(tmp_path / "grounds.safetensors")
    for name, value in vars(grounds).items():
        np.testing.assert_array_equal(getattr(again, name), value)
    (tmp_path / "grounds.safetensors").write_bytes(b"no")
    for path in (tmp_path / "grounds.safetensors", tmp_path / "absent"):
        with pytest.raises(ForesightError, match="statistics of a latent space"):
            Grounds.load(path)

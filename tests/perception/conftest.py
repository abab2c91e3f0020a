from __future__ import annotations

import numpy as np
import pytest
from tiny_vjepa import save_tiny


@pytest.fixture(scope="session")
def tiny(tmp_path_factory):
    folder = tmp_path_factory.mktemp("encoders") / "tiny"
    save_tiny(folder)
    return folder


@pytest.fixture(scope="session")
def tiny_encoder(tiny):
    from foresight.perception.encoder import load_encoder

    return load_encoder(tiny, dtype="float32")


@pytest.fixture
def clip():
    def make(batch=2, time=4, size=32, seed=0):
        return np.random.default_rng(seed).integers(
            0, 256, (batch, time, size, size, 3), dtype=np.uint8
        )

    return make

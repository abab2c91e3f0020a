import shutil

import pytest
import torch
from naive_worlds import random_network

from foresight.errors import ForesightError
from foresight.evaluation.planner_bench import LoopDynamics
from foresight.planning.compiled import COMPILED_ROWS, CompiledDynamics
from foresight.planning.fast import FastDynamics
from foresight.planning.solvers import imagine

needs_a_compiler = pytest.mark.skipif(
    shutil.which("g++") is None and shutil.which("clang++") is None,
    reason="compiling needs a C++ compiler",
)


@needs_a_compiler
@pytest.mark.parametrize(
    ("members", "dtype", "error"), [(1, torch.float32, 1e-5), (2, torch.bfloat16, 0.02)]
)
def test_compiled_members_imagine_what_the_plain_ones_do(members, dtype, error):
    networks = [random_network(seed, latent=32, hidden=64) for seed in range(members)]
    dynamics = FastDynamics(networks, dtype, compiled=True)
    # Whole steps, steps that are filled up, and few rows, which are not worth one.
    for scenes, samples in ((1, 2 * COMPILED_ROWS), (2, COMPILED_ROWS - 40), (1, 7)):
        z0, actions = torch.randn(scenes, 32), torch.randn(scenes, samples, 3, 2)
        expected = imagine(LoopDynamics(networks), z0, actions)
        with torch.inference_mode():  # as agents plan
            found = imagine(dynamics, z0, actions)
        moved = (expected - expected[..., :1, :]).norm()
        assert (found - expected).norm() < error * moved
        actions[0, 3, 1] = torch.nan
        assert imagine(dynamics, z0, actions)[:, 0, 3, 2:].isnan().all()


def test_without_a_compiler_it_says_so(monkeypatch, tmp_path):
    def missing():
        raise FileNotFoundError("No working C++ compiler found")

    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr("torch._inductor.cpp_builder.get_cpp_compiler", missing)
    with pytest.raises(
        ForesightError, match=r"No working C.. compiler found.*install a C.."
    ) as told:
        CompiledDynamics([random_network(latent=16, hidden=16)], torch.float32)
    assert "\n" not in str(told.value)

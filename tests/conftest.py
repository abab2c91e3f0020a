"""What holds for every test."""

import os
import sys

import hypothesis
import jaxtyping
import pytest
import torch

from made_once import made_once

# Many processes begin: each would compile the program anew where compiled files are forbidden.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# A slow machine is no fault of the code.
hypothesis.settings.register_profile(
    "foresight", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("foresight")

# Shapes and types of these rooms are checked at every call. They must not be imported before.
jaxtyping.install_import_hook(["foresight.core", "foresight.data"], "shape_checks.checked")

# The suite's networks are tiny: a second thread costs more in waiting than it computes.
torch.set_num_threads(1)

# Torch tells many things once for each process: then a test fails or not by who came before it.
torch.set_warn_always(True)


def pytest_collection_modifyitems(items):
    """Files with slow tests come first: a worker that begins one last would end long after all."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


@pytest.fixture(autouse=True)
def _wrong_arrays(request):
    """Under the mark of this name the program's own refusals are seen, not those of the checker."""
    wanted = request.node.get_closest_marker("wrong_arrays") is not None
    jaxtyping.config.update("jaxtyping_disable", wanted)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


@pytest.fixture(scope="session")
def tiny_eyes(tmp_path_factory):
    """The folder of an encoder that costs next to nothing, as text."""
    from tiny_eyes import save_tiny_eyes

    return str(made_once(tmp_path_factory, "eyes", save_tiny_eyes))


@pytest.fixture(scope="session")
def tiny_learned(tmp_path_factory, tiny_eyes):
    """The folder of a task that was learned for a moment, as ``foresight learn`` leaves it."""
    from foresight.training.online import OnlineTrainer
    from online_runs import momentary

    config = momentary(tiny_eyes, "point_mass-easy")
    return (
        made_once(
            tmp_path_factory,
            "learned",
            lambda folder: OnlineTrainer(config, folder / config.task).run(),
        )
        / config.task
    )

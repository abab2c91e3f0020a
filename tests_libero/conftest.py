"""What holds for the tests of LIBERO's tasks: run them with ``make test-libero``."""

import pytest
import torch

from foresight.envs import make

torch.set_num_threads(1)


@pytest.fixture(scope="module")
def kept():
    """Environments by their options, each made once for a file: a model takes seconds."""
    made = {}

    def get(task, **options):
        key = (task, *sorted(options.items()))
        if key not in made:
            made[key] = make(f"libero/{task}", **options)
        return made[key]

    yield get
    for env in made.values():
        env.close()

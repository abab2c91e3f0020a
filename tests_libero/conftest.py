"""What holds for the tests of LIBERO's tasks: run them with ``make test-libero``."""

import gc
from collections import OrderedDict

import pytest
import torch

from foresight.envs import make

torch.set_num_threads(1)
MOST = 3
"""Environments that are kept: each takes up to 1.5 GB."""


@pytest.fixture(scope="module")
def kept():
    """Environments by their options, the last ones kept for a file: a model takes seconds."""
    made = OrderedDict()

    def get(task, **options):
        key = (task, *sorted(options.items()))
        if key not in made:
            while len(made) >= MOST:
                made.popitem(last=False)[1].close()
                gc.collect()  # robosuite's parts hold each other
            made[key] = make(f"libero/{task}", **options)
        made.move_to_end(key)
        return made[key]

    yield get
    for env in made.values():
        env.close()

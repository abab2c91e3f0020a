"""The checker of shapes and types at run time; `tests/conftest.py` puts it on whole rooms."""

from __future__ import annotations

import random
from unittest import mock

import numpy as np

# It looks into containers at random; by a generator of its own, so that those of tests stay.
with mock.patch.object(random, "getrandbits", random.Random(0).getrandbits):
    from beartype import BeartypeConf, FrozenDict, beartype
    from beartype._util.kind.integer import utilintget  # noqa: F401 (it takes the generator)

# As for mypy, an int is a float; and numpy's numbers are as good as Python's.
_NUMBERS = FrozenDict({int: int | np.integer, float: float | int | np.floating | np.integer})
checked = beartype(conf=BeartypeConf(hint_overrides=_NUMBERS))

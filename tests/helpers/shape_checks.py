"""The checker of shapes and types at run time; `tests/conftest.py` puts it on whole rooms."""

from __future__ import annotations

import numpy as np
from beartype import BeartypeConf, FrozenDict, beartype

# As for mypy, an int is a float; and numpy's numbers are as good as Python's.
_NUMBERS = FrozenDict({int: int | np.integer, float: float | int | np.floating | np.integer})
checked = beartype(conf=BeartypeConf(hint_overrides=_NUMBERS))

"""Solvers: search over imagined actions.

A solver knows a dynamics function, the action bounds and an objective; nothing of encoders or
environments. Everything is batched over B scenes and S candidates, on any device.
"""

from foresight.planning.solvers.build import make_solver
from foresight.planning.solvers.cem import CEM
from foresight.planning.solvers.contracts import (
    Imagining,
    Iteration,
    NonFiniteFuturesError,
    Plan,
    Prior,
)
from foresight.planning.solvers.icem import ICEM
from foresight.planning.solvers.imagining import imagine, shift
from foresight.planning.solvers.mppi import MPPI
from foresight.planning.solvers.prior import PolicyPrior
from foresight.planning.solvers.refine import Refined
from foresight.planning.solvers.shooting import RandomShooting

__all__ = [
    "CEM",
    "ICEM",
    "MPPI",
    "Imagining",
    "Iteration",
    "NonFiniteFuturesError",
    "Plan",
    "PolicyPrior",
    "Prior",
    "RandomShooting",
    "Refined",
    "imagine",
    "make_solver",
    "shift",
]

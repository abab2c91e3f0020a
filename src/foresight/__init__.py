"""Foresight: robots that imagine before they act."""

import os

__version__ = "0.1.0"

# Read by OpenMP when torch is first imported. Threads that spin while they wait make a second
# process on the same cores ten times slower; sleeping ones cost almost nothing.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

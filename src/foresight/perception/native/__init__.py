"""The frozen encoder in C++ for processors with AMX, compiled on first use."""

from foresight.perception.native.build import library, why_not
from foresight.perception.native.trunk import NativeTrunk, can_run

__all__ = ["NativeTrunk", "can_run", "library", "why_not"]

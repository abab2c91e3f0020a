"""The frozen encoder's blocks in C++ for processors with AMX, compiled on first use."""

from foresight.perception.native.blocks import NativeBlocks, can_run
from foresight.perception.native.library import library, why_not

__all__ = ["NativeBlocks", "can_run", "library", "why_not"]

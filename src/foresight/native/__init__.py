"""C++ for processors with AMX, compiled on first use: the frozen encoder, and imagined futures.

Nothing depends on it but speed. The matrices are laid out as `tiles.hpp` tells.
"""

from foresight.native.build import library, why_not
from foresight.native.layout import SIDE, addresses, packed

__all__ = ["SIDE", "addresses", "library", "packed", "why_not"]

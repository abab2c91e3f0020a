"""What can be asked of an import."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from foresight.core.errors import ForesightError


@dataclass(frozen=True)
class ImportOptions:
    """How demonstrations in HDF5 become episodes."""

    observed: Literal["auto", "before", "after"] = "auto"
    """Whether a row's observation was recorded before its action or after it; then it is paired
    with the action of the next row. auto: what joints and simulator states of the file say, else
    after for LIBERO's layout and before for robomimic's."""
    upside_down: Literal["auto", "yes", "no"] = "auto"
    """Whether pictures lie upside down in the file and are turned. auto: what the file notes, else
    yes for LIBERO's layout and no for robomimic's."""
    fps: float | None = None
    """Steps a second; the control rate that the file notes if not given, else 20."""
    limit: int | None = None
    """Take the first so many demonstrations of each file."""
    cameras: tuple[str, ...] | None = None
    """Cameras by name; all of the file if not given."""
    task: str | None = None
    """What was to be done, in words; the file's own instruction or name if not given."""
    joints: bool = True
    """Have the arm's joints in the state, where the file holds them."""
    sim_state: bool = False
    """Keep the simulator's state as the column sim.state; scenes of other sizes need a dataset
    each."""
    successful: bool = False
    """Leave out demonstrations that did not succeed."""
    unbounded: bool = False
    """Actions are not within -1 and 1: leave out their bounds."""
    skip_faulty: bool = False
    """Leave out files and demonstrations that are damaged, and say so."""
    codec: Literal["lossless", "av1", "h264"] = "lossless"
    """How frames are written."""
    workers: int | None = None
    """Demonstrations encoded side by side; one a core if not given."""

    def __post_init__(self) -> None:
        if self.fps is not None and not 0 < self.fps < float("inf"):
            raise ForesightError(f"A rate of {self.fps} steps a second is none: give more.")
        for name in ("limit", "workers"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ForesightError(f"{name} {value} was asked for: give 1 at least.")

"""The lab's world clock, pure: real time, time that runs faster, or time that stands until it is stepped.

World time never runs backwards and never mixes with wall time: ``WorldClock`` is asked with a wall time and answers a world time.
The ``clock`` fixture serves it over HTTP to peers of the lab. The kernel keeps its own clock; a fact says which clock stamped it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Literal

from cipo.lab.errors import LabError

Mode = Literal["real", "scaled", "stepped"]
MAX_SCALE = 3600.0


@dataclass(frozen=True, slots=True)
class WorldClock:
    """World time as a line through (wall, world) with a slope: 1, the scale, or 0."""

    wall: datetime
    world: datetime
    mode: Mode = "real"
    scale: float = 1.0

    @property
    def slope(self) -> float:
        """World seconds a wall second."""
        return {"real": 1.0, "scaled": self.scale, "stepped": 0.0}[self.mode]

    def now(self, wall: datetime) -> datetime:
        """World time at a wall time. A wall clock that jumped back does not take the world back."""
        return self.world + max(timedelta(), wall - self.wall) * self.slope

    def run(self, wall: datetime, mode: Mode, scale: float = 1.0) -> WorldClock:
        """The same clock from now on in another mode."""
        if mode == "scaled" and not 0 < scale <= MAX_SCALE:
            raise LabError(f"scale {scale}: give a number above 0, up to {MAX_SCALE:.0f} world seconds a second")
        return replace(self, wall=wall, world=self.now(wall), mode=mode, scale=scale if mode == "scaled" else 1.0)

    def step(self, wall: datetime, by: timedelta) -> WorldClock:
        """Jump forward; only a clock that stands may be stepped."""
        if self.mode != "stepped":
            raise LabError(f"the clock runs ({self.mode}); set mode stepped before stepping it")
        if by < timedelta():
            raise LabError(f"step {by}: world time does not run backwards")
        return replace(self, wall=wall, world=self.world + by)

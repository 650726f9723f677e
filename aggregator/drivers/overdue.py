"""What became of a driver's word whose time is past: the car is kept for a driver who is late.

The control loop plans for such a driver as if the car were needed now; people are told the time that was
stated.
"""

from dataclasses import dataclass
from datetime import datetime

from aggregator.model.time import LONDON


@dataclass(frozen=True, slots=True)
class Overdue:
    """A car that was needed already, and still stands there.

    Attributes:
        at: When it was needed, as stated.
        until: How long it is kept for its driver; None until it leaves or hears more.
        soc: What it had stored by then, a fraction, by its last report before; None where it told nothing.
        met: Whether that was its target; None as above.
    """

    at: datetime
    until: datetime | None
    soc: float | None
    met: bool | None

    @property
    def says(self) -> str:
        """All of it in words, for driver and desk."""
        if self.soc is None or self.met is None:
            then = "how full it was by then is not known"
        else:
            then = f"{self.soc:.0%} by then: {'target met' if self.met else 'target missed'}"
        kept = "kept as promised until it leaves or hears more"
        if self.until is not None:
            kept += f", at most until {self.until.astimezone(LONDON):%a %H:%M}"
        return f"past; {then}; {kept}"

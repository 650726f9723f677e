"""Half-open stretches of time, and the half-hours of settlement."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

HALF_HOUR = timedelta(minutes=30)
_EPOCH = datetime.fromtimestamp(0, UTC)


@dataclass(frozen=True, slots=True, order=True)
class Span:
    """A half-open stretch of time ``[start, end)``, in UTC; empty if ``end <= start``."""

    start: datetime
    end: datetime

    @property
    def hours(self) -> float:
        """Length in hours, 0 if empty."""
        return max((self.end - self.start) / timedelta(hours=1), 0.0)

    def later(self, by: timedelta) -> "Span":
        """The same stretch, moved."""
        return Span(self.start + by, self.end + by)

    def __and__(self, other: "Span") -> "Span":
        return Span(max(self.start, other.start), min(self.end, other.end))


def half_hours(window: Span) -> tuple[Span, ...]:
    """The settlement half-hours (on the hour and half past, UTC) that a window touches."""
    first = window.start - (window.start - _EPOCH) % HALF_HOUR
    count = -((first - window.end) // HALF_HOUR)
    return tuple(Span(first + n * HALF_HOUR, first + (n + 1) * HALF_HOUR) for n in range(count))

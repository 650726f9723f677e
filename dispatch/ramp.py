"""The bound on power moved per minute, per zone and in all (P14): above it, hold and raise an alarm."""

from collections import defaultdict, deque
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from aggregator.model.metering import Purpose, SetPoint

MINUTE = timedelta(minutes=1)
W_PER_KW = 1000.0
EXEMPT = frozenset({Purpose.BOOST, Purpose.MUST_CHARGE, Purpose.RELEASE})
"""A driver's right outranks the bound, and letting go must always be possible."""


class RampLimit:
    """Lets set-points pass while the last minute's movement stays within bounds."""

    def __init__(self, zone_kw_per_minute: float, total_kw_per_minute: float) -> None:
        self._zone_kw = zone_kw_per_minute
        self._total_kw = total_kw_per_minute
        self._moved: deque[tuple[datetime, str, float]] = deque()

    def hold(
        self,
        points: Sequence[SetPoint],
        standing_w: Mapping[str, int],
        zone_of: Mapping[str, str],
        now: datetime,
    ) -> frozenset[str]:
        """Return the cars whose set-points must wait, having counted the movement of all others.

        Args:
            points: Wanted, in order of precedence.
            standing_w: What each car does now, positive from car to grid; 0 where nothing stands. [W]
            zone_of: Each car's zone.
            now: Domain instant.
        """
        while self._moved and self._moved[0][0] <= now - MINUTE:
            self._moved.popleft()
        in_zone: dict[str, float] = defaultdict(float)
        for _, zone, kw in self._moved:
            in_zone[zone] += kw
        total = sum(in_zone.values())
        held = set()
        for point in points:
            zone = zone_of[point.car_id]
            kw = abs(point.export_w - standing_w.get(point.car_id, 0)) / W_PER_KW
            over = in_zone[zone] + kw > self._zone_kw or total + kw > self._total_kw
            if over and kw > 0 and point.purpose not in EXEMPT:
                held.add(point.car_id)
                continue
            in_zone[zone] += kw
            total += kw
            self._moved.append((now, zone, kw))
        return frozenset(held)

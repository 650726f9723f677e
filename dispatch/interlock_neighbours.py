"""What the other cars of a home do, as the interlock counts it (P4): as told, or more where they do more.

A charger may be deaf, do as its driver's button says, or be on its own default as nothing was told it yet.
What it reports beyond all that stood for it by then, and half a minute before, takes its part of the home's
approval or fuse for as long as its report counts. Nothing here is shared with the loop.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta

from aggregator.model.fleet import Car
from aggregator.model.metering import CarReport, SetPoint

FOLLOWS_WITHIN = timedelta(seconds=30)
REMEMBERED = timedelta(minutes=5)
INACCURATE_W, INACCURATE = 300.0, 0.1
"""What a charger does beyond its set-point, in W and as a part of it, and is still as good as at it."""


class Neighbours:
    """Who lives with whom, and who does more than was told.

    Args:
        cars: The fleet.
        stale_after: A report counts until it is so old.
    """

    def __init__(self, cars: Iterable[Car], stale_after: timedelta) -> None:
        self._stale_after = stale_after
        self._home_of: dict[str, str] = {}
        self._at_home: dict[str, list[str]] = defaultdict(list)
        for car in cars:
            self._home_of[car.car_id] = car.site.site_id
            self._at_home[car.site.site_id].append(car.car_id)
        self._stood: dict[str, list[SetPoint]] = defaultdict(list)
        self._astray: dict[str, tuple[datetime, int]] = {}

    def observe(self, report: CarReport) -> None:
        """Take a raw report, not older than the one before."""
        name, at = report.car_id, report.measured_at
        levels = [0, *(point.export_w for point in self._standing_about(name, at))]
        most_w = (1 + INACCURATE) * max(levels) + INACCURATE_W
        least_w = (1 + INACCURATE) * min(levels) - INACCURATE_W
        is_astray = report.plugged and not least_w <= report.export_w <= most_w
        self._astray[name] = at, report.export_w if is_astray else 0

    def stands(self, point: SetPoint) -> None:
        """Note a set-point that passed."""
        before = self._stood[point.car_id]
        recent = [one for one in before if one.expires_at > point.issued_at - REMEMBERED]
        self._stood[point.car_id] = [*recent, point]

    def others_w(self, point: SetPoint, standing: Mapping[str, SetPoint]) -> tuple[int, int]:
        """Return what the others of a car's home may give, and draw, while a set-point holds. [W, both >= 0]

        Args:
            point: Of the car itself.
            standing: What stands for cars now.
        """
        given_w = drawn_w = 0
        for name in self._at_home[self._home_of[point.car_id]]:
            if name == point.car_id:
                continue
            stood = standing.get(name)
            told_w = stood.export_w if stood is not None and stood.expires_at > point.issued_at else 0
            seen_at, astray_w = self._astray.get(name, (point.issued_at, 0))
            done_w = astray_w if point.issued_at - seen_at <= self._stale_after else 0
            given_w += max(0, told_w, done_w)
            drawn_w += max(0, -told_w, -done_w)
        return given_w, drawn_w

    def _standing_about(self, name: str, at: datetime) -> Iterator[SetPoint]:
        """Yield what stood for a car at an instant, or so shortly before that it may still be at it."""
        points = self._stood[name]
        for n, point in enumerate(points):
            ends = [point.expires_at, *(later.issued_at for later in points[n + 1 : n + 2])]
            if point.issued_at <= at < min(ends) + FOLLOWS_WITHIN:
                yield point

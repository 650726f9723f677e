"""Orders that no car can do anything for, and since when: somebody must tell the platform."""

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime

from aggregator.model.metering import SetPoint
from aggregator.ports import ZoneTarget


class Unserved:
    """Notes them cycle by cycle.

    Attributes:
        since: From which cycle on nothing moved for an order, by its opportunity's id.
    """

    def __init__(self, zone_of: Mapping[str, str]) -> None:
        self._zone_of = zone_of
        self.since: dict[str, datetime] = {}

    def note(
        self,
        targets: Iterable[ZoneTarget],
        points: Iterable[SetPoint],
        silent: Collection[str],
        now: datetime,
    ) -> None:
        """Note a cycle.

        Args:
            targets: Of the zones in a window.
            points: The cycle's set-points.
            silent: The zones with a car that is not heard: it may still be able, so nothing is known there.
            now: Domain instant.
        """
        moving = {(self._zone_of[point.car_id], point.export_w > 0) for point in points if point.export_w}
        unserved = [
            target.opportunity_ids[0]
            for target in targets
            if target.direction.sign * target.export_kw[0] > 0
            and (target.zone, target.direction.sign > 0) not in moving
            and target.zone not in silent
        ]
        self.since = {name: self.since.get(name, now) for name in unserved if name is not None}

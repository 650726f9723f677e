"""Sharing a home's fuse among what its cars are told: those who must charge first, then the others."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace

from aggregator.model.fleet import Car
from aggregator.model.metering import Purpose, SetPoint

W_PER_KW = 1000.0
FIRST = (Purpose.BOOST, Purpose.MUST_CHARGE)


def within_fuses(points: Sequence[SetPoint], cars: Mapping[str, Car]) -> list[SetPoint]:
    """Return the set-points with imports cut so that no home draws more than its fuse carries (P4).

    Boosted cars and those that must charge share what there is, pro rata; the others share the rest. What a
    neighbour gives is not counted on: it may stop at any moment.
    """
    by_site: dict[str, list[SetPoint]] = defaultdict(list)
    for point in points:
        by_site[cars[point.car_id].site.site_id].append(point)
    cut: dict[str, SetPoint] = {}
    for together in by_site.values():
        room_w = cars[together[0].car_id].site.import_limit_kw * W_PER_KW
        for group in (
            [point for point in together if point.purpose in FIRST],
            [point for point in together if point.purpose not in FIRST],
        ):
            drawn_w = -sum(point.export_w for point in group if point.export_w < 0)
            share = min(1.0, room_w / drawn_w) if drawn_w else 1.0
            for point in group:
                less = int(point.export_w * share) if point.export_w < 0 else point.export_w
                cut[point.car_id] = replace(point, export_w=less)
                room_w -= max(0, -less)
    return [cut[point.car_id] for point in points]

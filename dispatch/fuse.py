"""Sharing a home's fuse among what its cars are told: boosted ones first, then those that must charge."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace

from aggregator.model.fleet import Car
from aggregator.model.metering import Purpose, SetPoint

W_PER_KW = 1000.0
RANK = {Purpose.BOOST: 0, Purpose.MUST_CHARGE: 1}
LAST = 2


def within_fuses(points: Sequence[SetPoint], cars: Mapping[str, Car]) -> list[SetPoint]:
    """Return the set-points with imports cut so that no home draws more than its fuse carries (P4).

    Boosted cars share what there is, pro rata (P3 before P1 and P2), those that must charge the rest of it,
    and the others the rest of that. What a neighbour gives is not counted on: it may stop at any moment.
    """
    by_site: dict[str, list[SetPoint]] = defaultdict(list)
    for point in points:
        by_site[cars[point.car_id].site.site_id].append(point)
    cut: dict[str, SetPoint] = {}
    for together in by_site.values():
        room_w = cars[together[0].car_id].site.import_limit_kw * W_PER_KW
        for rank in range(LAST + 1):
            group = [point for point in together if RANK.get(point.purpose, LAST) == rank]
            drawn_w = -sum(point.export_w for point in group if point.export_w < 0)
            share = min(1.0, room_w / drawn_w) if drawn_w else 1.0
            for point in group:
                less = int(point.export_w * share) if point.export_w < 0 else point.export_w
                cut[point.car_id] = replace(point, export_w=less)
                room_w -= max(0, -less)
    return [cut[point.car_id] for point in points]

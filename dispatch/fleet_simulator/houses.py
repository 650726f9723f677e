"""What simulated homes do beside their cars, and their boundary meters, where the fleet file says so.

A house draws what its home states, up or down by chance every ten minutes; panels give up to their rating
between the home's dark hours, less what clouds take. Both are plain, and the same again for the same seed.
"""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, time

import numpy as np

from aggregator.model.fleet import Car, Site
from aggregator.model.metering import Boundary
from aggregator.model.time import LONDON
from dispatch.fleet_simulator.physics import SECONDS_PER_HOUR, WH_PER_KWH, FloatArray

BLOCK_S = 600.0
"""For so long chance holds."""

LOAD_SHARES = (0.4, 1.6)
SUN_SHARES = (0.1, 1.0)
DAY = (time(6), time(20))
"""When panels give something where no dark hours are stated."""

W_PER_KW = 1000.0
OLDEST_REGISTER_WH = 5_000_000


class Houses:
    """The homes of some cars, in the order of their first car."""

    def __init__(self, cars: Sequence[Car], seed: int) -> None:
        sites = {car.site.site_id: car.site for car in cars}
        place = {name: n for n, name in enumerate(sites)}
        self._sites = tuple(sites.values())
        self._seed = seed
        self.of_car = np.array([place[car.site.site_id] for car in cars], dtype=np.int64)
        self._lively = [n for n, site in enumerate(self._sites) if site.house_load_kw or site.solar_kw]
        self._watched = np.isin(self.of_car, self._lively)
        old_wh = np.random.default_rng((seed, len(sites))).integers(0, OLDEST_REGISTER_WH, (2, len(sites)))
        self._import_wh, self._export_wh = old_wh.astype(np.float64)

    def watched(self, here: Iterable[int]) -> list[int]:
        """Return those of some cars whose homes do something beside them."""
        return [car for car in here if self._watched[car]]

    def fuse_parts_kw(self) -> FloatArray:
        """Return each charger's equal part of what its home's fuse carries beside the house, (cars,). [kW]"""
        left_kw = np.array([max(0.0, site.import_limit_kw - site.most_house_kw) for site in self._sites])
        return np.asarray((left_kw / np.bincount(self.of_car))[self.of_car])

    def beside_kw(self, at_s: float) -> FloatArray:
        """Return what each home gives beside its cars at an instant, shape (homes,). [kW, export positive]"""
        given_kw = np.zeros(len(self._sites))
        if self._lively:
            local = datetime.fromtimestamp(at_s, UTC).astimezone(LONDON)
            draws = np.random.default_rng((self._seed, int(at_s // BLOCK_S))).random((2, len(self._sites)))
            for n in self._lively:
                load_kw = self._sites[n].house_kw(local) * _between(LOAD_SHARES, draws[0, n])
                given_kw[n] = _solar_kw(self._sites[n], local, draws[1, n]) - load_kw
        return given_kw

    def moved(self, cars_wh: FloatArray, at_s: float, seconds: float) -> None:
        """Count what crossed the boundaries in the ``seconds`` from ``at_s`` on.

        Args:
            cars_wh: What each car gave less what it drew, shape (cars,). [Wh]
            at_s: When that began. [s since 1970]
            seconds: How long it lasted, within one block of chance.
        """
        beside_wh = self.beside_kw(at_s) * (seconds / SECONDS_PER_HOUR * WH_PER_KWH)
        net_wh = np.bincount(self.of_car, cars_wh, len(self._sites)) + beside_wh
        self._export_wh += np.maximum(0.0, net_wh)
        self._import_wh += np.maximum(0.0, -net_wh)

    def boundary_w(self, cars_w: FloatArray, at_s: float) -> FloatArray:
        """Return the true power at each boundary, shape (homes,). [W, export positive]"""
        beside_w = np.round(self.beside_kw(at_s) * W_PER_KW)
        return np.asarray(np.bincount(self.of_car, cars_w, len(self._sites)) + beside_w)

    def meters(self, boundary_w: FloatArray) -> list[Boundary | None]:
        """Return what each home's boundary meter shows now, None for a home without."""
        return [
            Boundary(int(power), int(drawn), int(given)) if site.boundary_meter else None
            for site, power, drawn, given in zip(
                self._sites, boundary_w, self._import_wh, self._export_wh, strict=True
            )
        ]


def _between(bounds: tuple[float, float], share: float) -> float:
    return bounds[0] + (bounds[1] - bounds[0]) * share


def _solar_kw(site: Site, local: datetime, share: float) -> float:
    """Return what panels give at a local time: half a sine from the end of the dark hours to their begin."""
    begins, ends = site.dark_until or DAY[0], site.dark_from or DAY[1]
    now_h, begin_h, end_h = (_hours(one) for one in (local.time(), begins, ends))
    if not begin_h < now_h < end_h:
        return 0.0
    height = np.sin(np.pi * (now_h - begin_h) / (end_h - begin_h))
    return float(site.solar_kw * height * _between(SUN_SHARES, share))


def _hours(at: time) -> float:
    return at.hour + at.minute / 60 + at.second / SECONDS_PER_HOUR

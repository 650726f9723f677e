"""Simulated houses, panels and boundary meters, alone and with the control loop in front of them."""

import json
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta

import numpy as np
import pytest

from aggregator.energy import Tariff
from aggregator.model.fleet import Approval, ExportSource, Fleet
from aggregator.model.metering import Outcome
from dispatch.links.messages import PointRow, read_report, write_reports
from tests.fakes.simulated_fleet import FIVE_PM, HOUR, MINUTE, Watched, a_leaf, a_stay
from tests.unit.test_controller import SETTINGS, Loop

NOON = datetime(2025, 7, 8, 11, tzinfo=UTC)


def a_leaf_at(**site):
    leaf = a_leaf()
    return replace(leaf, site=replace(leaf.site, **site))


def boundary_w(watched):
    return [int(row["boundary_w"]) for row in watched.truth()]


def test_a_home_that_states_nothing_is_its_cars_alone_and_has_no_meter():
    watched = Watched([a_leaf()], [a_stay()])
    watched.world.advance(FIVE_PM + HOUR)
    assert boundary_w(watched) == [int(row["export_w"]) for row in watched.truth()]
    assert watched.now().boundary is None


def test_house_and_panels_count_at_the_boundary_and_in_its_registers():
    car = a_leaf_at(house_load_kw=(0.5,), solar_kw=4.0, boundary_meter=True)
    stay = a_stay(plugged_in_at=NOON - HOUR, plugged_out_at=NOON + 9 * HOUR)
    watched = Watched([car], [stay], starts_at=NOON)
    before = watched.now()
    watched.world.advance(NOON + HOUR)
    after = watched.now()
    assert any(watts > 0 for watts in boundary_w(watched))
    hourly = [row for row in watched.truth() if row["at"].endswith(":00Z")]
    assert len(hourly) >= 60  # told each minute
    beside_wh = sum(int(row["boundary_w"]) - int(row["export_w"]) for row in hourly[:60]) / 60
    cars_wh = (after.export_wh - before.export_wh) - (after.import_wh - before.import_wh)
    given_wh = after.boundary.export_wh - before.boundary.export_wh
    drawn_wh = after.boundary.import_wh - before.boundary.import_wh
    assert given_wh - drawn_wh == pytest.approx(beside_wh + cars_wh, abs=5)
    assert after.boundary.export_w == int(watched.truth()[-1]["boundary_w"])


def test_a_boundary_reading_comes_through_the_link_and_a_wrong_one_does_not():
    report = Watched([a_leaf_at(boundary_meter=True)], [a_stay()]).now()
    (row,) = json.loads(write_reports([report]))["cars"]
    assert read_report(row) == report
    for wrong in ({"export_w": 1.5}, {"import_wh": -1}, {"power": 3}, {"export_wh": None}):
        with pytest.raises(ValueError, match=f"boundary.{next(iter(wrong))}"):
            read_report(row | {"boundary": row["boundary"] | wrong})


def test_panels_give_nothing_in_the_stated_dark_hours():
    car = a_leaf_at(solar_kw=4.0, dark_from=time(21), dark_until=time(5, 30))
    watched = Watched([car], [a_stay(plugged_in_at=NOON, plugged_out_at=NOON + 30 * HOUR)], starts_at=NOON)
    watched.world.advance(NOON + 24 * HOUR)
    rows = [(row["at"][11:16], int(row["boundary_w"]) - int(row["export_w"])) for row in watched.truth()]
    dark = [watts for at, watts in rows if at >= "20:00" or at < "04:30"]  # UTC
    assert dark
    assert not any(dark)
    assert max(watts for _, watts in rows) > 500


def test_the_same_seed_gives_the_same_house_and_another_another():
    runs = []
    for seed in (1, 1, 2):
        watched = Watched([a_leaf_at(house_load_kw=(0.5,))], [a_stay()], seed=seed)
        watched.world.advance(FIVE_PM + HOUR)
        runs.append(boundary_w(watched))
    assert runs[0] == runs[1] != runs[2]


@dataclass
class Home:
    """A loop in front of one simulated home."""

    watched: Watched
    loop: Loop

    @classmethod
    def of(cls, starts_at, prices, **site):
        car = a_leaf_at(**site)
        stay = a_stay(plugged_in_at=starts_at - HOUR, plugged_out_at=starts_at + 14 * HOUR, arrival_soc=0.9)
        watched = Watched([car], [stay], starts_at=starts_at)
        loop = Loop(Fleet((car,), "h" * 64), prices=prices)
        loop.clock.set(starts_at)
        home = cls(watched, loop)
        loop.link.apply = home.apply
        return home

    async def apply(self, points):
        rows = [
            PointRow(car_id=one.car_id, export_w=one.export_w, expires_at=one.expires_at) for one in points
        ]
        return list(self.watched.world.command(rows))

    async def hours(self, count):
        controller, world = self.loop.controller, self.watched.world
        controller.observe(world.snapshot())
        end = world.now + count * HOUR
        while world.now < end:
            await controller.cycle()
            while controller._wake.is_set():
                await controller.cycle()
            now = min(world.now + SETTINGS.cycle, end)
            batches = world.advance(now)
            self.loop.clock.set(now)
            for batch in batches:
                controller.observe(batch.reports)

    def refused(self):
        return [
            one for record in self.loop.records for one in record.sent if one.outcome is Outcome.INTERLOCKED
        ]

    def beyond(self, limit_kw):
        """How many minutes on end the home gave more than it may while its car gave any, at most."""
        longest, begun = timedelta(0), None
        for row in self.watched.truth():
            at, over = datetime.fromisoformat(row["at"]), int(row["boundary_w"]) > limit_kw * 1000 + 1
            begun = (begun or at) if over and int(row["export_w"]) > 0 else None
            longest = max(longest, at - begun if begun else timedelta(0))
        return longest


def dear_until(instant):
    def prices(zone, slots):
        dear = np.array([slot.start < instant for slot in slots])
        cheap = np.full(len(slots), 0.05)
        return Tariff(np.where(dear, 0.4, 0.1), np.where(dear, 0.35, cheap), np.zeros(len(slots), dtype=bool))

    return prices


def dear_without_export(instant):
    return lambda zone, slots: replace(
        dear_until(instant)(zone, slots), export_gbp_per_kwh=np.full(len(slots), 0.02), wear_gbp_per_kwh=0.03
    )


async def test_without_a_meter_the_true_boundary_never_exceeds_the_approval():
    home = Home.of(NOON + 5 * HOUR, dear_until(NOON + 12 * HOUR), solar_kw=2.0, house_load_kw=(0.3,))
    await home.hours(3)
    assert home.beyond(3.68) == timedelta(0)
    assert max(int(row["export_w"]) for row in home.watched.truth()) == 1680
    assert home.refused() == []


async def test_with_a_meter_more_is_given_and_what_goes_over_is_taken_back_within_the_loop_s_time():
    site = {
        "solar_kw": 2.0,
        "house_load_kw": (0.9,),
        "boundary_meter": True,
        "export_source": ExportSource.G100,
    }
    home = Home.of(NOON + 5 * HOUR, dear_until(NOON + 12 * HOUR), **site)
    await home.hours(3)
    assert home.beyond(3.68) <= 2 * SETTINGS.reporting_interval + SETTINGS.cycle
    assert max(int(row["export_w"]) for row in home.watched.truth()) > 1680
    assert home.refused() == []


async def test_a_home_that_may_export_nothing_serves_its_house():
    site = {
        "export_limit_kw": 0.0,
        "house_load_kw": (0.8,),
        "boundary_meter": True,
        "export_source": ExportSource.G100,
    }
    home = Home.of(FIVE_PM, dear_without_export(FIVE_PM + 3 * HOUR), **site)
    await home.hours(2)
    assert home.beyond(0.0) <= 2 * SETTINGS.reporting_interval + SETTINGS.cycle
    last = home.watched.now()
    first = home.loop.records[0].reports[0]
    served_kwh = (last.export_wh - first.export_wh) / 1000
    drawn_kwh = (last.boundary.import_wh - first.boundary.import_wh) / 1000
    given_kwh = (last.boundary.export_wh - first.boundary.export_wh) / 1000
    assert served_kwh > 1.0  # of some 1.6 that the house used
    assert given_kwh < 0.1 * served_kwh
    assert drawn_kwh < 0.6
    assert home.refused() == []


@pytest.mark.parametrize("site", [{"approval": Approval.APPLIED}, {"approved_from": date(2025, 1, 9)}])
async def test_nothing_is_given_before_the_approval_s_midnight(site):
    midnight = FIVE_PM.replace(hour=0) + timedelta(days=1)
    home = Home.of(midnight - HOUR, dear_until(midnight + 5 * HOUR), **site)
    await home.hours(2)
    reports = [report for record in home.loop.records for report in record.reports]
    gave = [report.measured_at for report in reports if report.export_w > 0]
    assert bool(gave) is ("approved_from" in site)
    assert all(midnight < at for at in gave)
    assert gave[:1] == [midnight + MINUTE] * bool(gave)
    assert home.refused() == []

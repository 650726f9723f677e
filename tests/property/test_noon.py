"""Needs on both sides of noon and across it: sold once, nominated as planned, found again by the audit."""

import csv
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path

import numpy as np
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from aggregator.audit.evidence import Evidence
from aggregator.audit.plans import p11_split, p13_nomination
from aggregator.config import read_settings
from aggregator.energy import reach
from aggregator.files.sessions import COLUMNS, read_sessions
from aggregator.forecast import Horizon
from aggregator.gateway import Gateway
from aggregator.model.market import BidShape
from aggregator.model.opportunity import Opportunity, Received, Stage
from aggregator.model.time import Interval, local_day, utc_text
from aggregator.spans import Span
from aggregator.standing import newest_plan
from aggregator.store import open_store
from aggregator.workflow import held_back_kw
from aggregator.zone_day import SLOT_HOURS, zone_day
from tests.bid_world import KNOWN_AT, ROOT, ZONE, a_need, a_zone, at
from tests.fakes.clock import FakeClock

CARS = 4
WEDNESDAY = date(2025, 1, 15)
LIVE = (Stage.IN_REVIEW, Stage.APPROVED, Stage.SUBMITTED)
WINDOWS = [(11, 15), (17, 19), (9, 12.5), (6, 7.5), (11.5, 13), (22, 26), (35, 38), (41, 42)]
needs = st.lists(
    st.tuples(
        st.sampled_from(WINDOWS), st.sampled_from([5.0, 40.0]), st.sampled_from([300, 600]), st.booleans()
    ),
    min_size=2,
    max_size=4,
    unique_by=lambda one: one[0],
)


@dataclass(frozen=True)
class Desk:
    """A gateway over a store, its clock, and people who approve."""

    gateway: Gateway
    clock: FakeClock

    def ask(self, window, kw, price, *, approve):
        """Take a need in, draft it, and have its bid approved and held by the platform."""
        workflow, name = self.gateway.workflow, f"{window[0]}-{window[1]}"
        self.clock.pass_by(timedelta(minutes=1))
        new = workflow.store.journal.opportunity(name)
        need = a_need(*window, kw, name, utilisation_ceiling=Decimal(price))
        workflow.record(new, Received(self.clock.now(), need), by="platform")
        self.gateway.tick()
        if approve and self.now(name).stage is Stage.IN_REVIEW:
            digest = self.now(name).draft.digest
            workflow.check(self.now(name), digest, "anna")
            approved = workflow.approve(self.now(name), digest, "ben")
            workflow.acknowledged(approved.draft.report_id)

    def now(self, name) -> Opportunity:
        return self.gateway.store.journal.opportunity(name)

    def live(self) -> list[Opportunity]:
        return self.gateway.store.journal.find(zone=ZONE, stages=LIVE)


def write_past(path: Path, seed: int) -> None:
    """Write two weeks of evenings at home, and of cars that are not used for days."""
    draw, rows = np.random.default_rng(seed), []
    for n in range(1, CARS + 1):
        hour = 15.0 - 24 * 14
        while hour < -24:
            comes = hour + draw.uniform(0.0, 4.0)
            leaves = comes + draw.choice([15.0, 15.5, 64.0], p=[0.3, 0.3, 0.4]) - draw.uniform(0.0, 1.0)
            leaves = min(leaves, 9.0 - 24)
            rows.append(
                (f"car-{n}", utc_text(at(comes)), utc_text(at(leaves)), 10.0, draw.uniform(0.35, 0.95))
            )
            hour = 15.0 + 24 * np.ceil((leaves - 15.0) / 24)
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([COLUMNS, *rows])


@contextmanager
def a_desk(folder: Path, seed: int, shape: BidShape):
    write_past(folder / "sessions.csv", seed)
    url = f"sqlite:///{folder / 'flexloop.db'}"
    said = read_settings(ROOT / "config" / "gateway.toml", url)
    # no shortfall is let pass, so that what is bid is what every drawn day must give
    bidding = {"glpsol": None, "solver": "highs", "scenarios": 2, "risk": "cvar", "cvar_limit": 0.0}
    said = said.model_copy(
        update={
            "bidding": said.bidding.model_copy(update=bidding),
            "desk": said.desk.model_copy(update={"rule": ()}),
            "fleet": said.fleet.model_copy(update={"history": folder / "sessions.csv"}),
        }
    )
    clock = FakeClock(KNOWN_AT)
    with open_store(url, create=True) as store:
        store.fleet.replace(a_zone(CARS), imported_at=KNOWN_AT, source="fleet.csv")
        gateway = Gateway(said, store, clock)
        product = gateway.workflow.products["day-ahead"]
        gateway.workflow.products["day-ahead"] = replace(product, bid_shape=shape, min_kw=1.0)
        yield Desk(gateway, clock)


def must_be_deliverable(desk: Desk, day: date, history) -> None:
    """Check that all live bids of a local day and its nomination can be split in each scenario.

    From 06:00 on: across the night cars charge, which a single window does not count.
    """
    gateway, horizon = desk.gateway, Horizon(day, 2)
    span = Interval(local_day(day).start + timedelta(hours=6), local_day(day).end)
    here = [one for one in desk.live() if one.window.overlap(span)]
    if not here:
        return
    planned = zone_day(
        gateway.settings, gateway.fleet, history, lambda *_: (), ZONE, horizon, desk.clock.now()
    )
    drafts = [(one.requirement, one.draft or one.submitted) for one in here]
    nominated, base, bids = {}, {}, dict.fromkeys(horizon.slots, 0.0)
    for part in horizon.parts:
        names = [one.opportunity_id for one in desk.live() if one.window.overlap(part.interval)]
        plan = newest_plan(gateway.store, names, part.interval, desk.clock.now()) or planned.plan
        held = held_back_kw(plan, drafts)
        rows = zip(plan.slots, plan.base_discharge_kw, plan.base_charge_kw, strict=True)
        for slot, base_kw, charge_kw in rows:
            nominated[slot], base[slot] = base_kw - held.get(slot, 0.0) - charge_kw, base_kw
    for need, draft in drafts:
        for slot, kw in zip(need.slots, draft.offered_kw, strict=True):
            if slot in bids and slot.overlap(span):
                assert not (bids[slot] and kw), "two services in one half-hour"
                bids[slot] += kw
    used = [
        n
        for n, slot in enumerate(horizon.slots)
        if slot.overlap(span) and (bids[slot] > 0.0 or base[slot] > 0.01)
    ]
    if not used:
        return
    first, stop = used[0], used[-1] + 1
    windows, _ = planned.windows(Span(first, stop), (), up=True)
    able = reach(windows, SLOT_HOURS, up=True)
    base_kw, bid_kw = (np.array([kw[slot] for slot in horizon.slots[first:stop]]) for kw in (nominated, bids))
    without = able.most_kwh(SLOT_HOURS * base_kw)
    called = able.most_kwh(SLOT_HOURS * (base_kw + bid_kw))
    assert (called - without >= SLOT_HOURS * bid_kw.sum() - 1e-5).all()


@given(st.integers(0, 10**6), needs, st.sampled_from(BidShape))
@settings(max_examples=4, deadline=None, phases=(Phase.explicit, Phase.generate))
def test_needs_around_noon_are_sold_once_and_nominated_as_planned(tmp_path_factory, seed, asked, shape):
    folder = tmp_path_factory.mktemp("noon")
    with a_desk(folder, seed, shape) as desk:
        for window, kw, price, approve in asked:
            desk.ask(window, kw, price, approve=approve)
        history = read_sessions(folder / "sessions.csv")
        for day in (WEDNESDAY, WEDNESDAY + timedelta(days=1)):
            must_be_deliverable(desk, day, history)
        for hours in (14 - 24, 14, 38):  # the gates of Wednesday and Thursday
            desk.clock.set(at(hours))
            desk.gateway.tick()
        evidence = Evidence(desk.gateway.store, desk.gateway.settings)
        findings = [check(evidence) for check in (p11_split, p13_nomination)]
        assert [one.breaches for one in findings] == [(), ()]

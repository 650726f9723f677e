"""A gateway over a store of its own, cars that are at home at noon, too, and people who approve."""

import csv
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import numpy as np

from aggregator.config import read_settings
from aggregator.files.sessions import COLUMNS
from aggregator.forecast import History, Session
from aggregator.gateway import Gateway
from aggregator.model.market import BidShape
from aggregator.model.opportunity import Opportunity, Received, Stage
from aggregator.model.time import Interval, utc_text
from aggregator.store import open_store
from tests.bid_world import KNOWN_AT, ROOT, ZONE, a_need, a_zone, at
from tests.fakes.clock import FakeClock

LIVE = (Stage.IN_REVIEW, Stage.APPROVED, Stage.SUBMITTED)


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

    def at_gates(self, *hours):
        """Let the gateway see instants of the delivery day and about it, in hours after its midnight."""
        for hour in hours:
            self.clock.set(at(hour))
            self.gateway.tick()

    def now(self, name) -> Opportunity:
        return self.gateway.store.journal.opportunity(name)

    def live(self) -> list[Opportunity]:
        return self.gateway.store.journal.find(zone=ZONE, stages=LIVE)


def a_mixed_past(cars: int, seed: int) -> History:
    """Return two weeks of evenings at home, and of cars that are not used for days."""
    draw, sessions = np.random.default_rng(seed), []
    for n in range(1, cars + 1):
        hour = 15.0 - 24 * 14
        while hour < -24:
            comes = hour + draw.uniform(0.0, 4.0)
            leaves = comes + draw.choice([15.0, 15.5, 64.0], p=[0.3, 0.3, 0.4]) - draw.uniform(0.0, 1.0)
            plugged = Interval(at(comes), at(min(leaves, 9.0 - 24)))
            sessions.append(Session(f"car-{n}", plugged, 10.0, draw.uniform(0.35, 0.95)))
            hour = 15.0 + 24 * np.ceil((leaves - 15.0) / 24)
    return History.of(sessions)


def a_lazy_past(cars: int, soc: float = 0.8) -> History:
    """Return two weeks in which no car left its home."""
    plugged = Interval(at(15 - 24 * 14), at(9 - 24))
    return History.of(Session(f"car-{n}", plugged, 10.0, soc) for n in range(1, cars + 1))


def _write(path: Path, past: History) -> None:
    with path.open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(COLUMNS)
        table.writerows(
            (
                one.car_id,
                utc_text(one.plugged.start),
                utc_text(one.plugged.end),
                one.energy_kwh,
                one.arrival_soc,
            )
            for one in past.sessions
        )


def _with_contract(market, standing_contract: bool):
    rows = [row.model_copy(update={"standing_contract": standing_contract}) for row in market.product]
    return market.model_copy(update={"product": tuple(rows)})


@contextmanager
def a_desk(
    folder: Path,
    cars: int,
    past: History,
    shape: BidShape = BidShape.FLAT,
    *,
    standing_contract: bool = False,
    **prices,
):
    """Open a gateway whose zone has so many cars with that past; no shortfall of a bid is let pass.

    ``prices`` changes settings of that table.
    """
    _write(folder / "sessions.csv", past)
    url = f"sqlite:///{folder / 'flexloop.db'}"
    said = read_settings(ROOT / "config" / "gateway.toml", url)
    bidding = {"glpsol": None, "solver": "highs", "scenarios": 2, "risk": "cvar", "cvar_limit": 0.0}
    said = said.model_copy(
        update={
            "bidding": said.bidding.model_copy(update=bidding),
            "market": tuple(_with_contract(one, standing_contract) for one in said.market),
            "prices": said.prices.model_copy(update=prices),
            "desk": said.desk.model_copy(update={"rule": ()}),
            "fleet": said.fleet.model_copy(update={"history": folder / "sessions.csv"}),
        }
    )
    clock = FakeClock(KNOWN_AT)
    with open_store(url, create=True) as store:
        store.fleet.replace(a_zone(cars), imported_at=KNOWN_AT, source="fleet.csv")
        gateway = Gateway(said, store, clock)
        product = gateway.workflow.products["day-ahead"]
        gateway.workflow.products["day-ahead"] = replace(product, bid_shape=shape, min_kw=1.0)
        yield Desk(gateway, clock)

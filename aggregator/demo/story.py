"""The demo's story, line by line as the journal, the alarms and the drivers write it."""

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from functools import singledispatch

from aggregator.demo import day
from aggregator.model.opportunity import (
    Approved,
    Awarded,
    Closed,
    Declined,
    DeliveryEnded,
    DeliveryStarted,
    Fact,
    Instructed,
    InstructionCancelled,
    Proposed,
    Received,
    Settled,
    Submitted,
)
from aggregator.model.time import LONDON, Interval
from aggregator.store import Alarm, Store

OFTEN, SELDOM = timedelta(minutes=30), timedelta(hours=4)
RECENT = timedelta(minutes=40)
W_PER_KW = 1000.0
QUARTER = timedelta(minutes=15)
FEW = 3
"""So many cars of an alarm are named; the database has them all."""

ALARMS = {
    "short_of_target": "short of their target at full power",
    "ramp_held": "held by the ramp limit",
    "not_taken": "without their set-point",
    "bid_unacknowledged": "approved and not acknowledged at their gates",
    "unanswered": "not answered by the DNO when their windows began",
    "no_bid_made": "lapsed at its gate without a draft",
    "undecided": "lapsed at its gate with nobody having decided",
    "interlock": "refused a set-point by the interlock",
}


class Story:
    """Reads what is new in the store and says it."""

    def __init__(self, store: Store, say: Callable[[str], object]) -> None:
        self._store = store
        self._say = say
        self._cars = list(day.fleet().by_id)
        self._told: dict[str, int] = {}
        self._alarms = 0
        self._untold: list[Alarm] = []
        self._alarms_told_at = day.STARTS_AT
        self._said_at = day.STARTS_AT
        self._seen_fleet_at = day.STARTS_AT
        self._acts = [
            (day.BOOSTED_AT, "a driver in Wrotham switches V2G off: full power, out of the dispatch"),
            (day.LEFT_AT, f"a driver in {day.AMENDED_ZONE} leaves before the time given"),
        ]

    def tell_news(self, now: datetime) -> None:
        """Say what has happened since the last time, in order; what comes late is told when it comes."""
        lines = [line for name in self._store.journal.ids() for line in self._facts(name)]
        lines += self._alarm_line(now)
        lines += self._fleet_line(now)
        lines += [act for act in self._acts if act[0] <= now]
        self._acts = [act for act in self._acts if act[0] > now]
        for at, text in sorted(lines, key=lambda line: line[0]):
            self._said_at = max(self._said_at, at)
            self._say(f"{self._said_at.astimezone(LONDON):%a %H:%M:%S}  {text}")

    def _facts(self, name: str) -> Iterator[tuple[datetime, str]]:
        """Yield an opportunity's new facts in the journal's order, whatever their writers' clocks showed."""
        facts = self._store.journal.facts(name)
        zone, at = name.rsplit(":", 1)[-1], self._said_at
        for recorded in facts[self._told.get(name, 0) :]:
            at = max(at, recorded.recorded_at)
            text = _text(recorded.fact)
            if text:
                yield at, f"{zone}: {text}"
        self._told[name] = len(facts)

    def _alarm_line(self, now: datetime) -> list[tuple[datetime, str]]:
        """Return one line for all alarms until the last quarter of an hour that is over."""
        alarms = self._store.alarms.all()
        self._untold += alarms[self._alarms :]
        self._alarms = len(alarms)
        until = now - (now - day.STARTS_AT) % QUARTER
        over = [one for one in self._untold if one.at < until]
        if not over or until <= self._alarms_told_at:
            return []
        self._alarms_told_at = until
        self._untold = [one for one in self._untold if one.at >= until]
        return [(until, _condensed(over))]

    def _fleet_line(self, now: datetime) -> list[tuple[datetime, str]]:
        """Return now and then what the whole fleet does: progress, also when nothing happens."""
        every = OFTEN if day.EVENING.start <= now < day.EVENING.end else SELDOM
        if now - self._seen_fleet_at < every or now >= day.ENDS_AT:
            return []
        self._seen_fleet_at = now
        recent = self._store.states.between(self._cars, Interval(now - RECENT, now))
        latest = {state.car_id: state for state in recent if state.plugged}
        export_kw = sum(state.export_w for state in latest.values()) / W_PER_KW
        return [(now, f"{len(latest)} cars plugged in, the fleet {_flow(export_kw)}")]


def _condensed(alarms: Sequence[Alarm]) -> str:
    """Return alarms as one line: how many cars or bids of each kind, and the first few."""
    if len(alarms) == 1:
        return f"alarm: {alarms[0].where}: {alarms[0].text}"
    parts = []
    for code in dict.fromkeys(one.code for one in alarms):
        places = list(
            dict.fromkeys(name for one in alarms if one.code == code for name in one.where.split(", "))
        )
        few = ", ".join(places[:FEW]) + (", ..." if len(places) > FEW else "")
        parts.append(f"{len(places)} {ALARMS.get(code, code.replace('_', ' '))} ({few})")
    return f"alarms: {'; '.join(parts)}"


def _flow(export_kw: float) -> str:
    return f"gives {export_kw:.0f} kW" if export_kw > 0 else f"draws {-export_kw:.0f} kW"


@singledispatch
def _text(fact: Fact) -> str | None:
    """Return what a fact says to people; None for those that say nothing new."""
    return None


@_text.register
def _(fact: Received) -> str:
    need = fact.requirement
    starts_at, ends_at = (bound.astimezone(LONDON) for bound in (need.window.start, need.window.end))
    kw, ceiling = max(need.needed_kw), need.utilisation_ceiling
    return f"the DNO needs {kw:g} kW {starts_at:%a %H:%M}-{ends_at:%H:%M}, at most GBP {ceiling}/MWh"


@_text.register
def _(fact: Proposed) -> str:
    draft = fact.draft
    return (
        f"draft {draft.version}: {max(draft.offered_kw):g} kW at {draft.asks},"
        f" margin GBP {draft.expected_margin_gbp:.2f}, {draft.why.cars} cars, {draft.why.scenarios} past days"
    )


@_text.register
def _(fact: Approved) -> str:
    return f"approved by {fact.by}"


@_text.register
def _(fact: Declined) -> str:
    return f"no bid: {fact.reason}"


@_text.register
def _(_: Submitted) -> str:
    return "bid acknowledged by the DNO"


@_text.register
def _(fact: Awarded) -> str:
    award = fact.award
    return f"awarded {max(award.awarded_kw):g} kW at GBP {award.utilisation_gbp_per_mwh}/MWh"


@_text.register
def _(fact: Instructed) -> str:
    levels = ", ".join(f"{step.value:g}" for step in fact.instruction.steps)
    return f"instruction (modification {fact.instruction.key.modification}): {levels} kW"


@_text.register
def _(_: InstructionCancelled) -> str:
    return "instruction cancelled: cars go back to plan"


@_text.register
def _(_: DeliveryStarted) -> str:
    return "delivering"


@_text.register
def _(_: DeliveryEnded) -> str:
    return "delivery ended"


@_text.register
def _(fact: Settled) -> str:
    return f"settled: GBP {fact.amount_gbp}"


@_text.register
def _(_: Closed) -> str:
    return "settlement report acknowledged"

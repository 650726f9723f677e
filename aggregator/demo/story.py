"""The demo's story, line by line as the journal, the alarms and the drivers write it."""

from collections.abc import Callable
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
from aggregator.store import Store

OFTEN, SELDOM = timedelta(minutes=30), timedelta(hours=4)
RECENT = timedelta(minutes=40)
W_PER_KW = 1000.0


class Story:
    """Reads what is new in the store and says it."""

    def __init__(self, store: Store, say: Callable[[str], object]) -> None:
        self._store = store
        self._say = say
        self._cars = list(day.fleet().by_id)
        self._told: dict[str, int] = {}
        self._alarms = 0
        self._seen_fleet_at = day.STARTS_AT
        self._acts = [
            (day.BOOSTED_AT, "a driver in Wrotham switches V2G off: full power, out of the dispatch"),
            (day.LEFT_AT, f"a driver in {day.AMENDED_ZONE} leaves before the time given"),
        ]

    def tell_news(self, now: datetime) -> None:
        """Say what has happened since the last time."""
        store = self._store
        lines: list[tuple[datetime, str]] = []
        for name in store.journal.ids():
            facts = store.journal.facts(name)
            zone = name.rsplit(":", 1)[-1]
            for recorded in facts[self._told.get(name, 0) :]:
                text = _text(recorded.fact)
                if text:
                    lines.append((recorded.recorded_at, f"{zone}: {text}"))
            self._told[name] = len(facts)
        alarms = store.alarms.all()
        lines += [(one.at, f"alarm: {one.where}: {one.text}") for one in alarms[self._alarms :]]
        self._alarms = len(alarms)
        lines += self._fleet_line(now)
        lines += [act for act in self._acts if act[0] <= now]
        self._acts = [act for act in self._acts if act[0] > now]
        for at, text in sorted(lines):
            self._say(f"{at.astimezone(LONDON):%a %H:%M:%S}  {text}")

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
        f"draft {draft.version}: {max(draft.offered_kw):g} kW at GBP {draft.utilisation_gbp_per_mwh}/MWh,"
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

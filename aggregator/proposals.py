"""From an opportunity to drafts: what the cars can do, the bids, and why.

The needs of a zone and day are bid on together, over one battery: a new need may change the drafts of others
that nobody has touched yet. The base plan and its digest are made before any price is read. The model sees
only what the cars can do, never cars. The same inputs give the same drafts: the audit makes them again and
compares.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from aggregator.acceptance import Acceptance, PriceRule
from aggregator.bidding import Infeasible, Proposal, propose
from aggregator.bidding.problem import MAX_SLOTS
from aggregator.config import Settings
from aggregator.drafting import Asked, Grounds, drafted, is_same, why_nothing
from aggregator.files.cleared import read_cleared
from aggregator.files.sessions import read_sessions
from aggregator.forecast import Calendar, History, Horizon
from aggregator.model.errors import RuleViolation
from aggregator.model.facts import MODEL
from aggregator.model.fleet import Fleet
from aggregator.model.market import Draft, Plan, Product, Requirement
from aggregator.model.opportunity import Opportunity, Stage
from aggregator.model.time import HALF_HOUR, Interval, half_hours
from aggregator.problems import Prepared, Terms, prepared
from aggregator.standing import NOTHING, Other, Standing, standing_now, standing_then
from aggregator.store import Store
from aggregator.track_record import PastBids, TrackRecord, no_past
from aggregator.workflow import Workflow
from aggregator.zone_day import PeaksKnown, SaidKnown, ZoneDay, nobody_said, zone_day


def history_of(file: Path | None) -> History:
    """Return when the cars were plugged in, from a fleet's history; nothing where no file is named.

    Raises:
        BadMessage: If the file cannot be read.
    """
    return read_sessions(file) if file is not None else History(())


def proposer_of(
    settings: Settings, store: Store, fleet: Fleet, history: History, said: SaidKnown
) -> "Proposer":
    """Return what makes drafts of what a store knows, for a fleet and by a configuration."""
    past = TrackRecord(store, settings.products, Calendar(settings.fleet.holidays))
    return Proposer(settings, fleet, history, store.inbox.peaks, past, said)


@dataclass(frozen=True, slots=True)
class _Answer:
    """What is to be recorded of one opportunity: a draft with its plan, or why there is none."""

    opportunity: Opportunity
    draft: Draft | None
    plan: Plan | None
    reason: str = ""


class Proposer:
    """Makes drafts for one fleet.

    Attributes:
        terms: By what rules.
    """

    def __init__(
        self,
        settings: Settings,
        fleet: Fleet,
        history: History,
        peaks: PeaksKnown,
        past: PastBids = no_past,
        drivers_said: SaidKnown = nobody_said,
    ) -> None:
        self._settings = settings
        self._fleet = fleet
        self._history = history
        self._peaks = peaks
        self._said = drivers_said
        said = settings.bidding
        self.terms = Terms(
            said,
            PriceRule(said.price_of_ceiling, said.least_margin_gbp_per_mwh),
            read_cleared(said.acceptance) if said.acceptance is not None else Acceptance(()),
            {
                row.product_id: row.cleared_as or row.product_id
                for file in settings.market
                for row in file.product
            },
            past,
        )
        self._day: tuple[tuple[object, ...], ZoneDay | str] | None = None

    def propose(self, workflow: Workflow, opportunity: Opportunity, now: datetime) -> Opportunity:
        """Put a draft up for review, or decline with the reason; draft anew what else it changes.

        Returns:
            The opportunity, as it stands then.

        Raises:
            Unavailable: If the solver failed; nothing was decided, so that it may be tried again.
            RuleViolation: If somebody was faster with one of the zone's bids; it may be tried again.
        """
        need = opportunity.requirement
        if need is None:
            return opportunity
        products = workflow.products
        standing = standing_now(workflow.store, products, need, opportunity.opportunity_id, now)
        own = Other(opportunity, products[need.product_id])
        answers = self._answers(own, standing, now)
        for answer in (one for one in answers if one.opportunity is not opportunity):
            _record(workflow, answer)
        return _record(workflow, next(one for one in answers if one.opportunity is opportunity))

    def prepare(
        self,
        need: Requirement,
        product: Product,
        now: datetime,
        standing: Standing = NOTHING,
        name: str | None = None,
    ) -> Prepared | str:
        """Return what the bid on a need stands on as known at ``now``, or why there can be none.

        Args:
            need: The need.
            product: Its rules.
            now: Nothing learnt later is looked at.
            standing: What else the zone has bid or may bid in those days; needs that share the window are
                lines of the same problem.
            name: Of its opportunity; the event's id without it.
        """
        if need.slots[0].end - need.slots[0].start < HALF_HOUR:
            return "the model works in half-hours; the requirement's slots are shorter"
        count = len(list(half_hours(need.window)))
        if count > MAX_SLOTS:
            return f"the window has {count} half-hours; 1 to {MAX_SLOTS} can be bid at once"
        others = {other.opportunity.window for other in standing.others}
        horizon, windows = Horizon.over(need.window, others), tuple(sorted({need.window, *others}))
        found = self._zone_day(need.zone, horizon, now, windows)
        if isinstance(found, str):
            return found
        asked = Asked(name or need.key.event_id, need, product)
        return prepared(found, self.terms, asked, standing, now, self._fleet.digest)

    def again(
        self, store: Store, products: Mapping[str, Product], need: Requirement, draft: Draft
    ) -> Prepared | str:
        """Return what a draft of the model's stood on, made again from what was known then, or why not.

        The inputs are the same ones only where the problem's ``inputs_digest`` is the draft's.
        """
        known_at = draft.why.known_at
        if known_at is None:
            return "no model made it"
        try:
            standing = standing_then(store, products, need, draft.why.beside, known_at)
        except RuleViolation as broken:
            return f"the zone's facts do not follow from each other: {broken}"
        return self.prepare(need, products[need.product_id], known_at, standing, draft.bid_id)

    def base_plan(self, zone: str, day: Interval, known_at: datetime) -> Plan | str:
        """Return what a zone's cars do from one noon to the next when nothing is bid or called, or why not.

        Args:
            zone: Which.
            day: From a noon to the next.
            known_at: Nothing learnt later is looked at.
        """
        horizon = Horizon.over(day)
        found = zone_day(
            self._settings, self._fleet, self._history, self._peaks, zone, horizon, known_at, said=self._said
        )
        return found if isinstance(found, str) else found.plan

    def _zone_day(
        self, zone: str, horizon: Horizon, now: datetime, windows: tuple[Interval, ...]
    ) -> ZoneDay | str:
        """Return the zone's day or days; the needs of one pass share them."""
        key = (zone, horizon, now, windows)
        if self._day is None or self._day[0] != key:
            found = zone_day(
                self._settings,
                self._fleet,
                self._history,
                self._peaks,
                zone,
                horizon,
                now,
                windows,
                self._said,
            )
            self._day = (key, found)
        return self._day[1]

    def _answers(self, own: Other, standing: Standing, now: datetime) -> list[_Answer]:
        """Return what to do with the need and every other that may be drafted, window by window."""
        everything = (own, *standing.others)
        answers: dict[str, _Answer] = {}
        for one in everything:
            name, need = one.opportunity.opportunity_id, one.free_need
            if name in answers or need is None:
                continue
            rest = tuple(other for other in everything if other is not one)
            beside = replace(standing, others=rest)
            ready = self.prepare(need, one.product, now, beside, name)
            if isinstance(ready, str):
                if one is own:
                    answers[name] = _Answer(one.opportunity, None, None, ready)
                continue
            answers |= self._window_answers(ready, everything, standing, now)
        return list(answers.values())

    def _window_answers(
        self, ready: Prepared, everything: Sequence[Other], standing: Standing, now: datetime
    ) -> dict[str, _Answer]:
        """Return what is to be done with each need of one window, and with those it leaves no room for."""
        by_name = {one.opportunity.opportunity_id: one for one in everything}
        answers = {
            name: _Answer(by_name[name].opportunity, None, None, reason)
            for name, reason in ready.refused.items()
        }
        proposal = propose(ready.problem)
        for number, asked in enumerate(ready.asked):
            one = by_name[asked.name].opportunity
            if isinstance(proposal, Infeasible):
                answers[asked.name] = _Answer(one, None, None, proposal.reason)
                continue
            rest = tuple(other for other in everything if other.opportunity is not one)
            grounds = Grounds(
                now,
                ready.asking[number],
                self.terms.rule,
                ready.inputs,
                replace(standing, others=rest).seen,
                ready.levels[number],
            )
            answers[asked.name] = _answer(one, ready, proposal, number, grounds)
        return answers


def _answer(one: Opportunity, ready: Prepared, proposal: Proposal, number: int, grounds: Grounds) -> _Answer:
    offer = proposal.offers[number]
    if offer.is_zero:
        return _Answer(one, None, None, why_nothing(offer))
    draft = drafted(one, ready.asked[number], ready.problem, proposal, offer, grounds)
    return _Answer(one, draft, ready.plan)


def _record(workflow: Workflow, answer: _Answer) -> Opportunity:
    """Put the draft up for review where it is another than the one there is; decline where there is none."""
    one, draft = answer.opportunity, answer.draft
    if draft is None:
        return workflow.decline(one, answer.reason, MODEL)
    if one.stage is Stage.IN_REVIEW and is_same(one.draft, draft):
        return one
    return workflow.propose(one, draft, answer.plan)

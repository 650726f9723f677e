"""What a VEN is told when it polls: one thing at a time, as openleadr's templates take it."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

from .events import as_event
from .market import wanted
from .notices import edition, notices
from .reading import Offer, Point
from .scenario import ReportAsked, ReportCancelled, Requirement, Scenario
from .state import HANDED_OUT, TOLD, State, Ven

STANDING = ("telemetry", "status", "nomination", "settlement")
TELEMETRY_EVERY = timedelta(minutes=1)
TELEMETRY_SENT_EVERY = timedelta(minutes=5)
NO_TIME = timedelta(0)

Message = tuple[str, dict[str, Any]]


def next_message(state: State, ven: Ven, now: datetime, *, kept: bool) -> Message | None:
    """The next thing a VEN does not know yet, in answer to its poll; None if it knows all.

    Args:
        state: What is known; who was told what is added to it.
        ven: Who polls.
        now: Domain time.
        kept: Whether the answer will get there; if not, it is not taken as told.
    """
    for name, message in _untold(state, ven, now):
        if name not in ven.told:
            if kept:
                state.take(TOLD, ven.ven_id, name, now)
            return message
    if edition(state.scenario, state.book, now) != ven.handed_out:
        return distribute(state, ven, now, kept=kept)
    for name, message in _about_reports(state, ven, now):
        if name not in ven.told:
            if kept:
                state.take(TOLD, ven.ven_id, name, now)
            return message
    return None


def distribute(state: State, ven: Ven, now: datetime, *, kept: bool) -> Message:
    """All events that are current. Arguments as for ``next_message``."""
    scenario = state.scenario
    if kept:
        state.take(HANDED_OUT, ven.ven_id, "", now)
    offset = scenario.clock_offset(now)
    current = notices(scenario, state.book, now)
    return "oadrDistributeEvent", {"events": [as_event(notice, now, offset) for notice in current]}


def standing_requests(scenario: Scenario, ven: Ven) -> list[dict[str, Any]]:
    """What is wanted of every VEN that offers it, for as long as it is registered."""
    return [_standing(scenario, ven.offers[name]) for name in STANDING if name in ven.offers]


def cancelled_in_passing(state: State, ven: Ven, now: datetime, *, kept: bool) -> dict[str, Any] | None:
    """The report requests to take back while a report is acknowledged; None if there are none.

    Arguments as for ``next_message``.
    """
    due = [one for one in _to_cancel(state, ven, now) if one.by == "updated_report"]
    due = [one for one in due if _name(one) not in ven.told]
    for one in due if kept else ():
        state.take(TOLD, ven.ven_id, _name(one), now)
    names = [one.request_id for one in due]
    return {"request_id": names[0], "report_request_id": names, "report_to_follow": False} if due else None


def _untold(state: State, ven: Ven, now: datetime) -> Iterator[tuple[str, Message]]:
    for act in state.due_acts(ven, now, "cancel", "reregister"):
        name = f"{act.kind} {act.at.isoformat()}"
        if act.kind == "reregister":
            yield name, ("oadrRequestReregistration", {"ven_id": ven.ven_id})
        else:
            ids = {"registration_id": ven.registration_id, "ven_id": ven.ven_id}
            yield name, ("oadrCancelPartyRegistration", ids)


def _about_reports(state: State, ven: Ven, now: datetime) -> Iterator[tuple[str, Message]]:
    for one in _to_cancel(state, ven, now):
        if one.by == "poll":
            cancelled = {"report_request_id": one.request_id, "report_to_follow": False}
            yield _name(one), ("oadrCancelReport", cancelled | {"ven_id": ven.ven_id})
    if "bid" in ven.offers:
        for requirement in wanted(state.scenario, state.book, now):
            request = _bid_request(requirement, ven.offers["bid"])
            yield requirement.id, ("oadrCreateReport", {"report_requests": [request]})
    over = {one.request_id for one in state.scenario.cancel_report if one.at <= now}
    for asked in state.scenario.report:
        if asked.at <= now and asked.request_id not in over:
            request = _asked(asked, ven.offers.get(asked.specifier))
            yield asked.request_id, ("oadrCreateReport", {"report_requests": [request]})


def _to_cancel(state: State, ven: Ven, now: datetime) -> list[ReportCancelled]:
    """What is to be cancelled by now of what the VEN was asked for."""
    asked = ven.told | {_standing_id(name) for name in STANDING if name in ven.offers}
    return [one for one in state.scenario.cancel_report if one.at <= now and one.request_id in asked]


def _standing_id(specifier: str) -> str:
    return f"RR-{specifier}"


def _name(one: ReportCancelled) -> str:
    return f"cancel {one.request_id} {one.at.isoformat()}"


def _standing(scenario: Scenario, offer: Offer) -> dict[str, Any]:
    if offer.specifier_id != "telemetry":
        return _request(_standing_id(offer.specifier_id), offer, NO_TIME, NO_TIME)
    request = _request(_standing_id(offer.specifier_id), offer, TELEMETRY_EVERY, TELEMETRY_SENT_EVERY)
    if scenario.telemetry is not None:
        _only_within(request, scenario.telemetry.from_, scenario.telemetry.to)
    return request


def _bid_request(requirement: Requirement, offer: Offer) -> dict[str, Any]:
    prefix = f"{requirement.zone}/{requirement.product}/"
    points = tuple(point for point in offer.points if point.r_id.startswith(prefix))
    return _request(requirement.id, Offer(offer.specifier_id, points or offer.points), NO_TIME, NO_TIME)


def _asked(asked: ReportAsked, offer: Offer | None) -> dict[str, Any]:
    # the schema wants a data point of a report, even of one that there is not
    points = offer.points if offer else (Point(f"{asked.specifier}/value", "Direct Read", 1.0),)
    granularity, back = timedelta(seconds=asked.granularity_s), timedelta(seconds=asked.back_duration_s)
    request = _request(asked.request_id, Offer(asked.specifier, points), granularity, back)
    if asked.from_ is not None and asked.to is not None:
        _only_within(request, asked.from_, asked.to)
    return request


def _only_within(request: dict[str, Any], start: datetime, end: datetime) -> None:
    request["report_specifier"]["report_interval"] = {"dtstart": start, "duration": end - start}


def _request(
    request_id: str, offer: Offer, granularity: timedelta, back_duration: timedelta
) -> dict[str, Any]:
    return {
        "report_request_id": request_id,
        "report_specifier": {
            "report_specifier_id": offer.specifier_id,
            "granularity": granularity,
            "report_back_duration": back_duration,
            "specifier_payloads": [{"r_id": p.r_id, "reading_type": p.reading_type} for p in offer.points],
        },
    }

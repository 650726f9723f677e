"""The actions of the desk: ONE table that says path, role, body and what is done.

Pages, the JSON routes and their description are made from it. Each action is one transaction with its row in
the trail: who, when, what about, and which draft was seen. A person's key names it: asked again with the same
key it is answered the same and not done twice.
"""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from aggregator import acting
from aggregator.files.inputs import Row
from aggregator.model.errors import BadMessage, Fault, RuleViolation
from aggregator.model.opportunity import Opportunity, Stage
from aggregator.store import DeskAction, Store
from aggregator.web.bodies import Alarms, Amendment, Extent, Refusal, Seen, Stop
from aggregator.workflow import Workflow

DONE, REFUSED = 200, 409
LONGEST_KEY = 100


class NoSuchBid(LookupError):
    """Nothing is known of a bid."""


@dataclass(frozen=True, slots=True)
class Ground:
    """What actions work on.

    Attributes:
        flow: The workflow with the desk's rules.
        zones: The fleet's.
    """

    flow: Workflow
    zones: Sequence[str]

    @property
    def store(self) -> Store:
        """The record."""
        return self.flow.store

    def bid(self, name: str) -> Opportunity:
        """Return a bid by its whole id.

        Raises:
            NoSuchBid: If there is none.
        """
        one = self.store.journal.opportunity(name)
        if one.stage is Stage.NEW:
            raise NoSuchBid(name)
        return one


@dataclass(frozen=True, slots=True)
class Action:
    """One line of the table.

    Attributes:
        name: As the trail calls it.
        path: Where it is asked for; ``{bid}`` is a bid's id.
        roles: Of which one is needed; anybody known without any.
        body: What it is asked with.
        do: Does it; returns what is said.
        about: What it is about, where the path does not say.
    """

    name: str
    path: str
    roles: tuple[str, ...]
    body: type[Row]
    do: Callable[[Ground, str, str, Any], str]
    about: Callable[[Any], str] = lambda _: ""


def _check(ground: Ground, bid: str, user: str, body: Seen) -> str:
    return acting.check(ground.flow, ground.bid(bid), body.draft, user)


def _approve(ground: Ground, bid: str, user: str, body: Seen) -> str:
    return acting.approve(ground.flow, ground.bid(bid), body.draft, user)


def _amend(ground: Ground, bid: str, user: str, body: Amendment) -> str:
    one = ground.bid(bid)
    return acting.amend(ground.flow, one, body.draft, user, body.kw, body.gbp_per_mwh)


def _reject(ground: Ground, bid: str, user: str, body: Refusal) -> str:
    return acting.reject(ground.flow, ground.bid(bid), body.reason, user, body.draft)


def _withdraw(ground: Ground, bid: str, user: str, body: Refusal) -> str:
    return acting.withdraw(ground.flow, ground.bid(bid), body.reason, user, body.draft)


def _acknowledge(ground: Ground, _: str, user: str, body: Alarms) -> str:
    return acting.acknowledge(ground.flow, body.alarms, user)


def _stop(ground: Ground, _: str, user: str, body: Stop) -> str:
    return acting.stop(ground.flow, ground.zones, body.zone, body.reason, user)


def _restart(ground: Ground, _: str, user: str, body: Extent) -> str:
    return acting.restart(ground.flow, ground.zones, body.zone, user)


def _zone(body: Extent) -> str:
    return body.zone or "all zones"


def _numbers(body: Alarms) -> str:
    return "alarms " + ", ".join(map(str, body.alarms))


CHECK = Action("check", "/v1/bids/{bid}/check", ("approver",), Seen, _check)
APPROVE = Action("approve", "/v1/bids/{bid}/approve", ("approver",), Seen, _approve)
ACTIONS: tuple[Action, ...] = (
    CHECK,
    APPROVE,
    Action("amend", "/v1/bids/{bid}/amend", ("trader",), Amendment, _amend),
    Action("reject", "/v1/bids/{bid}/reject", ("trader", "approver"), Refusal, _reject),
    Action("withdraw", "/v1/bids/{bid}/withdraw", ("trader",), Refusal, _withdraw),
    Action("acknowledge", "/v1/alarms/acknowledge", acting.ACKNOWLEDGE, Alarms, _acknowledge, _numbers),
    Action("stop", "/v1/stops", (), Stop, _stop, _zone),
    Action("restart", "/v1/restarts", acting.RESTART, Extent, _restart, _zone),
)
MANY: Mapping[str, Action] = {"/v1/checks": CHECK, "/v1/approvals": APPROVE}
"""Several bids at once, by path: each is an action of its own."""


def perform(ground: Ground, action: Action, bid: str, user: str, body: Row, key: str) -> DeskAction:
    """Do an action and note it, or note why it was refused; in a thread.

    Raises:
        BadMessage: If the body or the key is wrong: nothing is noted.
        NoSuchBid: If there is none.
    """
    if not key.isprintable() or not 0 < len(key) <= LONGEST_KEY:
        raise BadMessage(Fault("Idempotency-Key", key, f"1 to {LONGEST_KEY} printable letters"))
    asked = _digest(action, bid, body)
    earlier = ground.store.desk_trail.by_key(user, key)
    if earlier is not None:
        if earlier.asked != asked:
            raise BadMessage(Fault("Idempotency-Key", key, "a new key: this one named another action"))
        return earlier
    draft = str(getattr(body, "draft", None) or "")

    def noted(status: int, said: str) -> DeskAction:
        subject = bid or action.about(body)
        row = DeskAction(ground.flow.now(), user, action.name, subject, draft, status, said, key, asked)
        return ground.store.desk_trail.add(row)

    try:
        with ground.store.at_once():
            return noted(DONE, action.do(ground, bid, user, body))
    except RuleViolation as refused:
        return noted(REFUSED, str(refused))


def _digest(action: Action, bid: str, body: Row) -> str:
    text = json.dumps([action.name, bid, body.model_dump(mode="json")], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()

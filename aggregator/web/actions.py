"""The actions of the desk: ONE table that says path, role, body and what is done.

Pages, the JSON routes and their description are made from it. Each action is one transaction with its row in
the trail: who, when, what about, and which draft was seen. A person's key names it: asked again with the same
key it is answered the same and not done twice.
"""

import hashlib
import json
import secrets
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from aggregator import acting
from aggregator.acting import DONE, REFUSED
from aggregator.desk_settings import DESK_ROLES
from aggregator.files.inputs import Row
from aggregator.model.errors import BadMessage, Fault, RuleViolation
from aggregator.model.opportunity import Opportunity, Stage
from aggregator.store import AT_THE_DESK, DeskAction, Store
from aggregator.web.bodies import Alarms, Amendment, Extent, Nothing, Refusal, Seen, Settled, Stop
from aggregator.web.making import AUDIT, PROMISES, SETTLE, Making, days_of
from aggregator.workflow import Workflow

LONGEST_KEY = 100
NO_ROLE = 403
"""How the trail says that it takes another role."""


class NoSuchBid(LookupError):
    """Nothing is known of a bid."""


@dataclass(frozen=True, slots=True)
class Ground:
    """What actions work on.

    Attributes:
        flow: The workflow with the desk's rules.
        zones: The fleet's.
        making: What takes long is worked on there; commands, without one, do it themselves.
    """

    flow: Workflow
    zones: Sequence[str]
    making: Making | None = None

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
        roles: Of which one is needed.
        body: What it is asked with.
        do: Does it; returns what is said.
        about: What it is about, where the path does not say.
        first: What takes a while and records nothing: done before the transaction, which others wait for.
        says: What is to be known beside the name and the roles.
    """

    name: str
    path: str
    roles: tuple[str, ...]
    body: type[Row]
    do: Callable[[Ground, str, str, Any], str]
    about: Callable[[Any], str] = lambda _: ""
    first: Callable[[Ground, str, str, Any], None] | None = None
    says: str = ""

    def is_for(self, roles: Collection[str]) -> bool:
        """Whether who has these roles may ask for it."""
        return any(role in self.roles for role in roles)


def _check(ground: Ground, bid: str, user: str, body: Seen) -> str:
    return acting.check(ground.flow, ground.bid(bid), body.draft, user)


def _approve(ground: Ground, bid: str, user: str, body: Seen) -> str:
    return acting.approve(ground.flow, ground.bid(bid), body.draft, user)


def _amend(ground: Ground, bid: str, user: str, body: Amendment) -> str:
    one = ground.bid(bid)
    return acting.amend(ground.flow, one, body.draft, user, body.kw, body.gbp_per_mwh)


def _value_amended(ground: Ground, bid: str, user: str, body: Amendment) -> None:
    """Work the amended draft's margin out, so that it is known when the draft is recorded."""
    one = ground.bid(bid)
    with suppress(RuleViolation):
        ground.flow.amended(one, acting.full_digest(one, body.draft), user, body.kw, body.gbp_per_mwh)


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


def _settle(ground: Ground, _: str, user: str, body: Settled) -> str:
    acting.must_be_zone(body.zone, ground.zones)
    return _making(ground).keep(body.period(), user)


def _audit(ground: Ground, _: str, user: str, __: Nothing) -> str:
    return _making(ground).audit(user)


def _making(ground: Ground) -> Making:
    if ground.making is None:
        raise RuntimeError("nothing is made beside a command")
    return ground.making


def _days(body: Settled) -> str:
    return days_of(body.period())


def _zone(body: Extent) -> str:
    return body.zone or acting.EVERYWHERE


def _numbers(body: Alarms) -> str:
    return acting.named(body.alarms)


CHECK = Action("check", "/v1/bids/{bid}/check", ("approver",), Seen, _check)
APPROVE = Action("approve", "/v1/bids/{bid}/approve", ("approver",), Seen, _approve)
STOP = Action("stop", "/v1/stops", DESK_ROLES, Stop, _stop, _zone)
SETTLING = Action(SETTLE, "/v1/settlement", ("settlement", "operator"), Settled, _settle, _days)
AUDITING = Action(AUDIT, "/v1/audits", ("settlement", "operator"), Nothing, _audit, lambda _: PROMISES)
ACTIONS: tuple[Action, ...] = (
    CHECK,
    APPROVE,
    Action("amend", "/v1/bids/{bid}/amend", ("trader",), Amendment, _amend, first=_value_amended),
    Action(
        "reject",
        "/v1/bids/{bid}/reject",
        ("trader", "approver"),
        Refusal,
        _reject,
        says="refuses the draft; a bid that the DNO holds from before stands",
    ),
    Action(
        "withdraw",
        "/v1/bids/{bid}/withdraw",
        ("trader",),
        Refusal,
        _withdraw,
        says="before the gate, and from the award on; between them the DNO takes no change of a bid: 409",
    ),
    Action("acknowledge", "/v1/alarms/acknowledge", acting.ACKNOWLEDGE, Alarms, _acknowledge, _numbers),
    STOP,
    Action("restart", "/v1/restarts", acting.RESTART, Extent, _restart, _zone),
    SETTLING,
    AUDITING,
)
MANY: Mapping[str, Action] = {"/v1/checks": CHECK, "/v1/approvals": APPROVE}
"""Several bids at once, by path: each is an action of its own."""


def perform(
    ground: Ground, action: Action, bid: str, user: str, body: Row, key: str, via: str = AT_THE_DESK
) -> DeskAction:
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
        row = DeskAction(ground.flow.now(), user, action.name, subject, draft, status, said, key, asked, via)
        return ground.store.desk_trail.add(row)

    if action.first is not None:
        action.first(ground, bid, user, body)
    try:
        with ground.store.at_once():
            return noted(DONE, action.do(ground, bid, user, body))
    except RuleViolation as refused:
        return noted(REFUSED, str(refused))


def note_without_role(
    ground: Ground, action: Action, bid: str, user: str, body: Row | None, said: str
) -> DeskAction:
    """Note that somebody asked for an action that takes another role; in a thread.

    Asked again it is another row, whatever the key: the role may be given meanwhile.

    Args:
        ground: What actions work on.
        action: Which.
        bid: What it is about, where it is a bid.
        user: Who asked.
        body: What it was asked with; None where that is none.
        said: What the person was told.
    """
    subject = bid or ("" if body is None else action.about(body))
    subject = subject if subject.isprintable() else ""
    draft = str(getattr(body, "draft", None) or "")
    asked = "" if body is None else _digest(action, bid, body)
    key = secrets.token_hex(8)
    row = DeskAction(ground.flow.now(), user, action.name, subject, draft, NO_ROLE, said, key, asked)
    return ground.store.desk_trail.add(row)


def _digest(action: Action, bid: str, body: Row) -> str:
    text = json.dumps([action.name, bid, body.model_dump(mode="json")], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()

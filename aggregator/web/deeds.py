"""Everything people did: the trail's rows, and what the journal alone knows of decisions by people and rules.

Rows of the trail are chained (``aggregator/store/chain.py``). A decision that the trail tells of is not told
again: of a person's facts about a bid, the last one by the time of the row that tells of it is the one. What
drivers say is a row, too; words from before that was so stand beside, without number and hash.
"""

import csv
import heapq
import io
import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from aggregator.acting import DONE
from aggregator.clockwork import CLOCKWORK, FLEET, PLATFORM
from aggregator.files.cells import guarded
from aggregator.files.inputs import LocalDate, Row
from aggregator.model.facts import MODEL
from aggregator.model.opportunity import (
    Approved,
    Checked,
    Declined,
    DraftRefused,
    Fact,
    OptedOut,
    Proposed,
    Withdrawn,
)
from aggregator.model.time import local_day, utc_text
from aggregator.said import trail_row
from aggregator.store import (
    AT_THE_DESK,
    BY_A_DRIVER,
    BY_COMMAND,
    DeskAction,
    Recorded,
    Store,
    Verified,
    Wanted,
)
from aggregator.store.columns import micros

BY_THE_JOURNAL = "journal"
"""Where a decision stands that the trail says nothing of: a rule's, or one from before there was a trail."""

PLACES = (AT_THE_DESK, BY_COMMAND, BY_A_DRIVER, BY_THE_JOURNAL)
IN_THE_JOURNAL = "recorded in the journal"
VERBS: Mapping[type[Fact], str] = {
    Checked: "check",
    Approved: "approve",
    Declined: "reject",
    DraftRefused: "reject",
    Withdrawn: "withdraw",
    OptedOut: "withdraw",
    Proposed: "amend",
}
TOLD_BY = {"reject": ("reject", "withdraw"), "withdraw": ("reject", "withdraw")}
"""Of older versions: refusing a draft over a bid that was sent before withdrew that."""

NOBODY = (MODEL, CLOCKWORK, PLATFORM, FLEET)
COLUMNS = (
    *("action", "at", "user", "via", "name", "subject", "draft", "status", "said", "key", "asked"),
    "digest",
)
HEAD = "head of the chain"
A_PAGE = 100
AT_ONCE = 1000


class Sought(Row):
    """Which deeds are sought: of a person, a kind, at a place, about a bid, on a London day; all without."""

    user: str = ""
    name: str = ""
    via: str = ""
    bid: str = ""
    day: LocalDate | None = None

    def wanted(self) -> Wanted:
        """Return it as the trail is asked."""
        during = None if self.day is None else local_day(self.day)
        return Wanted(self.user, self.name, self.via, self.bid, during)


@dataclass(frozen=True, slots=True)
class Deeds:
    """A page of what is known of what people did.

    Attributes:
        shown: Those on it, the newest first.
        number: Which page, from 0.
        found: How many are sought, on all pages.
        people: Everybody who did anything, but for drivers.
        names: Every kind of thing done.
    """

    shown: tuple[DeskAction, ...]
    number: int
    found: int
    people: tuple[str, ...]
    names: tuple[str, ...]

    @property
    def has_more(self) -> bool:
        """Whether older ones follow."""
        return (self.number + 1) * A_PAGE < self.found


def deeds(store: Store, sought: Sought, number: int = 0) -> Deeds:
    """Return a page of what is sought of all that people did; the trail is read as far as it is shown.

    However what has no row lies between the rows: no more of these come before a page than there are in all.
    """
    wanted, trail, every = sought.wanted(), store.desk_trail, unchained(store)
    others = sorted(filter(wanted.is_met, every), key=lambda one: one.at, reverse=True)
    first, skipped = number * A_PAGE, max(0, number * A_PAGE - len(others))
    rows = trail.newest(wanted, skipped, first + A_PAGE - skipped)
    newer = sum(not rows or one.at > rows[0].at for one in others) if skipped else 0
    merged = list(heapq.merge(rows, others[newer:], key=lambda one: one.at, reverse=True))
    begin = first - skipped - newer
    return Deeds(
        shown=tuple(merged[begin : begin + A_PAGE]),
        number=number,
        found=trail.count(wanted) + len(others),
        people=tuple(sorted({*trail.people(), *(one.user for one in every if one.via != BY_A_DRIVER)})),
        names=tuple(sorted({*trail.kinds(), *(one.action for one in every)})),
    )


def every_deed(store: Store, sought: Sought, last: int) -> Iterator[list[DeskAction]]:
    """Yield all that is sought, oldest first, a part at a time, so that no export is held in memory.

    Args:
        store: Whose.
        sought: Which.
        last: The trail's last row that is told: what is done meanwhile waits for the next export.
    """
    wanted = sought.wanted()
    others = [one for one in sorted(unchained(store), key=lambda one: one.at) if wanted.is_met(one)]
    number = 0
    while number < last:
        part = [one for one in store.desk_trail.after(number, wanted, AT_ONCE) if one.action_id <= last]
        if not part:
            break
        number = part[-1].action_id
        before = [one for one in others if one.at <= part[-1].at]
        others = others[len(before) :]
        yield list(heapq.merge(before, part, key=lambda one: one.at))  # rows stay in the chain's order
    yield others


def unchained(store: Store) -> list[DeskAction]:
    """Return what no row of the trail tells of: decisions of the journal alone, and drivers' older words."""
    words = [replace(trail_row(word), key="", asked="") for word in store.drivers.unchained()]
    return [*_of_the_journal(store), *words]


def _of_the_journal(store: Store) -> Iterator[DeskAction]:
    """Yield the decisions that no row of the trail tells of."""
    told: dict[tuple[str, str], list[tuple[str, int]]] = defaultdict(list)
    for user, subject, action, at in store.desk_trail.done(set(VERBS.values()), DONE):
        told[user, subject].append((action, at))
    left = store.journal.of_kinds(VERBS.keys(), NOBODY)
    for name, recorded in reversed(left):  # the latest fact by a row's time is the one it tells of
        verb, who = VERBS[type(recorded.fact)], _who(recorded)
        if who in NOBODY:
            continue
        rows = told[who, name]
        match = next((row for row in rows if _tells(row, verb, recorded)), None)
        if match is not None:
            rows.remove(match)
        else:
            yield _deed(name, verb, who, recorded)


def _who(recorded: Recorded) -> str:
    """Return whose decision it was: what the fact itself says, else who recorded it."""
    fact = recorded.fact
    return fact.draft.by if isinstance(fact, Proposed) else str(getattr(fact, "by", recorded.by))


def _tells(row: tuple[str, int], verb: str, recorded: Recorded) -> bool:
    action, at = row
    return action in TOLD_BY.get(verb, (verb,)) and at >= micros(recorded.recorded_at)


def _deed(bid: str, verb: str, who: str, recorded: Recorded) -> DeskAction:
    fact = recorded.fact
    draft = fact.draft.digest if isinstance(fact, Proposed) else getattr(fact, "draft_digest", "")
    said = getattr(fact, "reason", "") or IN_THE_JOURNAL
    return DeskAction(recorded.recorded_at, who, verb, bid, draft, DONE, said, "", "", BY_THE_JOURNAL)


def deed_row(one: DeskAction) -> dict[str, object]:
    """Return a deed as a row; of what the journal alone knows, number and hash are empty."""
    return {
        "action": one.action_id or None,
        "at": utc_text(one.at),
        "user": one.user,
        "via": one.via,
        "name": one.action,
        "subject": one.subject,
        "draft": one.draft,
        "status": one.status,
        "said": one.said,
        "key": one.key,
        "asked": one.asked,
        "digest": one.digest or None,
    }


def chain_row(found: Verified) -> dict[str, object]:
    """Return what a walk along the chain found."""
    return {
        "rows": found.rows,
        "head": found.head,
        "first_that_does_not_fit": found.misfit,
        "has_head": found.has_head,
        "holds": found.holds,
    }


def csv_parts(found: Iterable[Iterable[DeskAction]], chain: Verified) -> Iterator[str]:
    """Yield deeds as CSV, text cells guarded; the last line bears the chain's head."""
    text = io.StringIO()
    table = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    table.writeheader()
    for part in found:
        table.writerows(guarded(deed_row(one)) for one in part)
        yield text.getvalue()
        text.seek(0)
        text.truncate()
    said = "holds" if chain.holds else f"row {chain.misfit} does not fit"
    table.writerow({"name": HEAD, "said": f"{chain.rows} rows; {said}", "digest": chain.head})
    yield text.getvalue()


def json_lines(found: Iterable[Iterable[DeskAction]], chain: Verified) -> Iterator[str]:
    """Yield deeds as JSON, one a line; the last line tells the chain's head."""
    for part in found:
        yield "".join(json.dumps(deed_row(one), ensure_ascii=False) + "\n" for one in part)
    yield json.dumps({"chain": chain_row(chain)}, ensure_ascii=False) + "\n"

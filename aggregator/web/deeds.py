"""Everything people did: the trail's rows, and what the journal alone knows of decisions by people and rules.

Rows of the trail are chained (``aggregator/store/chain.py``). A decision that the trail tells of is not told
again: of a person's facts about a bid, the last one by the time of the row that tells of it is the one.
"""

import csv
import io
import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from aggregator.acting import DONE
from aggregator.files.inputs import LocalDate, Row
from aggregator.gateway import FLEET
from aggregator.intake import PLATFORM
from aggregator.model.opportunity import Approved, Checked, Declined, Fact, OptedOut, Proposed, Withdrawn
from aggregator.model.time import LONDON, utc_text
from aggregator.reports import guarded
from aggregator.store import DeskAction, Recorded, Store, Verified
from aggregator.workflow import CLOCKWORK, MODEL

BY_THE_JOURNAL = "journal"
"""Where a decision stands that the trail says nothing of: a rule's, or one from before there was a trail."""

IN_THE_JOURNAL = "recorded in the journal"
VERBS: Mapping[type[Fact], str] = {
    Checked: "check",
    Approved: "approve",
    Declined: "reject",
    Withdrawn: "withdraw",
    OptedOut: "withdraw",
    Proposed: "amend",
}
TOLD_BY = {"reject": ("reject", "withdraw"), "withdraw": ("reject", "withdraw")}
"""Refusing a bid that was sent before withdraws it."""

NOBODY = (MODEL, CLOCKWORK, PLATFORM, FLEET)
COLUMNS = (
    *("action", "at", "user", "via", "name", "subject", "draft", "status", "said", "key", "asked"),
    "digest",
)
HEAD = "head of the chain"


class Sought(Row):
    """Which deeds are sought: of a person, a kind, about a bid, on a London day; all without."""

    user: str = ""
    name: str = ""
    bid: str = ""
    day: LocalDate | None = None

    def is_met(self, deed: DeskAction) -> bool:
        """Whether a deed is one of them."""
        return (
            self.user in ("", deed.user)
            and self.name in ("", deed.action)
            and self.bid in deed.subject
            and self.day in (None, _day(deed))
        )


@dataclass(frozen=True, slots=True)
class Deeds:
    """What is known of what people did.

    Attributes:
        found: Those sought, the newest first.
        people: Everybody who did anything.
        names: Every kind of thing done.
    """

    found: tuple[DeskAction, ...]
    people: tuple[str, ...]
    names: tuple[str, ...]


def deeds(store: Store, sought: Sought) -> Deeds:
    """Return what is sought of all that people did."""
    trail = store.desk_trail.all()
    everything = [*trail, *_of_the_journal(store, trail)]
    everything.sort(key=lambda one: (one.at, one.action_id), reverse=True)
    return Deeds(
        tuple(one for one in everything if sought.is_met(one)),
        tuple(sorted({one.user for one in everything})),
        tuple(sorted({one.action for one in everything})),
    )


def _of_the_journal(store: Store, trail: Sequence[DeskAction]) -> Iterator[DeskAction]:
    """Yield the decisions that no row of the trail tells of."""
    told: dict[tuple[str, str], list[DeskAction]] = defaultdict(list)
    for deed in trail:
        if deed.status == DONE:
            told[deed.user, deed.subject].append(deed)
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


def _tells(row: DeskAction, verb: str, recorded: Recorded) -> bool:
    return row.action in TOLD_BY.get(verb, (verb,)) and row.at >= recorded.recorded_at


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


def to_csv(found: Iterable[DeskAction], chain: Verified) -> str:
    """Return deeds as CSV, text cells guarded; the last line bears the chain's head."""
    text = io.StringIO()
    table = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    table.writeheader()
    table.writerows(guarded(deed_row(one)) for one in found)
    said = "holds" if chain.holds else f"row {chain.misfit} does not fit"
    table.writerow({"name": HEAD, "said": f"{chain.rows} rows; {said}", "digest": chain.head})
    return text.getvalue()


def to_json_lines(found: Iterable[DeskAction], chain: Verified) -> str:
    """Return deeds as JSON, one a line; the last line tells the chain's head."""
    rows = [*map(deed_row, found), {"chain": chain_row(chain)}]
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def _day(deed: DeskAction) -> date:
    return deed.at.astimezone(LONDON).date()

"""The page of what people did and of the promises' last check, the same as JSON, and exports of the trail."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlencode

from aiohttp import web

from aggregator.files.inputs import validate
from aggregator.model.errors import BadMessage
from aggregator.model.time import utc_text
from aggregator.store import AuditRun, DeskAction, Verified
from aggregator.web.actions import AUDITING
from aggregator.web.answers import as_json
from aggregator.web.bodies import of_form
from aggregator.web.deeds import Deeds, Sought, chain_row, deed_row, deeds, to_csv, to_json_lines
from aggregator.web.frame import Frame
from aggregator.web.making import AUDIT
from aggregator.web.money_looks import as_file, day_or_none
from aggregator.web.people import Person
from aggregator.web.routes import Answer

A_PAGE = 100
RUNS_SHOWN = 6
MOST_DIGITS = 6
"""Of a page's number."""


@dataclass(frozen=True, slots=True)
class DeedsPage:
    """A page of deeds.

    Attributes:
        shown: Those on it, the newest first.
        number: Which page, from 0.
        all: Everything sought.
        chain: What a walk along the trail's chain found.
    """

    shown: tuple[DeskAction, ...]
    number: int
    all: Deeds
    chain: Verified

    @property
    def has_more(self) -> bool:
        """Whether older ones follow."""
        return (self.number + 1) * A_PAGE < len(self.all.found)


class AuditLooks:
    """Answers who looks at what people did.

    Args:
        frame: What is around every page.
    """

    def __init__(self, frame: Frame) -> None:
        self._frame = frame

    def answers(self) -> Mapping[str, Answer]:
        """Return what answers each look of ``aggregator/web/routes.py``, by name."""
        return {
            "audit": self._audit,
            "audit_json": self._audit_json,
            "trail_csv": self._trail_csv,
            "trail_jsonl": self._trail_jsonl,
        }

    async def _audit(self, request: web.Request, person: Person) -> web.Response:
        wrong: tuple[str, ...] = ()
        try:
            sought = _sought(request)
        except BadMessage as bad:
            sought, wrong = Sought(), tuple(map(str, bad.faults))

        def made() -> web.Response:
            store = self._frame.ground.store
            number = request.query.get("page", "")[:MOST_DIGITS]
            found, chain = deeds(store, sought), store.desk_trail.verify()
            at = int(number) if number.isdecimal() else 0
            shown = found.found[at * A_PAGE : (at + 1) * A_PAGE]
            asked = {name: request.query.get(name, "") for name in ("user", "name", "bid")}
            asked["day"] = day_or_none(request.query.get("day", ""))
            return self._frame.page(
                "audit",
                person,
                request,
                stamp=self._frame.stamp(),
                view=DeedsPage(shown, at, found, chain),
                typed=asked,
                query=urlencode({name: value for name, value in asked.items() if value}),
                wrong=wrong,
                runs=store.audits.last(RUNS_SHOWN),
                job=self._frame.making.job(AUDIT),
                may_audit=AUDITING.is_for(person.roles),
            )

        page = await asyncio.to_thread(made)
        page.set_status(422 if wrong else 200)
        return page

    async def _audit_json(self, request: web.Request, _: Person) -> web.Response:
        sought = _sought(request)

        def made() -> web.Response:
            store = self._frame.ground.store
            runs = store.audits.last()
            body = {
                "deeds": [deed_row(one) for one in deeds(store, sought).found],
                "chain": chain_row(store.desk_trail.verify()),
                "last_audit": _run_row(runs[0]) if runs else None,
            }
            return as_json(body)

        return await asyncio.to_thread(made)

    async def _trail_csv(self, request: web.Request, _: Person) -> web.Response:
        return await self._export(request, "trail.csv")

    async def _trail_jsonl(self, request: web.Request, _: Person) -> web.Response:
        return await self._export(request, "trail.jsonl")

    async def _export(self, request: web.Request, name: str) -> web.Response:
        sought = _sought(request)

        def made() -> web.Response:
            store = self._frame.ground.store
            chain, found = store.desk_trail.verify(), reversed(deeds(store, sought).found)
            text = (to_csv if name.endswith(".csv") else to_json_lines)(found, chain)
            return as_file(name, text.encode())

        return await asyncio.to_thread(made)


def _sought(request: web.Request) -> Sought:
    said = of_form((name, value) for name, value in request.query.items() if name not in ("did", "page"))
    return validate(Sought, said, "audit")


def _run_row(run: AuditRun) -> dict[str, object]:
    return {"audit": run.audit_id, "at": utc_text(run.at), "by": run.by, **run.body}

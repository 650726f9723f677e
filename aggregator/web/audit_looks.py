"""The page of what people did and of the promises' last check, the same as JSON, and exports of the trail."""

import asyncio
from collections.abc import Mapping
from urllib.parse import urlencode

from aiohttp import web

from aggregator.audit import PROMISES
from aggregator.model.errors import BadMessage
from aggregator.model.time import utc_text
from aggregator.store import AuditRun
from aggregator.web.actions import AUDITING
from aggregator.web.answers import as_json
from aggregator.web.bodies import of_query
from aggregator.web.deeds import (
    PLACES,
    Sought,
    chain_row,
    csv_parts,
    deed_row,
    deeds,
    every_deed,
    json_lines,
)
from aggregator.web.frame import Frame
from aggregator.web.making import AUDIT
from aggregator.web.money_looks import day_or_none, headers_of
from aggregator.web.people import Person
from aggregator.web.routes import Answer
from aggregator.web.walks import Walks
from aggregator.web.words import plain_fault

RUNS_SHOWN = 6
MOST_DIGITS = 6
"""Of a page's number."""


class AuditLooks:
    """Answers who looks at what people did.

    Args:
        frame: What is around every page.
    """

    def __init__(self, frame: Frame) -> None:
        self._frame, trail = frame, frame.ground.store.desk_trail
        self._walks = Walks(trail.verify, trail.length)

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
            sought, wrong = Sought(), tuple(map(plain_fault, bad.faults))

        def made() -> web.Response:
            store = self._frame.ground.store
            asked = {name: request.query.get(name, "") for name in ("user", "name", "via", "bid")}
            asked["day"] = day_or_none(request.query.get("day", ""))
            return self._frame.page(
                "audit",
                person,
                request,
                stamp=self._frame.stamp(),
                view=deeds(store, sought, _page(request)),
                walk=self._walks.look(),
                places=PLACES,
                promises=PROMISES,
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
            runs, page = store.audits.last(), deeds(store, sought, _page(request))
            body = {
                "deeds": [deed_row(one) for one in page.shown],
                "found": page.found,
                "page": page.number,
                "has_more": page.has_more,
                "chain": chain_row(store.desk_trail.verify()),
                "last_audit": _run_row(runs[0]) if runs else None,
            }
            return as_json(body)

        return await asyncio.to_thread(made)

    async def _trail_csv(self, request: web.Request, _: Person) -> web.StreamResponse:
        return await self._export(request, "trail.csv")

    async def _trail_jsonl(self, request: web.Request, _: Person) -> web.StreamResponse:
        return await self._export(request, "trail.jsonl")

    async def _export(self, request: web.Request, name: str) -> web.StreamResponse:
        sought, store = _sought(request), self._frame.ground.store
        chain = await asyncio.to_thread(store.desk_trail.verify)
        found = every_deed(store, sought, chain.last)
        parts = csv_parts(found, chain) if name.endswith(".csv") else json_lines(found, chain)
        first = await asyncio.to_thread(next, parts)  # what goes wrong at once is still told as such
        response = web.StreamResponse(headers=headers_of(name))
        response.enable_compression()
        await response.prepare(request)
        part: str | None = first
        while part is not None:
            await response.write(part.encode())
            part = await asyncio.to_thread(next, parts, None)
        await response.write_eof()
        return response


def _sought(request: web.Request) -> Sought:
    return of_query(Sought, request.query)


def _run_row(run: AuditRun) -> dict[str, object]:
    return {"audit": run.audit_id, "at": utc_text(run.at), "by": run.by, **run.body}


def _page(request: web.Request) -> int:
    """Return which page is asked for, from 0; what is no number is the first."""
    number = request.query.get("page", "")[:MOST_DIGITS]
    return int(number) if number.isdecimal() else 0

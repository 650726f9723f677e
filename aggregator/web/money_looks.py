"""The pages of settlement, the same as JSON, and the files that ``flexloop settle`` writes.

A statement takes seconds: it is worked out in a process of its own, and the page that waits for it says how
far it is. Programs and downloads wait for it.
"""

import asyncio
import io
import re
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from urllib.parse import quote, urlencode

from aiohttp import web

from aggregator.acting import must_be_zone
from aggregator.drivers.problems import Refused
from aggregator.explain_text import details
from aggregator.explaining import Explanation, Question, explanation
from aggregator.model.errors import BadMessage, Fault, RuleViolation
from aggregator.model.time import LONDON, utc_text
from aggregator.reports import book_body
from aggregator.statements import Made, Period
from aggregator.web.actions import SETTLING
from aggregator.web.answers import as_json
from aggregator.web.bodies import NOTHING, Explaining, KnownAt, SettledAt, of_query
from aggregator.web.frame import Frame
from aggregator.web.making import SETTLE
from aggregator.web.money_view import (
    busy_first,
    command_line,
    money_view,
    said_of,
    shown_files,
    usual_period,
    with_late,
)
from aggregator.web.people import Person
from aggregator.web.routes import Answer
from aggregator.web.words import plain_fault
from aggregator.web.workshop import Busy, Job

SOON_S = 0.4
"""A page waits this long for a statement before it says that it is worked on."""

TYPES = {
    "csv": "text/csv",
    "json": "application/json",
    "html": "text/html",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "parquet": "application/vnd.apache.parquet",
    "zip": "application/zip",
}
WHOLE_MONTH = "month.zip"
"""All files of a month, a page for each driver among them, as ``flexloop settle drivers`` writes them."""

ANEW, LONGEST_NUMBER = "anew", 9
"""Says in a query which working out of a statement is to be done again, and how long its number may be."""

ASKED_WITH = {"EVENT": "path: bid", "HALF-HOUR": "query: half_hour", "CAR": "query: car"}
"""Where a request says what ``aggregator/explaining.py`` names so."""

NO_SUCH_FILE = "there is no such file of that period"


@dataclass(frozen=True, slots=True)
class Worked:
    """Something asked for, as far as it is.

    Attributes:
        job: The work on it.
        made: What came of it; None while it is worked on.
        wrong: Why nothing can come of it.
    """

    job: Job | None = None
    made: Made | None = None
    wrong: tuple[str, ...] = ()


class MoneyLooks:
    """Answers who looks at money.

    Args:
        frame: What is around every page.
    """

    def __init__(self, frame: Frame) -> None:
        self._frame = frame

    def answers(self) -> Mapping[str, Answer]:
        """Return what answers each look of ``aggregator/web/routes.py``, by name."""
        return {
            "settlement": self._settlement,
            "settlement_json": self._settlement_json,
            "settlement_file": self._file,
            "month_file": self._month_file,
            "explained": self._explained,
            "explained_json": self._explained_json,
        }

    async def _settlement(self, request: web.Request, person: Person) -> web.Response:
        try:
            period = self._period(request)
            worked = await self._worked_soon(request, period, person)
        except BadMessage as bad:
            period, worked = None, Worked(wrong=tuple(map(plain_fault, bad.faults)))

        def made() -> web.Response:
            view = None
            if period is not None and worked.made is not None:
                view = with_late(money_view(period, worked.made), self._frame.gateway)
            return self._frame.page(
                "settlement",
                person,
                request,
                stamp=self._frame.stamp(),
                view=view,
                typed=_typed(request, period),
                query=_query(period) if period is not None else "",
                zones=self._frame.ground.zones,
                worked=worked,
                making=self._frame.making.job(SETTLE),
                may_settle=SETTLING.is_for(person.roles),
                month=f"{self._frame.gateway.clock.now().astimezone(LONDON):%Y-%m}",
            )

        page = await asyncio.to_thread(made)
        page.set_status(422 if period is None else 200)
        return page

    async def _settlement_json(self, request: web.Request, person: Person) -> web.Response:
        period = self._period(request)
        found = await _made(await self._look(request, period, person))

        def made() -> web.Response:
            files = [
                {"name": one.name, "bytes": one.size, "sha256": one.sha256}
                for one in shown_files(found.files)
            ]
            more = {
                "as_known_at": utc_text(found.known_at),
                "command": command_line(period, found.known_at),
                "not_kept": list(found.unkept),
                "files": files,
                "not_written": list(found.lacking),
            }
            return as_json({**book_body(found.book), **more})

        return await asyncio.to_thread(made)

    async def _file(self, request: web.Request, person: Person) -> web.Response:
        found = await _made(await self._look(request, self._period(request), person))
        name = request.match_info["name"]
        if name not in found.files:
            lacking = next((why for why in found.lacking if why.startswith(f"{name}:")), NO_SUCH_FILE)
            raise Refused(404, lacking)
        return as_file(name, found.files[name])

    async def _month_file(self, request: web.Request, person: Person) -> web.Response:
        first = _month(request.match_info["month"])
        known_at = of_query(KnownAt, request.query).known_at
        try:
            job = await asyncio.to_thread(self._frame.making.month, first, known_at, person.name)
        except Busy:
            raise _busy() from None
        files: Mapping[str, bytes] = await job.result()
        name = request.match_info["name"]
        if name == WHOLE_MONTH:
            return as_file(name, await asyncio.to_thread(_packed, files))
        if name not in files:
            there = [*(name for name in files if "/" not in name), WHOLE_MONTH]
            raise Refused(404, f"there is no such file; there are {', '.join(there)}")
        return as_file(name, files[name])

    async def _explained(self, request: web.Request, person: Person) -> web.Response:
        asked = of_query(Explaining, request.query)

        def made() -> web.Response:
            stamped = self._frame.stamp()
            found = self._explanation(request, asked)
            return self._frame.page(
                "explained",
                person,
                request,
                page="settlement",
                stamp=stamped,
                found=found,
                one=found.worked.opportunity,
                said=said_of(found, asked.car),
                cars=busy_first(found.lines[0].cars, asked.car) if len(found.lines) == 1 else None,
                asked=asked,
                all_lines=found.worked.statement.lines,
            )

        return await asyncio.to_thread(made)

    async def _explained_json(self, request: web.Request, _: Person) -> web.Response:
        asked = of_query(Explaining, request.query)
        return await asyncio.to_thread(lambda: as_json(details(self._explanation(request, asked), asked.car)))

    def _explanation(self, request: web.Request, asked: Explaining) -> Explanation:
        gateway = self._frame.gateway
        one = self._frame.ground.bid(request.match_info["bid"])
        question = Question(one, asked.half_hour, asked.car, asked.known_at)
        products = gateway.settings.products
        try:
            return explanation(gateway.store, products, gateway.fleets, question)
        except BadMessage as bad:
            raise bad.named(ASKED_WITH.__getitem__) from None

    # statements

    def _period(self, request: web.Request) -> Period:
        days = NOTHING
        if not request.query.get("from") and not request.query.get("to"):
            usual = usual_period(self._frame.gateway.clock.now())
            days = {"from": usual.start.isoformat(), "to": usual.end.isoformat()}
        period = of_query(SettledAt, request.query, days).period()
        try:
            must_be_zone(period.zone, self._frame.ground.zones)
        except BadMessage as bad:
            raise bad.named("query: {}".format) from None
        return period

    async def _look(self, request: web.Request, period: Period, person: Person) -> Job:
        anew = request.query.get(ANEW, "")
        but = int(anew) if anew.isdecimal() and len(anew) <= LONGEST_NUMBER else None
        try:
            return await asyncio.to_thread(self._frame.making.look, period, person.name, but)
        except Busy:
            raise _busy() from None

    async def _worked_soon(self, request: web.Request, period: Period, person: Person) -> Worked:
        job = await self._look(request, period, person)
        if not await job.is_over_within(SOON_S):
            return Worked(job)
        try:
            return Worked(job, await _made(job))
        except RuleViolation as refused:
            return Worked(job, wrong=(str(refused),))


async def _made(job: Job) -> Made:
    made: Made = await job.result()
    return made


def _packed(files: Mapping[str, bytes]) -> bytes:
    """Return files as one, which tells nothing of when it was made."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in sorted(files):
            archive.writestr(zipfile.ZipInfo(name), files[name], zipfile.ZIP_DEFLATED)
    return packed.getvalue()


def _busy() -> Refused:
    return Refused(503, "too much is being worked on: try again soon", headers={"Retry-After": "10"})


def _month(text: str) -> date:
    try:
        return date.fromisoformat(f"{text}-01")
    except ValueError:
        raise BadMessage(Fault("path: month", text, "a calendar month, 2025-01")) from None


def _typed(request: web.Request, period: Period | None) -> Mapping[str, str]:
    """Return what stands in the form: what was typed, or what is shown where nothing was."""
    typed = {name: request.query.get(name, "") for name in ("from", "to", "zone", "known_at")}
    if period is not None:
        return typed | {"from": period.start.isoformat(), "to": period.end.isoformat()}
    return typed | {name: day_or_none(typed[name]) for name in ("from", "to")}


def day_or_none(text: str) -> str:
    """Return a date as a form takes it, or nothing: what is none it cannot show."""
    try:
        return date.fromisoformat(text).isoformat()
    except ValueError:
        return ""


def _query(period: Period) -> str:
    """Return the query that asks for a period again."""
    said = {"from": period.start.isoformat(), "to": period.end.isoformat()}
    said |= {"zone": period.zone} if period.zone else {}
    said |= {"known_at": utc_text(period.known_at)} if period.known_at else {}
    return urlencode(said)


def as_file(name: str, data: bytes) -> web.Response:
    """Answer with a file to be kept."""
    response = web.Response(body=data, headers=headers_of(name))
    response.enable_compression()
    return response


def headers_of(name: str) -> dict[str, str]:
    """Return the headers of a file to be kept: its name as it is, and without what old programs take ill."""
    kept = name.rpartition("/")[2]
    plain = re.sub(r'[^ -~]|["\\\\%]', "_", kept)
    return {
        "Content-Disposition": f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(kept, safe='')}",
        "Content-Type": TYPES.get(name.rpartition(".")[2], "application/octet-stream"),
    }

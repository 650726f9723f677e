"""A desk over a gateway's own parts and a real socket: people with passwords, bids at several stages."""

import ssl
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import aiohttp
from argon2 import PasswordHasher

from aggregator.desk_settings import DeskSettings, OnePersonRow, User
from aggregator.model.explanation import Change, PricedPart
from aggregator.model.market import EventKey, Nomination, Plan
from aggregator.model.opportunity import Approved, Awarded, Checked, Instructed, Proposed, Received
from aggregator.model.time import HALF_HOUR, Interval
from aggregator.ports import CallKind, Opt
from aggregator.serving import listen_on, serving, tls_of
from aggregator.store import Alarm, InboxEntry
from aggregator.web.site import Site
from tests.builders import a_draft, a_requirement, an_award, an_explanation, an_instruction, some_steps
from tests.fakes.clock import FakeClock
from tests.protocol.gateway import ZONE, Parts, running
from tests.protocol.vtn import VTN_ID, FakeVtn

NOW = datetime(2025, 1, 14, 12, tzinfo=UTC)
"""Two hours before the gate of the evening after."""

EVENING = Interval(NOW + timedelta(hours=29), NOW + timedelta(hours=31))
PRODUCT = "day-ahead"
PASSWORDS = {name: f"{name}-long-enough" for name in ("anna", "ben", "cleo", "vera", "otto", "sue")}
QUICK = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
"""Argon2 as well, and so checked in the same way, without the tenth of a second it takes on purpose."""

HASHES = {name: QUICK.hash(text) for name, text in PASSWORDS.items()}
PEOPLE = (
    User(name="anna", roles=("trader", "approver")),
    User(name="ben", roles=("approver",)),
    User(name="cleo", roles=("approver",)),
    User(name="vera", roles=("viewer",)),
    User(name="otto", roles=("operator",)),
    User(name="sue", roles=("settlement",)),
)
SMALL = OnePersonRow(max_kw=12.0)
RAW = b"<oadrPayload><event id='requirement-1'/></oadrPayload>"


def a_desk_table(**changes):
    return DeskSettings(**{"user": PEOPLE, "one_person": (SMALL,), **changes})


def a_key(event, modification=0):
    return EventKey(VTN_ID, event, modification)


def a_need(event="requirement-1", window=EVENING, **changes):
    return a_requirement(key=a_key(event), zone=ZONE, product_id=PRODUCT, window=window, **changes)


def a_bid(store, name, *more, event="requirement-1", window=EVENING, need=None, **draft):
    """Store a bid with a draft in review and whatever else happened to it; return it."""
    why = draft.pop("why", the_why())
    made = a_draft(bid_id=name, why=why, **draft)
    facts = [Received(NOW, need or a_need(event, window)), Proposed(NOW, made)]
    facts += [one(made) if callable(one) else one for one in more]
    return store.journal.append_many(name, facts, expected_version=0, by="test", recorded_at=NOW)


def the_why(**changes):
    usual = {
        "known_at": NOW,
        "margin_p90_gbp": 6.0,
        "held_back_gbp": 0.12,
        "parts": (PricedPart(25.0, 150.0, 300.0), PricedPart(50.0, 182.4, 300.0)),
        "change": Change(1, kw=-20.0, gbp_per_mwh=0.0, margin_gbp=-1.5, inputs=("needs", "peak signals")),
        "miss": 0.1,
    }
    return an_explanation(**{**usual, **changes})


def approved(draft):
    return Approved(NOW, draft.digest, "ben")


def checked(by):
    return lambda draft: Checked(NOW, draft.digest, by)


def filled(store):
    """Put a desk's day into a store: bids to check and to approve, one with the DNO, one running, alarms."""
    entry = InboxEntry(a_key("requirement-1"), CallKind.REQUIREMENT, (ZONE,), RAW, NOW, Opt.IN)
    store.inbox.put(entry)
    one = a_bid(store, "bid-1")
    plan = Plan(ZONE, EVENING.slots(HALF_HOUR), (10.0, 10.5, 0.1, 0.0), (0.0, 0.0, 2.0, 4.0), "a" * 64)
    store.plans.put(plan, opportunity_id=one.opportunity_id, made_at=NOW)
    later = Interval(EVENING.start + timedelta(days=1), EVENING.end + timedelta(days=1))
    a_bid(store, "bid-2", checked("anna"), event="requirement-2", window=later)
    a_bid(store, "bid-3", event="requirement-3", window=later, offered_kw=(10.0,) * 4)
    a_bid(store, "bid-4", checked("anna"), approved, event="requirement-4", window=later)
    today = Interval(NOW - timedelta(minutes=30), NOW + timedelta(minutes=90))
    award = an_award(key=a_key("award-5"), zone=ZONE, product_id=PRODUCT, window=today)
    steps = some_steps(3, 3, 3, 3, slots=today.slots(HALF_HOUR))
    order = an_instruction(key=a_key("order-5"), zone=ZONE, product_id=PRODUCT, steps=steps)
    a_bid(
        store,
        "bid-5",
        approved,
        Awarded(NOW, award),
        Instructed(NOW, order),
        event="requirement-5",
        window=today,
    )
    nominated = [Nomination(ZONE, slot, 500, 1000, 500, NOW) for slot in today.slots(HALF_HOUR)]
    store.nominations.freeze(nominated)
    store.alarms.raise_(Alarm(NOW, "not_following", "car-2", "told 3.0 kW, moves 0.1 kW"))


class Person:
    """Somebody who has signed in, as a program asks."""

    def __init__(self, session, base, name, csrf):
        self._session, self.base, self.name, self.csrf = session, base, name, csrf
        self._keys = 0

    def _key(self):
        self._keys += 1
        return f"{self.name}-{self._keys}"

    async def get(self, path):
        async with self._session.get(self.base + path, allow_redirects=False) as response:
            is_json = response.content_type.endswith("json")
            return response.status, await response.json() if is_json else await response.text()

    async def download(self, path):
        async with self._session.get(self.base + path) as response:
            assert response.status == 200, await response.text()
            return await response.read(), response.headers

    async def post(self, path, body=None, **more):
        headers = {"X-CSRF-Token": self.csrf, "Idempotency-Key": more.pop("key", None) or self._key()}
        headers |= more.pop("headers", {})
        sent = {name: value for name, value in headers.items() if value is not None}
        async with self._session.post(self.base + path, json=body or {}, headers=sent) as response:
            return response.status, await response.json(content_type=None)

    async def form(self, path, fields, **headers):
        key = [] if path.startswith("/my-car") else [("key", self._key())]  # a driver's forms have none
        sent = [("csrf", self.csrf), *key, *fields]
        async with self._session.post(
            self.base + path, data=sent, headers=headers, allow_redirects=False
        ) as response:
            return response.status, response.headers.get("Location"), await response.text()


@dataclass
class Desk:
    """A desk that is served at ``base``, while its door is open."""

    parts: Parts
    wall: FakeClock
    sessions: list
    base: str = ""
    door: AsyncExitStack | None = None
    trusted: ssl.SSLContext | bool = True

    async def open_door(self):
        """Serve it: at the same address as before, where it was served before."""
        listener = listen_on(self.base.rpartition("/")[2] or "127.0.0.1:0")
        tls = tls_of(self.parts.gateway.settings.desk, "desk")
        self.base = f"{'https' if tls else 'http'}://127.0.0.1:{listener.getsockname()[1]}"
        site = Site(self.parts.gateway, self.parts.controller, self.wall)
        self.door = AsyncExitStack()
        await self.door.enter_async_context(serving(listener, site.app(), "desk", tls))

    async def shut_door(self):
        await self.door.aclose()

    @property
    def store(self):
        return self.parts.store

    def bid(self, name):
        return self.store.journal.opportunity(name)

    def a_session(self):
        session = aiohttp.ClientSession(
            cookie_jar=aiohttp.CookieJar(unsafe=True), connector=aiohttp.TCPConnector(ssl=self.trusted)
        )
        self.sessions.append(session)
        return session

    async def sign_in(self, name):
        session = self.a_session()
        said = {"user": name, "password": PASSWORDS[name]}
        async with session.post(f"{self.base}/v1/session", json=said) as response:
            assert response.status == 200, await response.text()
            return Person(session, self.base, name, (await response.json())["csrf"])


@asynccontextmanager
async def a_desk(folder, *, empty=False, heard=True, database=None, at=NOW, **table):
    """Serve a desk; where its cars have been heard of, a minute has passed."""
    quiet = {"retry_first_s": 5.0, "retry_most_s": 5.0}
    served = {"database": database, "desk": a_desk_table(**table)}
    async with running(FakeVtn().url, folder, at, **served, **quiet) as parts:
        for name, known in HASHES.items():
            parts.store.desk_people.set_password(name, known, at)
        if not empty:
            filled(parts.store)
        parts.gateway.book.refresh(at)
        if heard:
            await parts.minute()
        desk = Desk(parts, FakeClock(at), [])
        await desk.open_door()
        try:
            yield desk
        finally:
            for session in desk.sessions:
                await session.close()
            await desk.shut_door()

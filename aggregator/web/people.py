"""Who asks: sign-in, sessions, and what shows that a person and not another page asked (CSRF).

A session is a row in the store and an opaque cookie (``HttpOnly``, ``SameSite=Lax``, ``__Host-`` and
``Secure`` where the desk has TLS). It ends after 8 hours unused, 12 in all. A token made of the session's
secret goes with every action, and an ``Origin`` of another site is refused. Times here are of the wall: a
simulation's clock may run through a night in a minute.

A driver signs in with the token of the drivers' door; that session has the role ``driver`` and one car. It
lasts for months, as it opens no more than the token, and ends at once with it
(``aggregator/desk_settings.py`` says why no user of the configuration is a driver).
"""

import asyncio
import hashlib
import hmac
import secrets
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import structlog
from aiohttp import web

from aggregator.clock import RealClock
from aggregator.config import Settings
from aggregator.desk_settings import DRIVER
from aggregator.drivers.limits import Buckets
from aggregator.drivers.problems import Refused
from aggregator.model.errors import Unavailable
from aggregator.patience import Patience
from aggregator.ports import Clock
from aggregator.store import DeskAction, Lasting, SignedIn, Store
from aggregator.web.lately import WITHOUT_DATABASE, Lately, NotKnown
from aggregator.web.passwords import Verifier

log = structlog.get_logger()

USERS = Lasting(timedelta(hours=8), timedelta(hours=12))
DRIVERS = Lasting(timedelta(days=30), timedelta(days=180))
TRIES_BY_NAME, TRIES_BY_ADDRESS = 10, 60
"""How often a minute one name, and one address (a whole office's, maybe), may try; half of it at once."""

STOPS_WITHIN_S = 0.5
"""Longest that who wants to stop the cars waits for the database to say whose session it is. [wall s]"""

OWN_SITES = ("same-origin", "none")
CSRF_HEADER, CSRF_FIELD = "X-CSRF-Token", "csrf"

UNANSWERED = "the database went before who signed in was answered: the session was ended"


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who has signed in.

    Attributes:
        name: As configured; a driver's is the car's id.
        roles: What the configuration says now; a driver has that one only.
        secret: The session's.
        token_id: Of the token that a driver signed in with; None for a user of the desk.
    """

    name: str
    roles: frozenset[str]
    secret: str
    token_id: str | None = None

    @property
    def is_driver(self) -> bool:
        """Whether this is a car's driver, who sees nothing of the desk."""
        return self.token_id is not None

    @property
    def csrf(self) -> str:
        """What goes with every action of this session."""
        return hmac.new(self.secret.encode(), b"csrf", hashlib.sha256).hexdigest()


class Entrance:
    """Lets people in.

    Args:
        settings: Who there is.
        store: Passwords and sessions.
        clock: The domain's, for the trail.
        patience: While the database does not answer.
        wall: For sessions.
    """

    def __init__(
        self, settings: Settings, store: Store, clock: Clock, patience: Patience, wall: Clock | None = None
    ) -> None:
        self._patience, self._taking_back = patience, set[asyncio.Task[None]]()
        self._store, self._clock = store, clock
        self._wall = wall if wall is not None else RealClock()
        self._roles: Mapping[str, frozenset[str]] = {
            user.name: frozenset(user.roles) for user in settings.desk.user
        }
        self._secured = settings.desk.is_secured
        self._verifier = Verifier()
        self._lately = Lately(USERS.idle)
        self._by_address, self._by_name = Buckets(TRIES_BY_ADDRESS), Buckets(TRIES_BY_NAME)

    @property
    def cookie(self) -> str:
        """The session cookie's name."""
        return "__Host-flexloop" if self._secured else "flexloop"

    async def sign_in(self, request: web.Request, user: str, password: str) -> Person:
        """Begin a session for who knows a user's password.

        Raises:
            Refused: 401 if the two do not belong together, 429 if that was tried too often.
        """
        must_be_from_here(request)
        waits = (self._by_address.wait_s(request.remote or ""), self._by_name.wait_s(user))
        if wait_s := max(waits):
            raise Refused(429, f"too many tries: wait {wait_s} s", headers={"Retry-After": str(wait_s)})
        roles = self._roles.get(user)
        known = await asyncio.to_thread(self._store.desk_people.password_hash, user) if roles else None
        if not await self._verifier.is_right(password, known) or roles is None:
            if roles is not None:
                noted = self._noted(user, 401, f"a wrong password from {request.remote}")
                await asyncio.to_thread(self._store.desk_trail.add, noted)
            log.warning("desk_sign_in_failed", known=roles is not None, remote=request.remote)
            raise Refused(401, "name and password do not belong together")
        at = self._wall.now()
        secret = await self._begin(user, at, f"signed in from {request.remote}")
        self._lately.note(secret, (user, roles), at)
        return Person(user, roles, secret)

    async def _begin(self, user: str, at: datetime, said: str) -> str:
        """Begin a user's session and note it, both or none; return its secret.

        Where the database goes while it stores them, nobody knows whether it did, and who signed in is told
        that it did not: once it is back what it stored is taken back, and that is noted.
        """
        noted, begun = self._noted(user, 200, said), list[str]()

        def begin() -> None:
            with self._store.at_once():
                begun.append(self._store.desk_people.sign_in(SignedIn(user), at))
                self._store.desk_trail.add(noted)

        def take_back() -> None:
            if self._store.desk_trail.by_key(user, noted.key) is None:
                return
            with self._store.at_once():
                self._store.desk_people.sign_out(begun[0])
                if self._store.desk_trail.by_key(user, ended.key) is None:
                    self._store.desk_trail.add(ended)

        try:
            await asyncio.to_thread(begin)
        except Unavailable:
            ended = replace(noted, status=503, said=UNANSWERED, key=f"{noted.key}/ended")
            if begun:
                taking_back = asyncio.create_task(self._patience.of(take_back))
                self._taking_back.add(taking_back)
                taking_back.add_done_callback(self._taking_back.discard)
            raise
        return begun[0]

    async def sign_in_driver(self, request: web.Request, text: str) -> Person:
        """Begin a session for who has a driver's token.

        Raises:
            Refused: 401 if it is none that holds, 429 if that was tried too often.
        """
        must_be_from_here(request)
        if wait_s := self._by_address.wait_s(request.remote or ""):
            raise Refused(429, f"too many tries: wait {wait_s} s", headers={"Retry-After": str(wait_s)})
        token = await asyncio.to_thread(self._store.tokens.check, text.strip())
        if token is None:
            log.warning("driver_sign_in_failed", remote=request.remote)
            raise Refused(401, "this is no driver's token that holds: it is flx_ and more, all of it")
        who = SignedIn(token.car_id, token.token_id)
        secret = await asyncio.to_thread(self._store.desk_people.sign_in, who, self._wall.now())
        log.info("driver_signed_in", car_id=token.car_id, token_id=token.token_id, remote=request.remote)
        return Person(token.car_id, frozenset({DRIVER}), secret, token.token_id)

    async def who(self, request: web.Request) -> Person | None:
        """Return who asks; None where nobody has signed in, or the session has ended."""
        secret = request.cookies.get(self.cookie)
        return None if secret is None else await self.behind(secret)

    async def behind(self, secret: str) -> Person | None:
        """Return whose session a secret opens now."""
        at = self._wall.now()
        try:
            known = await asyncio.to_thread(self._store.desk_people.who, secret, at, USERS, DRIVERS)
        except Unavailable:
            self._lately.database_is_away(at)
            raise
        if known is not None and known.token_id is not None:
            return Person(known.name, frozenset({DRIVER}), secret, known.token_id)
        roles = self._roles.get(known.name) if known is not None else None
        user = (known.name, roles) if known is not None and roles else None
        self._lately.note(secret, user, at)
        return Person(*user, secret) if user is not None else None

    async def who_may_stop(self, request: web.Request) -> Person | None:
        """Return who asks, for the emergency stop: without the database whoever was seen lately.

        Raises:
            NotKnown: If the database does not answer, and nobody was.
        """
        try:
            async with asyncio.timeout(STOPS_WITHIN_S):
                return await self.who(request)
        except (Unavailable, TimeoutError):
            self._lately.database_is_away(self._wall.now())
        found = self.seen_lately(request)
        if found is None:
            raise NotKnown(f"the database does not answer; nothing was done; {WITHOUT_DATABASE}")
        return found

    def seen_lately(self, request: web.Request) -> Person | None:
        """Return who was seen with the request's session lately; of no use but for the emergency stop."""
        secret = request.cookies.get(self.cookie, "")
        user = self._lately.user(secret, self._wall.now())
        return Person(*user, secret) if user is not None else None

    async def sign_out(self, person: Person) -> None:
        """End a session."""
        self._lately.forget(person.secret)
        await asyncio.to_thread(self._store.desk_people.sign_out, person.secret)
        self._lately.forget(person.secret)  # it may have been seen meanwhile

    def remember(self, response: web.StreamResponse, person: Person) -> None:
        """Give the browser the session's cookie."""
        response.set_cookie(
            self.cookie,
            person.secret,
            httponly=True,
            secure=self._secured,
            samesite="Lax",
            path="/",
            max_age=round((DRIVERS if person.is_driver else USERS).longest.total_seconds()),
        )

    def forget(self, response: web.StreamResponse) -> None:
        """Take it away."""
        response.del_cookie(self.cookie, path="/", secure=self._secured, httponly=True, samesite="Lax")

    def _noted(self, user: str, status: int, said: str) -> DeskAction:
        key = secrets.token_hex(8)
        return DeskAction(self._clock.now(), user, "sign-in", user, "", status, said, key, "")


def must_have(person: Person, roles: Collection[str], to: str) -> None:
    """Refuse who has none of some roles; ``to`` is what it takes one to do.

    Raises:
        Refused: 403.
    """
    if person.roles & set(roles):
        return
    if person.is_driver:
        raise Refused(403, "this is the desk's: a driver sees the page of the own car")
    raise Refused(403, f"{person.name} is no {' or '.join(roles)}, which it takes to {to}")


def must_be_from_here(request: web.Request) -> None:
    """Refuse what another site's page sent.

    Raises:
        Refused: 403.
    """
    origin, site = request.headers.get("Origin"), request.headers.get("Sec-Fetch-Site")
    elsewhere = origin is not None and origin != f"{request.scheme}://{request.host}"
    if elsewhere or (site is not None and site not in OWN_SITES):
        raise Refused(403, "another site's page sent this; nothing was done")


def must_be_meant(request: web.Request, person: Person, field: object) -> None:
    """Refuse an action without its session's token, in the header or the form.

    Raises:
        Refused: 403.
    """
    must_be_from_here(request)
    shown = request.headers.get(CSRF_HEADER) or (field if isinstance(field, str) else "")
    if not hmac.compare_digest(shown.encode(), person.csrf.encode()):
        old = "nothing was done: this page is from before somebody signed in anew in this browser"
        program = f"send {CSRF_HEADER}, the token that sign-in gave; nothing was done"
        raise Refused(403, old if isinstance(field, str) else program)

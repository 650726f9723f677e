"""Takes what people and programs ask to be done, by form or as JSON, and answers what came of it."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from aiohttp import web

from aggregator.drivers.problems import Refused
from aggregator.files.inputs import Row, validate
from aggregator.model.errors import BadMessage
from aggregator.store import DeskAction
from aggregator.web.actions import NO_ROLE, Action, Ground, note_without_role, perform
from aggregator.web.answers import json_of, told
from aggregator.web.bodies import Seen, SeenBids, Stop, of_form
from aggregator.web.forms_back import FormsBack
from aggregator.web.people import CSRF_FIELD, Person, must_be_meant
from aggregator.web.problems import is_form
from aggregator.web.routes import Answer
from aggregator.web.stopping import Stopping

Body = TypeVar("Body", bound=Row)
Refusing = Callable[[web.Request, Person, str], Awaitable[None]]
"""Notes that a person was refused something, and what was said."""

TICKED = "ticked"
"""The topic of forms of several bids."""


class Doing:
    """Does the actions of the desk, one at a time.

    Args:
        ground: What they work on.
        stopping: For the one that waits for no other.
        forms: Shows those that come back.
    """

    def __init__(self, ground: Ground, stopping: Stopping, forms: FormsBack) -> None:
        self._ground, self._stopping, self._forms = ground, stopping, forms
        self._acting = asyncio.Lock()

    def one(self, action: Action) -> Answer:
        """Return what answers who asks for an action."""

        async def act(request: web.Request, person: Person) -> web.StreamResponse:
            body, key = await self._asked(request, person, action.body)
            done = await self._perform(action, request.match_info.get("bid", ""), person, body, key)
            return told(request, [done])

        return self._or_back(action.name, act)

    def many(self, action: Action) -> Answer:
        """Return what answers who asks for an action on several bids."""

        async def act(request: web.Request, person: Person) -> web.StreamResponse:
            body, key = await self._asked(request, person, SeenBids)
            done = [
                await self._perform(action, one.bid, person, Seen(draft=one.draft), f"{key}/{number}")
                for number, one in enumerate(body.bids)
            ]
            return told(request, done)

        return self._or_back(TICKED, act)

    def refused_one(self, action: Action) -> Refusing:
        """Return what notes that an action was asked for by somebody without a role for it."""

        async def note(request: web.Request, person: Person, said: str) -> None:
            body = await self._meant(request, person, action.body)
            await self._note(action, request.match_info.get("bid", ""), person, body, said)

        return note

    def refused_many(self, action: Action) -> Refusing:
        """Return what notes the same of an action on several bids, a row a bid."""

        async def note(request: web.Request, person: Person, said: str) -> None:
            body = await self._meant(request, person, SeenBids)
            if body is None:
                await self._note(action, "", person, None, said)
                return
            for one in body.bids:
                await self._note(action, one.bid, person, Seen(draft=one.draft), said)

        return note

    async def _meant(self, request: web.Request, person: Person, model: type[Body]) -> Body | None:
        """Return what was asked; None where that is wrong in itself.

        Raises:
            Refused: If another site's page asked: then nobody did.
        """
        try:
            return (await self._asked(request, person, model))[0]
        except BadMessage:
            return None
        except Refused as refused:
            if refused.status == NO_ROLE:
                raise
            return None

    async def _note(self, action: Action, bid: str, person: Person, body: Row | None, said: str) -> None:
        await asyncio.to_thread(note_without_role, self._ground, action, bid, person.name, body, said)

    def _or_back(self, topic: str, act: Answer) -> Answer:
        """Return what does it; a form in which something is wrong comes back with its page."""

        async def answer(request: web.Request, person: Person) -> web.StreamResponse:
            page = self._forms.page_of(request) if is_form(request) else None
            try:
                return await act(request, person)
            except BadMessage as bad:
                if page is None:
                    raise
                return await self._forms.show(page, request, person, topic, bad)

        return answer

    async def _perform(self, action: Action, bid: str, person: Person, body: Row, key: str) -> DeskAction:
        try:
            if isinstance(body, Stop):
                return await self._stopping.stop(person.name, body, key)
            async with self._acting:  # the same key twice at once is the same action
                return await asyncio.to_thread(perform, self._ground, action, bid, person.name, body, key)
        except BadMessage as bad:
            fields = type(body).model_fields
            raise bad.named(lambda where: f"body: {where}" if where in fields else where) from None

    async def _asked(self, request: web.Request, person: Person, model: type[Body]) -> tuple[Body, str]:
        """Return what an action is asked with, and its key."""
        if is_form(request):
            form = await request.post()
            must_be_meant(request, person, form.get(CSRF_FIELD))
            fields = [(name, value) for name, value in form.items() if name not in (CSRF_FIELD, "key")]
            return validate(model, of_form(fields), "body"), str(form.get("key", ""))
        must_be_meant(request, person, None)
        body = validate(model, await json_of(request), "body")
        return body, request.headers.get("Idempotency-Key", "")

"""Forms that came to nothing: the page that one was sent from is shown once more, with what was typed."""

from collections.abc import Mapping

from aiohttp import web
from yarl import URL

from aggregator.model.errors import BadMessage
from aggregator.web.answers import page_behind
from aggregator.web.people import Person
from aggregator.web.routes import LOOKS, Answer
from aggregator.web.typed import TYPED, Typed, by_people

SHOWN_AGAIN = {look.path: look.name for look in LOOKS if look.name in ("today", "bids", "live")}


class FormsBack:
    """Shows pages once more.

    Args:
        looks: What answers each page, by name.
    """

    def __init__(self, looks: Mapping[str, Answer]) -> None:
        self._looks = looks

    def page_of(self, request: web.Request) -> tuple[Answer, web.Request] | None:
        """Return what shows the page of a form, and how it is asked; before the form is read."""
        where = URL(page_behind(request), encoded=True)
        name = "bid" if "bid" in request.match_info else SHOWN_AGAIN.get(where.path)
        return (self._looks[name], request.clone(method="GET", rel_url=where)) if name is not None else None

    async def show(
        self, page: tuple[Answer, web.Request], sent: web.Request, person: Person, topic: str, bad: BadMessage
    ) -> web.StreamResponse:
        """Answer a form with its page: what is wrong stands beside the fields, and nothing was done.

        Args:
            page: As ``page_of`` found it.
            sent: The form.
            person: Who sent it.
            topic: What it was about.
            bad: What is wrong.
        """
        answer, again = page
        faults = {one.where.removeprefix("body: "): one for one in bad.faults}
        again[TYPED] = Typed(topic, by_people((await sent.post()).items()), faults)
        response = await answer(again, person)
        response.set_status(422)
        return response

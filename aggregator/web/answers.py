"""How the desk answers: JSON to programs, another page to a form's browser; never a path of another site."""

from collections.abc import Mapping
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

from aiohttp import web

from aggregator.acting import DONE
from aggregator.drivers.problems import Refused, problem
from aggregator.files.inputs import parse_json
from aggregator.files.outputs import to_json
from aggregator.model.errors import BadMessage
from aggregator.model.time import utc_text
from aggregator.store import DeskAction
from aggregator.web.actions import MANY
from aggregator.web.problems import is_form
from aggregator.web.stopping import HELD

KEPT = ("from", "to", "zone", "known_at")
"""What of a page's query still holds once something was done on it."""


def told(request: web.Request, done: list[DeskAction]) -> web.StreamResponse:
    """Answer an action: a form's browser goes to a page that tells of it, a program is told at once.

    Of what holds and is not stored yet no page can be asked for: the answer is one itself.
    """
    if is_form(request):
        if done[0].status == HELD:
            raise Refused(HELD, done[0].said)
        back = urlsplit(page_behind(request))
        kept = [(name, value) for name, value in parse_qsl(back.query) if name in KEPT]
        did = ("did", "-".join(str(one.action_id) for one in done))
        return see(f"{back.path}?{urlencode([*kept, did])}")
    if request.path not in MANY and done[0].status not in (DONE, HELD):
        return problem(Refused(done[0].status, done[0].said))
    rows = [
        {
            "action": one.action_id or None,
            "name": one.action,
            "subject": one.subject,
            "status": one.status,
            "said": one.said,
            "at": utc_text(one.at),
        }
        for one in done
    ]
    response = as_json({"done": rows} if request.path in MANY else rows[0])
    response.set_status(HELD if done[0].status == HELD else DONE)
    return response


def page_behind(request: web.Request) -> str:
    """Return the path and query of the page that a form is on, or that led here; the desk's first without.

    A form that came back (``aggregator/web/forms_back.py``) stands at its action's path: the bid's is meant.
    """
    back = urlsplit(request.headers.get("Referer", ""))
    path = own_path(back.path or "/")
    if not path.startswith("/v1/"):
        return f"{path}?{back.query}" if back.query else path
    bid = request.match_info.get("bid")
    return f"/bids/{quote(bid, safe='')}" if bid else "/"


def see(path: str) -> web.Response:
    """Send a browser to a page of this site."""
    return web.Response(status=303, headers={"Location": path})


def as_json(body: Mapping[str, object]) -> web.Response:
    """Answer with one JSON object."""
    response = web.Response(text=to_json(body), content_type="application/json")
    response.enable_compression()
    return response


def own_path(path: str) -> str:
    """Return a path of this site; what leads elsewhere is the first page."""
    return path if path.startswith("/") and not path.startswith(("//", "/\\")) and path.isprintable() else "/"


async def json_of(request: web.Request) -> object:
    """Return the body of a request.

    Raises:
        Refused: If it is no JSON.
    """
    if request.content_type != "application/json":
        raise Refused(415, "send Content-Type: application/json")
    try:
        return parse_json(await request.read(), "body")
    except BadMessage as bad:
        raise Refused(400, "the body is no JSON object", bad.faults) from None

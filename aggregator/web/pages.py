"""Pages made of templates: one environment, with the filters that write figures and times."""

import secrets
from collections.abc import Mapping
from datetime import date, datetime, timedelta
from functools import partial
from urllib.parse import urlencode

from jinja2 import BytecodeCache, Environment, PackageLoader, StrictUndefined, pass_context, select_autoescape
from jinja2.bccache import Bucket
from jinja2.runtime import Context
from markupsafe import Markup

from aggregator.model.figures import figure, percent_of, stated
from aggregator.model.time import LONDON, said_at, utc_text
from aggregator.web import words
from aggregator.web.alarms_view import KINDS, grouped, named, same_day
from aggregator.web.assets import Assets
from aggregator.web.bids_view import Choice
from aggregator.web.clocks import day_of, told
from aggregator.web.live_view import W_PER_KW
from aggregator.web.night_picture import MIDDLE, NARROW, night_picture
from aggregator.web.night_view import ONE_DAY
from dispatch.fleet_view import IDLE_W

PAGES = (
    ("today", "/", "Today", "t"),
    ("bids", "/bids", "Bids", "b"),
    ("live", "/live", "Live", "l"),
    ("fleet", "/fleet", "Fleet", "f"),
    ("settlement", "/settlement", "Settlement", "s"),
    ("audit", "/audit", "Audit", "d"),
    ("rules", "/rules", "Rules", "u"),
)
"""Name, path, word and key of what the navigation shows."""


class Compiled(BytecodeCache):
    """Templates as they were compiled once in this process."""

    def __init__(self) -> None:
        self._code: dict[str, bytes] = {}

    def load_bytecode(self, bucket: Bucket) -> None:
        """Fill a bucket with what was compiled before, if it was."""
        if bucket.key in self._code:
            bucket.bytecode_from_string(self._code[bucket.key])

    def dump_bytecode(self, bucket: Bucket) -> None:
        """Keep what was just compiled."""
        self._code[bucket.key] = bucket.bytecode_to_string()


_COMPILED = Compiled()


class Pages:
    """Renders pages.

    Args:
        assets: Where style and scripts are.
    """

    def __init__(self, assets: Assets) -> None:
        self._environment = Environment(
            loader=PackageLoader("aggregator.web"),
            autoescape=select_autoescape(("html",)),
            undefined=StrictUndefined,
            auto_reload=False,
            bytecode_cache=_COMPILED,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._environment.filters |= {
            "kw": words.kw,
            "kw_range": words.kw_range,
            "kwh": words.kwh,
            "energy": words.energy,
            "night_picture": night_picture,
            "night_picture_middle": partial(night_picture, size=MIDDLE),
            "night_picture_small": partial(night_picture, size=NARROW),
            "pounds": words.pounds,
            "price": words.price,
            "sterling": told,
            "plain_sterling": words.sterling,
            "percent": words.percent,
            "stated": stated,
            "percent_of": percent_of,
            "change": words.change,
            "few": words.few,
            "deed": words.deed,
            "plain_fault": words.plain_fault,
            "grouped": grouped,
            "named": named,
            "at": words.at,
            "moment": _moment,
            "near": day_of,
            "span": words.span,
            "half_hour": words.half_hour,
            "left": words.left,
            "age": words.age,
            "path": words.path_of,
            "utc": utc_text,
            "plain": said_at,
            "local_minute": _local_minute,
            "next_day": _next_day,
            "thousands": "{:,}".format,
            "few_digits": "{:.4g}".format,
            "figure": figure,
            "said_kw": words.said_kw,
            "said_kwh": words.said_kwh,
            "plain_number": partial(figure, digits=6),
        }
        self._environment.globals |= {
            "asset": assets.path,
            "key": _new_key,
            "pages": PAGES,
            "one_day": ONE_DAY,
            "kinds": KINDS,
            "same_day": same_day,
            "idle_kw": IDLE_W / W_PER_KW,
        }
        for name in self._environment.list_templates():
            self._environment.get_template(name)  # compiled before anybody waits for a page

    def render(self, name: str, **values: object) -> str:
        """Return a page."""
        usual: dict[str, object] = {
            "person": None,
            "page": "",
            "flashes": (),
            "called": {},
            "stamp": "",
            "every_s": 0,
            "own": "",
        }
        return self._environment.get_template(f"{name}.html").render({**usual, **values})


def link_to(choice: Choice, **changes: str) -> str:
    """Return the path of the list of bids with some of a choice changed."""
    query: Mapping[str, str] = {
        "shown": choice.shown,
        "zone": choice.zone,
        "product": choice.product,
        "sort": choice.sort,
        **changes,
    }
    return "/bids?" + urlencode({name: value for name, value in query.items() if value})


def _new_key() -> str:
    """Return a name for the action that a form may become: it is done once, however often it is sent."""
    return secrets.token_hex(8)


@pass_context
def _moment(context: Context, instant: datetime) -> Markup:
    """Return an instant by the time of day, with its day where that is not the page's."""
    return words.clock_time(instant) if same_day(instant, context["now"]) else words.at(instant)


def _local_minute(instant: datetime) -> str:
    """Return an instant as a field for date and time takes it, by London's clocks."""
    return instant.astimezone(LONDON).strftime("%Y-%m-%dT%H:%M")


def _next_day(day: date) -> date:
    return day + timedelta(days=1)

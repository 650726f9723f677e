"""The store behind a URL that a user gave: what cannot work is their input, not our crash."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy.exc import ArgumentError

from aggregator.model.errors import BadMessage, Fault, Unavailable
from aggregator.model.fleet import Fleet
from aggregator.store import Store, open_store, schema, upgrade
from aggregator.store.engine import FORMS, parse_url, shown
from aggregator.store.lock import held

UNUSABLE = ("unable to open database file", "readonly database")
"""What SQLite says of a file that nobody's patience will open."""


@contextmanager
def opened(url: str, *, create: bool) -> Iterator[Store]:
    """Open the store, close it afterwards.

    Raises:
        BadMessage: If this installation cannot open what the URL names.
    """
    with _usable(url):
        store = open_store(url, create=create)
    with store, _usable(url):
        yield store


def upgraded(url: str) -> tuple[str | None, str]:
    """Bring the store to this program's version; return the revision before and now.

    Raises:
        BadMessage: If this installation cannot open what the URL names.
    """
    with _usable(url):
        return upgrade(url)


def imported_fleet(url: str) -> Fleet | None:
    """Return the fleet imported last; None where there is none, or no store of this version that answers."""
    try:
        with opened(url, create=False) as store:
            return store.fleet.load()
    except (BadMessage, Unavailable):
        return None


def downgraded(url: str, revision: str) -> str | None:
    """Take the store back to an earlier revision while no gateway runs; return the one before.

    Raises:
        BadMessage: If this installation cannot open what the URL names, or there is no such revision.
        RuleViolation: If a gateway runs.
    """
    with _usable(url), held(parse_url(url)):
        return schema.downgrade(parse_url(url), revision)


def check_url(url: str) -> None:
    """Check that the URL names a database of a kind that this installation can open.

    Raises:
        BadMessage: If it does not.
    """
    if "\0" in url:
        raise BadMessage(Fault("database", repr(url), FORMS))
    parsed = parse_url(url)
    is_sqlite = parsed.get_backend_name() == "sqlite"
    if is_sqlite and (parsed.drivername not in ("sqlite", "sqlite+pysqlite") or parsed.query):
        raise BadMessage(Fault("database", url, FORMS))
    folder = Path(parsed.database or "").parent
    if is_sqlite and parsed.database and not folder.is_dir():
        raise BadMessage(Fault("database", url, f"a file in a folder that exists; {folder} does not"))
    try:
        parsed.get_dialect().import_dbapi()
    except ArgumentError:
        raise BadMessage(Fault("database", shown(parsed), f"{FORMS}, with a driver that there is")) from None
    except ImportError as error:
        allowed = f"a database whose driver is installed: pip install 'flexloop[postgresql]' ({error})"
        raise BadMessage(Fault("database", shown(parsed), allowed)) from None


@contextmanager
def _usable(url: str) -> Iterator[None]:
    check_url(url)
    try:
        yield
    except Unavailable as away:
        reason = next((one for one in UNUSABLE if one in str(away)), None)
        if reason is None:
            raise
        file = Path(str(parse_url(url).database))
        raise BadMessage(Fault(str(file), reason, "a file that can be written, in such a folder")) from None

"""Which version the database's tables have, and the way up to this program's own.

The migrations are packaged beside this module and run from here: no ini file, no working directory. A way up
or down is one transaction, so that a process killed half way leaves the tables as they were.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import URL, Connection, create_engine, inspect
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from aggregator.model.errors import BadMessage, Fault, Unavailable
from aggregator.store.engine import POSTGRESQL, name_of, one_line, open_engine, told_apart, writing

MIGRATIONS = Path(__file__).parent / "migrations"
_VERSION_TABLE = "alembic_version"
_REFUSED = {
    "does not exist": "a role and a database that exist: CREATE ROLE ... LOGIN, CREATE DATABASE ...",
    "authentication failed": "the role's password, in the URL or in PGPASSFILE",
    "no password supplied": "the role's password, in the URL or in PGPASSFILE",
    "no pg_hba.conf entry": "a role that the server lets in from here",
    "permission denied": "a role that may make tables: ALTER DATABASE ... OWNER TO ...",
}
"""What a PostgreSQL server or its driver says that no waiting will mend, and what would."""

_UPGRADE = "a database of this version: run `flexloop db upgrade`"


def check(url: URL, migrations: Path = MIGRATIONS) -> str | None:
    """Return the revision of the tables, None where there are none yet; change nothing.

    Raises:
        BadMessage: If there is something there that is no database, or not one of ours, or one of a
            newer version of this program.
        Unavailable: If a database server does not answer.
    """
    with _blaming(url):
        if not _exists(url):
            return None
        # a file bare: looking must not switch a stranger's to WAL
        engine = open_engine(url) if _is_server(url) else create_engine(url, poolclass=NullPool)
        try:
            with engine.connect() as connection:
                return _revision(connection, url, _scripts(migrations))
        finally:
            engine.dispose()


def must_be_current(url: URL, migrations: Path = MIGRATIONS) -> None:
    """Check that the tables are those that this program knows.

    Raises:
        BadMessage: As ``check``; also if the database is missing, empty or older.
    """
    found, newest = check(url, migrations), newest_known(migrations)
    if found != newest:
        state = f"revision {found}" if found else "no database, or an empty one"
        raise BadMessage(Fault(name_of(url), state, f"{_UPGRADE} (revision {newest})"))


def upgrade(url: URL, migrations: Path = MIGRATIONS) -> tuple[str | None, str]:
    """Bring the tables up to this program's version, creating the database where there is none.

    Returns:
        The revision before, None where there was no table, and the revision now.

    Raises:
        BadMessage: As ``check``; nothing is changed then.
    """
    found = check(url, migrations)
    with _migrating(url, migrations) as config:
        command.upgrade(config, "head")
    return found, newest_known(migrations)


def downgrade(url: URL, revision: str, migrations: Path = MIGRATIONS) -> str | None:
    """Take the tables back to an earlier revision, ``base`` for none, for a program of that time.

    What that one had no place for is lost.

    Returns:
        The revision before, None where there was no table.

    Raises:
        BadMessage: As ``check``; also if there is no such revision, or it is a later one. Nothing is changed
            then.
    """
    found, known = check(url, migrations), revisions(migrations)
    earlier = ("base", *(known[: known.index(found) + 1] if found else ()))
    if revision not in earlier:
        raise BadMessage(Fault("revision", revision, f"one of {', '.join(earlier)}"))
    with _migrating(url, migrations) as config:
        command.downgrade(config, revision)
    return found


def revisions(migrations: Path = MIGRATIONS) -> tuple[str, ...]:
    """Return all revisions that this program knows, oldest first."""
    return tuple(reversed([script.revision for script in _scripts(migrations).walk_revisions()]))


def newest_known(migrations: Path = MIGRATIONS) -> str:
    """Return the revision that this program's tables have."""
    head = _scripts(migrations).get_current_head()
    if head is None:
        raise RuntimeError(f"no migrations in {migrations}")
    return head


@contextmanager
def _migrating(url: URL, migrations: Path) -> Iterator[Config]:
    with _blaming(url):
        engine = open_engine(url)
        try:
            with writing(engine) as connection:
                config = _config(migrations)
                config.attributes["connection"] = connection
                yield config
        finally:
            engine.dispose()


def _revision(connection: Connection, url: URL, scripts: ScriptDirectory) -> str | None:
    _must_hold_any_text(connection, url)
    tables = set(inspect(connection).get_table_names())
    found = (
        MigrationContext.configure(connection).get_current_revision() if _VERSION_TABLE in tables else None
    )
    if found is None:
        if tables - {_VERSION_TABLE}:
            raise BadMessage(
                Fault(name_of(url), f"tables {', '.join(sorted(tables))}", "a database made by flexloop")
            )
        return None
    try:
        scripts.get_revision(found)
    except CommandError:
        newest = (
            f"at most revision {scripts.get_current_head()}: this database is of a newer version of flexloop"
        )
        raise BadMessage(Fault(name_of(url), f"revision {found}", newest)) from None
    return found


def _must_hold_any_text(connection: Connection, url: URL) -> None:
    if _is_server(url) and (found := connection.exec_driver_sql("SHOW server_encoding").scalar()) != "UTF8":
        raise BadMessage(Fault(name_of(url), f"encoding {found}", "a database made with ENCODING 'UTF8'"))


def _is_server(url: URL) -> bool:
    return url.get_backend_name() == POSTGRESQL


def _exists(url: URL) -> bool:
    if _is_server(url):
        return True
    path = Path(str(url.database))
    if not path.parent.is_dir():
        raise BadMessage(
            Fault(name_of(url), str(path), f"a file in an existing directory; {path.parent} is none")
        )
    return path.exists()


def _config(migrations: Path) -> Config:
    config = Config()
    config.set_main_option("script_location", str(migrations).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config


@cache
def _scripts(migrations: Path) -> ScriptDirectory:
    """Return a folder's migrations, read once: alembic runs each file anew for every reading."""
    return ScriptDirectory.from_config(_config(migrations))


@contextmanager
def _blaming(url: URL) -> Iterator[None]:
    """Say what is wrong with what is there: a wrong input, unless time may mend it."""
    try:
        if _is_server(url):
            with told_apart():
                yield
        else:
            yield
    except Unavailable as away:
        refused = next((why for words, why in _REFUSED.items() if words in str(away)), None)
        if refused is None or not _is_server(url):
            raise
        found = one_line(away.__cause__) if isinstance(away.__cause__, DBAPIError) else str(away)
        raise BadMessage(Fault(name_of(url), found, refused)) from None
    except (DBAPIError, sqlite3.DatabaseError) as error:
        found = one_line(error) if isinstance(error, DBAPIError) else str(error)
        kind = "PostgreSQL" if _is_server(url) else "SQLite"
        raise BadMessage(Fault(name_of(url), found, f"a {kind} database made by flexloop")) from None

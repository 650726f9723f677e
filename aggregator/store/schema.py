"""Which version the database's tables have, and the way up to this program's own.

The migrations are packaged beside this module and run from here: no ini file, no working directory. An
upgrade is one transaction, so that a process killed half way leaves the tables as they were.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
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
from aggregator.store.engine import name_of, open_engine, writing

MIGRATIONS = Path(__file__).parent / "migrations"
_VERSION_TABLE = "alembic_version"
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
        engine = create_engine(
            url, poolclass=NullPool
        )  # bare: looking must not switch a stranger's file to WAL
        with engine.connect() as connection:
            return _revision(connection, url, _scripts(migrations))


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
    with _blaming(url):
        engine = open_engine(url)
        try:
            with writing(engine) as connection:
                config = _config(migrations)
                config.attributes["connection"] = connection
                command.upgrade(config, "head")
        finally:
            engine.dispose()
    return found, newest_known(migrations)


def newest_known(migrations: Path = MIGRATIONS) -> str:
    """Return the revision that this program's tables have."""
    head = _scripts(migrations).get_current_head()
    if head is None:
        raise RuntimeError(f"no migrations in {migrations}")
    return head


def _revision(connection: Connection, url: URL, scripts: ScriptDirectory) -> str | None:
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


def _exists(url: URL) -> bool:
    if url.get_backend_name() != "sqlite":
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


def _scripts(migrations: Path) -> ScriptDirectory:
    return ScriptDirectory.from_config(_config(migrations))


@contextmanager
def _blaming(url: URL) -> Iterator[None]:
    try:
        yield
    except (DBAPIError, sqlite3.DatabaseError) as error:
        found = str(getattr(error, "orig", None) or error)
        if url.get_backend_name() != "sqlite":
            raise Unavailable(f"{name_of(url)} does not answer: {found}") from error
        raise BadMessage(Fault(name_of(url), found, "a SQLite database made by flexloop")) from None

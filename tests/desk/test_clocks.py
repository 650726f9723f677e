"""Times in words: London's clocks, in UTC on hover, and bare where the day is not known."""

from datetime import UTC, datetime, timedelta

import pytest

from aggregator.cli import run
from aggregator.model.opportunity import InstructionCancelled
from aggregator.model.time import Interval
from aggregator.store import Alarm, open_store
from aggregator.web.clocks import told
from tests.desk.world import EVENING, NOW, a_bid, a_desk, a_key, the_why

GATE = NOW + timedelta(hours=2)

SUMMER = Interval(datetime(2025, 7, 15, 22, tzinfo=UTC), datetime(2025, 7, 16, 1, tzinfo=UTC))
AUTUMN = Interval(datetime(2025, 10, 25, 23, tzinfo=UTC), datetime(2025, 10, 26, 4, tzinfo=UTC))
LONG = Interval(SUMMER.start, SUMMER.start + timedelta(days=3))


def time(shown, utc):
    return f'<time datetime="{utc.replace(" ", "T")}Z" title="{utc} UTC">{shown}</time>'


@pytest.mark.parametrize(
    ("text", "window", "shown"),
    [
        (
            "away from 2025-07-15T17:40:22.201628Z <on>",
            None,
            f"away from {time('Tue 15 Jul 18:40:22', '2025-07-15 17:40:22')} &lt;on&gt;",
        ),
        ("given in 23:30-00:30", None, "given in 23:30–00:30"),
        (
            "given in 23:30-00:30",
            SUMMER,
            f"given in {time('23:30', '2025-07-15 22:30:00')}–{time('00:30', '2025-07-15 23:30:00')}",
        ),
        (
            "frozen 14 Jul 11:00:05: kept, 01:30 to 02:00",
            SUMMER,
            f"frozen 14 Jul {time('11:00:05', '2025-07-14 10:00:05')}: kept,"
            f" {time('01:30', '2025-07-16 00:30:00')} to {time('02:00', '2025-07-16 01:00:00')}",
        ),
        ("in 01:30-02:30, twice", AUTUMN, f"in 01:30–{time('02:30', '2025-10-26 02:30:00')}, twice"),
        ("given in 23:30-00:30", LONG, "given in 23:30–00:30"),
        ("30 Feb 10:00 and 25:10, GBP 2.00", SUMMER, "30 Feb 10:00 and 25:10, £2.00"),
    ],
)
def test_a_time_in_words_has_its_hover(text, window, shown):
    assert told(text, window) == shown


async def test_alarms_limits_nominations_and_explanations_tell_utc_on_hover(tmp_path):
    async with a_desk(tmp_path) as desk:
        text = "it did not answer from 2025-01-14T11:59:22.201628Z to 2025-01-14T12:00:00Z"
        desk.store.alarms.raise_(Alarm(NOW, "database_away", "the database", text))
        why = the_why(binding=("the need: all of it is offered in 17:00-18:30",))
        a_bid(desk.store, "bid-9", event="requirement-9", why=why)
        vera = await desk.sign_in("vera")
        _, live = await vera.get("/live")
        assert time("Tue 14 Jan 11:59:22", "2025-01-14 11:59:22") in live
        assert f"{time('12:00', '2025-01-14 12:00:00')}–{time('12:30', '2025-01-14 12:30:00')}" in live
        _, bid = await vera.get("/bids/bid-9")
        day = EVENING.start.date().isoformat()
        assert f"offered in {time('17:00', f'{day} 17:00:00')}–{time('18:30', f'{day} 18:30:00')}" in bid


async def test_what_lapsed_is_told_in_one_word_with_the_day_and_its_hover_wherever_it_stands(tmp_path):
    async with a_desk(tmp_path) as desk:
        desk.parts.clock.set(GATE)
        desk.parts.gateway.tick()
        vera = await desk.sign_in("vera")
        closed = f"Tue 14 Jan {time('14:00', '2025-01-14 14:00:00')}"
        pages = {path: (await vera.get(path))[1] for path in ("/", "/live", "/bids?shown=all", "/bids/bid-1")}
        for path in ("/", "/live"):
            assert f"the gate closed {closed} with nobody having decided" in pages[path], path
            assert f"Wed 15 Jan {time('17:00', '2025-01-15 17:00:00')} to " in pages[path], path
        for path in ("/", "/bids?shown=all", "/bids/bid-1"):
            assert f"nobody had approved a draft by its gate, {closed}" in pages[path], path
            assert "</span>lapsed</span>" in pages[path], path
        desk.parts.clock.set(GATE + timedelta(days=1))
        _, page = await vera.get("/bids/bid-1")
        assert f"by its gate, {closed}" in page


async def test_a_cancellation_of_another_day_is_told_with_its_day(tmp_path):
    async with a_desk(tmp_path) as desk:
        gone = InstructionCancelled(NOW, a_key("order-5", 1))
        flow = desk.parts.gateway.workflow
        flow.record(desk.bid("bid-5"), gone, by="platform")
        desk.parts.gateway.book.refresh(NOW)
        vera = await desk.sign_in("vera")
        shown = f"cancelled {time('12:00', '2025-01-14 12:00:00')}"
        for path in ("/", "/bids", "/bids/bid-5", "/live"):
            assert shown in (await vera.get(path))[1], path
        desk.parts.clock.set(NOW + timedelta(days=1))
        assert (
            f"order cancelled Tue 14 Jan {time('12:00', '2025-01-14 12:00:00')}"
            in (await vera.get("/bids"))[1]
        )


def test_alarms_at_the_command_line_tell_every_time_by_londons_clocks(tmp_path, capsys):
    url = f"sqlite:///{tmp_path / 'flexloop.db'}"
    with open_store(url, create=True) as store:
        text = "refused 2005 W until 2025-07-15 17:41:52 UTC"
        store.alarms.raise_(Alarm(SUMMER.start, "interlock", "car-1", text))
    assert run(["alarms", "list", "--database", url]) == 0
    told = " ".join(capsys.readouterr().out.split())
    assert "Tue 15 Jul 23:00:00" in told
    assert "until Tue 15 Jul 18:41:52" in told
    assert "UTC" not in told

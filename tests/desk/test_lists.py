"""Lists of bids: one order everywhere, words for what lapsed without a draft, filters that name nothing."""

from datetime import timedelta

from aggregator.bid_text import by_gate
from aggregator.model.opportunity import Received
from aggregator.model.time import Interval
from aggregator.store import Alarm
from aggregator.web.bids_view import SORTED_BY, SORTS, Choice, bid_rows
from aggregator.web.fleet_view import SORTED_BY as FLEET_SORTED_BY
from aggregator.web.fleet_view import SORTS as FLEET_SORTS
from aggregator.web.today_view import today_view
from tests.desk.world import EVENING, NOW, a_bid, a_desk, a_need

GATE = NOW + timedelta(hours=2)
LATER = Interval(EVENING.start + timedelta(hours=1), EVENING.end + timedelta(hours=1))


async def test_bids_of_one_gate_stand_in_one_order_everywhere(tmp_path):
    async with a_desk(tmp_path, empty=True) as desk:
        a_bid(desk.store, "a-later", event="requirement-1", window=LATER)
        a_bid(desk.store, "b-sooner", event="requirement-2")
        flow, order = desk.parts.gateway.workflow, ["b-sooner", "a-later"]
        assert [row.bid for row in today_view(flow, "anna").todo] == order
        assert [row.bid for row in bid_rows(flow, "anna", Choice())] == order
        assert [one.opportunity_id for one in by_gate(flow.open(), flow)] == order
        vera = await desk.sign_in("vera")
        _, told = await vera.get("/v1/bids")
        assert [one["opportunity"] for one in told["bids"]] == order


async def test_a_need_that_lapsed_without_a_draft_is_told_in_the_same_words_everywhere(tmp_path):
    async with a_desk(tmp_path, empty=True) as desk:
        flow = desk.parts.gateway.workflow
        flow.record(desk.bid("bid-1"), Received(NOW, a_need()), by="platform")
        desk.parts.clock.set(GATE)
        flow.advance(desk.bid("bid-1"))
        vera = await desk.sign_in("vera")
        for path in ("/", "/bids?shown=all", "/bids/bid-1"):
            _, page = await vera.get(path)
            assert "o draft had been made by its gate" in page, path
            assert "nobody had approved a draft" not in page, path
        assert "no bid made" in (await vera.get("/"))[1]


async def test_a_filter_that_names_no_zone_says_so(tmp_path):
    async with a_desk(tmp_path) as desk:
        vera = await desk.sign_in("vera")
        for path in ("/bids?zone=Nowhere", "/fleet?zone=Nowhere"):
            _, page = await vera.get(path)
            assert "There is no zone “Nowhere”" in page, path
            assert '<option value="Nowhere" selected>' in page, path


async def test_an_alarm_of_a_bid_links_to_it(tmp_path):
    async with a_desk(tmp_path) as desk:
        desk.store.alarms.raise_(Alarm(NOW, "event_refused", "bid-1", "the DNO ordered 8 kW"))
        vera = await desk.sign_in("vera")
        for path in ("/", "/live"):
            _, page = await vera.get(path)
            found = page[page.index("event refused") :]
            assert 'href="/bids/bid-1"' in found[: found.index("the DNO ordered")], path


async def test_what_was_done_at_the_desk_is_history_and_told_once(tmp_path):
    async with a_desk(tmp_path) as desk:
        anna, ben = await desk.sign_in("anna"), await desk.sign_in("ben")
        digest = desk.bid("bid-1").draft.digest
        assert (await anna.post("/v1/bids/bid-1/check", {"draft": digest}))[0] == 200
        assert "Refused at this desk" not in (await ben.get("/bids/bid-1"))[1]
        status, _ = await anna.post("/v1/bids/bid-1/approve", {"draft": digest})
        assert status == 409
        assert "Refused at this desk" in (await ben.get("/bids/bid-1"))[1]


def test_a_phone_sorts_by_all_that_the_heads_do():
    assert {value for value, _ in SORTED_BY} == set(SORTS)
    assert {value or "car" for value, _ in FLEET_SORTED_BY} == set(FLEET_SORTS)

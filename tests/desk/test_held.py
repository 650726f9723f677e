"""What the DNO holds while a draft in its place is decided on: shown, summed, and kept by a refusal."""

import re
from datetime import timedelta

import pytest

from aggregator.model.opportunity import Awarded, DraftLapsed, Instructed, Received, Stage, Submitted
from aggregator.model.time import HALF_HOUR, Interval
from tests.builders import a_requirement, an_award, an_instruction, some_steps
from tests.desk.world import EVENING, NOW, PRODUCT, ZONE, a_bid, a_desk, a_key, approved, checked


def sent(draft):
    return Submitted(NOW, draft.report_id)


def a_sent_bid(desk, name="bid-9"):
    """Store a bid of 20 to 50 kW that the DNO holds."""
    return a_bid(desk.store, name, checked("anna"), approved, sent, event=f"requirement-{name}")


async def amended(desk, anna, name="bid-9", kw=18):
    """Amend a bid that the DNO holds."""
    a_sent_bid(desk, name)
    body = {"draft": desk.bid(name).draft.digest, "kw": kw}
    status, done = await anna.post(f"/v1/bids/{name}/amend", body)
    assert status == 200, done


def cell(page, row, label):
    """Return one cell of a bid's row in a list."""
    cells = page.partition(f'id="row-{row}"')[2].partition("</tr>")[0]
    return cells.partition(f'data-label="{label}">')[2].partition("</td>")[0]


def decided(page):
    """Return the cell of the margin decided on of tomorrow's windows."""
    row = page.partition(">Tomorrow ")[2].partition("</tr>")[0]
    return row.partition('data-label="Margin, decided">')[2].partition("</td>")[0]


async def test_lists_and_the_bid_tell_what_the_dno_holds_while_an_amendment_is_in_review(tmp_path):
    async with a_desk(tmp_path) as desk:
        anna = await desk.sign_in("anna")
        await amended(desk, anna)
        for path in ("/", "/bids"):
            told = cell((await anna.get(path))[1], "bid-9", "Bid")
            assert told.startswith("18<"), path
            assert "DNO holds 20 to 50<" in told, path
        page = (await anna.get("/bids/bid-9"))[1]
        note = page.partition('id="held"')[2].partition("</p>")[0]
        assert "The DNO holds draft 1: 20 to 50<" in note
        assert "£300.00" in note
        assert 'id="held"' not in (await anna.get("/bids/bid-1"))[1]


async def test_the_margin_of_a_sent_bid_stays_decided_until_its_amendment_is_sent(tmp_path):
    async with a_desk(tmp_path) as desk:
        anna, ben = await desk.sign_in("anna"), await desk.sign_in("ben")
        a_sent_bid(desk)
        before = decided((await anna.get("/"))[1])
        assert "1 bid" in before
        seen = {"draft": desk.bid("bid-9").draft.digest}
        assert (await anna.post("/v1/bids/bid-9/amend", {**seen, "kw": 18}))[0] == 200
        assert decided((await anna.get("/"))[1]) == before
        key = a_key("requirement-bid-9", 1)
        need = a_requirement(key=key, zone=ZONE, product_id=PRODUCT, window=EVENING)
        one = desk.bid("bid-9")
        desk.parts.gateway.workflow.record(one, Received(NOW, need), by="platform")
        page = (await anna.get("/"))[1]
        assert decided(page) == before
        told = cell((await ben.get("/bids"))[1], "bid-9", "Bid")
        assert "DNO holds 20 to 50<" in told


@pytest.mark.parametrize("user", ["ben", "anna"])
async def test_refusing_an_amendment_leaves_the_sent_bid_as_the_dno_holds_it(tmp_path, user):
    async with a_desk(tmp_path) as desk:
        anna = await desk.sign_in("anna")
        person = anna if user == "anna" else await desk.sign_in(user)
        await amended(desk, anna)
        before = len(desk.store.outbox.all())
        assert 'id="do-reject"' in (await person.get("/bids/bid-9"))[1]
        status, problem = await person.post("/v1/bids/bid-9/reject", {"reason": "too little"})
        assert (status, problem["faults"][0]["field"]) == (422, "body: draft")
        seen = {"draft": desk.bid("bid-9").draft.digest}
        status, done = await person.post("/v1/bids/bid-9/reject", {**seen, "reason": "too little"})
        assert (status, done["said"]) == (
            200,
            f"refused by {user}: too little; what the DNO holds stands, draft 1 (20-50 kW at GBP 300.00/MWh)",
        )
        one = desk.bid("bid-9")
        assert (one.stage, one.draft, one.draft.version) == (Stage.SUBMITTED, one.submitted, 1)
        assert len(desk.store.outbox.all()) == before, "the DNO is told nothing"
        page = (await anna.get("/bids/bid-9"))[1]
        assert "the amendment was refused: the bid sent before stands" in page
        assert "too little" in page.partition("data-facts")[2]
        for words in ({"kw": 19}, {"kw": 18}):
            body = {"draft": desk.bid("bid-9").draft.digest, **words}
            assert (await anna.post("/v1/bids/bid-9/amend", body))[0] == 200
        _, trail = await anna.get("/v1/audit/trail.csv")
        assert trail.count(f"reject,bid-9,{seen['draft']}") == 1


async def test_a_decision_on_an_amendment_that_lapsed_meanwhile_is_told_so(tmp_path):
    async with a_desk(tmp_path) as desk:
        anna, ben = await desk.sign_in("anna"), await desk.sign_in("ben")
        await amended(desk, anna)
        seen = {"draft": desk.bid("bid-9").draft.digest, "reason": "too low"}
        desk.parts.gateway.workflow.record(desk.bid("bid-9"), DraftLapsed(NOW), by="clockwork")
        status, refused = await ben.post("/v1/bids/bid-9/reject", seen)
        assert status == 409
        assert (
            refused["detail"] == "the draft that was shown lapsed or was refused; the bid sent before stands"
        )


async def test_nothing_but_a_draft_is_refused_and_only_a_trader_withdraws_what_was_sent(tmp_path):
    async with a_desk(tmp_path) as desk:
        anna, ben = await desk.sign_in("anna"), await desk.sign_in("ben")
        a_sent_bid(desk)
        status, refused = await ben.post("/v1/bids/bid-9/reject", {"reason": "no"})
        assert (status, "withdraw it instead" in refused["detail"]) == (409, True)
        body = {"draft": desk.bid("bid-9").draft.digest, "kw": 18}
        assert (await anna.post("/v1/bids/bid-9/amend", body))[0] == 200
        assert (await ben.post("/v1/bids/bid-9/withdraw", {"reason": "no"}))[0] == 403
        status, done = await anna.post("/v1/bids/bid-9/withdraw", {"reason": "a recall"})
        assert (status, "a bid of nothing" in done["said"]) == (200, True)
        assert desk.bid("bid-9").stage is Stage.CLOSED


async def test_between_gate_and_award_a_bid_says_why_it_binds_and_when_it_can_be_taken_back(tmp_path):
    async with a_desk(tmp_path) as desk:
        anna = await desk.sign_in("anna")
        a_sent_bid(desk)
        desk.parts.clock.set(NOW + timedelta(hours=3))
        binds = (
            "the gate closed Tue 14 Jan 14:00: the DNO takes no other bid, nor one back, until it has"
            " answered; once it awards this one the award can be withdrawn"
        )
        status, refused = await anna.post("/v1/bids/bid-9/withdraw", {"reason": "a recall"})
        assert (status, refused["detail"]) == (409, binds)
        paths = (await anna.get("/v1/openapi.json"))[1]["paths"]
        assert "before the gate, and from the award on" in paths["/v1/bids/{bid}/withdraw"]["post"]["summary"]
        page = (await anna.get("/bids/bid-9"))[1]
        assert "once it awards this one the award can be withdrawn" in page
        assert 'id="do-withdraw"' not in page
        assert EVENING.start > desk.parts.clock.now()


async def test_a_bid_that_was_withdrawn_while_it_was_delivered_says_so_and_the_dno_holds_nothing(tmp_path):
    async with a_desk(tmp_path) as desk:
        anna = await desk.sign_in("anna")
        today = Interval(NOW - timedelta(minutes=30), NOW + timedelta(minutes=90))
        terms = {"zone": ZONE, "product_id": PRODUCT}
        award = Awarded(NOW, an_award(key=a_key("award-9"), window=today, **terms))
        steps = some_steps(3, 3, 3, 3, slots=today.slots(HALF_HOUR))
        order = Instructed(NOW, an_instruction(key=a_key("order-9"), steps=steps, **terms))
        facts = (checked("anna"), approved, sent, award, order)
        a_bid(desk.store, "bid-9", *facts, event="requirement-9", window=today)
        desk.parts.gateway.workflow.advance(desk.bid("bid-9"))
        assert (await anna.get("/v1/bids/bid-9"))[1]["dno_holds_kw"] == [30.0, 50.0, 50.0, 20.0]
        assert (await anna.post("/v1/bids/bid-9/withdraw", {"reason": "a recall"}))[0] == 200
        assert desk.bid("bid-9").stage is Stage.DELIVERED
        assert (await anna.get("/v1/bids/bid-9"))[1]["dno_holds_kw"] is None
        state = re.sub("<[^>]*>", "", cell((await anna.get("/bids"))[1], "bid-9", "State"))
        assert state == "withdrawn by us 12:01, to settle"
        page = (await anna.get("/bids/bid-9"))[1]
        assert "Withdrawn by us" in page.partition('id="cut-short"')[2].partition("</p>")[0]
        assert "Margin, had it run to its end" in page
        desk.parts.gateway.book.refresh(desk.parts.clock.now())
        live = (await anna.get("/live"))[1].partition('href="/bids/bid-9"')[2].partition("</p>")[0]
        assert re.search("withdrawn by us <time[^>]*>12:01</time>", live)
        over = page.partition('id="cannot"')[2].partition("</p>")[0]
        assert "It was awarded, and withdrawn by us" in over

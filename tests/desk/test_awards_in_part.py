"""A bid of which the DNO awarded only a part is told, valued and summed as that part."""

from dataclasses import replace

from aggregator.bid_text import in_words, summary
from aggregator.model.opportunity import Awarded, Submitted
from aggregator.web.today_view import today_view
from tests.builders import an_award
from tests.desk.world import EVENING, NOW, PRODUCT, ZONE, a_bid, a_desk, a_key, approved


def by_level(need, model, new, slots):
    """Value a draft at other levels: ten pence for each kW of its mean, always delivered."""
    mean_kw = sum(new.offered_kw) / len(new.offered_kw)
    why = replace(new.why, margin_p10_gbp=0.05 * mean_kw, margin_p90_gbp=0.2 * mean_kw, miss=0.0)
    return replace(new, expected_margin_gbp=0.1 * mean_kw, why=replace(why, valued_anew=True))


def awarded(*kw):
    award = an_award(key=a_key("award-1"), zone=ZONE, product_id=PRODUCT, window=EVENING, awarded_kw=kw)
    return Awarded(NOW, award)


def acknowledged(draft):
    return Submitted(NOW, draft.report_id)


def a_part(store, *kw, name="bid-1"):
    return a_bid(store, name, approved, acknowledged, awarded(*kw), offered_kw=(16.0,) * 4)


async def test_an_award_in_part_is_told_in_rows_tiles_json_and_sums(tmp_path):
    async with a_desk(tmp_path, empty=True) as desk:
        flow = desk.parts.gateway.workflow
        flow.revalue = by_level
        a_part(desk.store, 8.0, 8.0, 4.0, 4.0)
        money = today_view(flow, "anna").money[1]
        assert (money.decided, money.decided_unknown) == (0, 1)
        desk.parts.gateway.tick()
        one, money = desk.bid("bid-1"), today_view(flow, "anna").money[1]
        assert (money.decided, str(money.decided_gbp), money.decided_unknown) == (1, "0.60", 0)
        vera = await desk.sign_in("vera")
        _, page = await vera.get("/bids")
        assert '4 to 8<span class="unit">&nbsp;kW</span> <span class="second">of 16<span' in page
        assert "£0.60" in page
        assert "P10 £0.30" in page
        _, page = await vera.get("/bids/bid-1")
        assert "Expected margin of what was awarded" in page
        assert "P90 £1.20" in page
        assert "£0.60" in (await vera.get("/"))[1]
        _, told = await vera.get("/v1/bids/bid-1")
        assert (told["expected_margin_gbp"], told["margin_p10_gbp"], told["deliver"]) == (0.6, 0.3, 1.0)
        assert (told["awarded_kw"], told["offered_kw"]) == ([8.0, 8.0, 4.0, 4.0], [16.0] * 4)
        (row,) = (await vera.get("/v1/bids"))[1]["bids"]
        assert row["expected_margin_gbp"] == summary(one, flow)["expected_margin_gbp"] == 0.6
        assert any("awarded 4-8 of 16 kW bid: expected margin GBP 0.60" in line for line in in_words(one))


async def test_an_award_in_part_that_nobody_can_value_is_in_no_sum(tmp_path):
    async with a_desk(tmp_path, empty=True) as desk:
        desk.parts.gateway.workflow.revalue = lambda *_: None
        a_part(desk.store, 8.0, 8.0, 8.0, 8.0)
        desk.parts.gateway.tick()
        vera = await desk.sign_in("vera")
        assert "1 margin not known" in (await vera.get("/"))[1]
        assert "could not be worked out anew" in (await vera.get("/bids/bid-1"))[1]
        _, told = await vera.get("/v1/bids/bid-1")
        assert (told["expected_margin_gbp"], told["deliver"]) == (None, None)


async def test_an_award_that_is_amended_is_valued_anew(tmp_path):
    async with a_desk(tmp_path, empty=True) as desk:
        flow = desk.parts.gateway.workflow
        flow.revalue = by_level
        one = a_part(desk.store, 8.0, 8.0, 8.0, 8.0)
        desk.parts.gateway.tick()
        again = replace(awarded(4.0, 4.0, 4.0, 4.0).award, key=a_key("award-1", 1))
        flow.record(desk.bid("bid-1"), Awarded(NOW, again), by="platform")
        assert desk.bid("bid-1").worth is None
        desk.parts.gateway.tick()
        assert desk.bid("bid-1").worth.margin_gbp == 0.4
        assert one.draft == desk.bid("bid-1").draft


async def test_shown_margins_add_up_to_the_shown_sum(tmp_path):
    async with a_desk(tmp_path, empty=True) as desk:
        for n, gbp in enumerate((20.224, 20.224, 20.214)):
            a_bid(desk.store, f"bid-{n}", event=f"requirement-{n}", expected_margin_gbp=gbp)
        money = today_view(desk.parts.gateway.workflow, "anna").money[1]
        assert str(money.waiting_gbp) == "60.65"

"""Rules at the desk: what each allows, did, and would do with the bids that wait."""

from datetime import timedelta

from aggregator.desk_settings import ApprovalRule
from aggregator.model.opportunity import Approved
from tests.desk.world import NOW, a_desk

SMALL = ApprovalRule(
    rule_id="small",
    written_by="anna",
    approved_by="ben",
    max_kw=20.0,
    min_margin_gbp=1.0,
    zones=("Hendon Way",),
)
RICH = ApprovalRule(
    rule_id="rich",
    written_by="ben",
    approved_by="cleo",
    max_kw=100.0,
    min_margin_gbp=1000.0,
    products=("other",),
    zones=("Wrotham",),
)


def by_rule(desk, bid, rule, at):
    one = desk.bid(bid)
    fact = Approved(at, one.draft.digest, f"rule {rule}", rule=rule)
    desk.store.journal.append(bid, fact, expected_version=one.version, by=f"rule {rule}", recorded_at=at)


async def test_rules_say_what_they_allow_did_and_would_do(tmp_path):
    async with a_desk(tmp_path, rule=(SMALL, RICH)) as desk:
        by_rule(desk, "bid-2", "small", NOW + timedelta(minutes=1))
        by_rule(desk, "bid-3", "gone", NOW)
        anna = await desk.sign_in("anna")
        _, body = await anna.get("/v1/rules")
        small, rich = body["rules"]
        assert (small["written_by"], small["approved_by"], small["max_kw"]) == ("anna", "ben", 20.0)
        assert [one["bid"] for one in small["approvals"]] == ["bid-2"]
        assert body["former_rules"][0]["rule"] == "gone"
        assert rich["approvals"] == []
        (waiting,) = small["open_bids"]
        assert waiting == {"bid": "bid-1", "allows": False, "why_not": ["50 kW is more than 20 kW"]}
        assert rich["open_bids"][0]["why_not"] == [
            "Hendon Way is not among its zones: Wrotham",
            "day-ahead is not among its products: other",
            "GBP 4.25 is less than GBP 1000.00",
        ]
        (one_person,) = body["one_person"]
        assert one_person["open_bids"] == [
            {"bid": "bid-1", "allows": False, "why_not": ["50 kW is more than 12 kW"]}
        ]
        assert body["people"][0] == {"user": "anna", "roles": ["trader", "approver"]}
        _, page = await anna.get("/rules")
        for words in (
            "50 kW is more than 20 kW",
            "Rules that are not written any more",
            "£4.25 is less than £1000.00",
            "1. small",
            "2. rich",
            'the last <a href="/bids/bid-2">Hendon Way, ',
        ):
            assert words in page
        draft = desk.bid("bid-1").draft.digest
        assert (await anna.post("/v1/bids/bid-1/amend", {"draft": draft, "kw": 10}))[0] == 200
        _, body = await anna.get("/v1/rules")
        assert body["rules"][0]["open_bids"][0]["why_not"] == ["anna wrote this draft, not the model"]
        assert body["one_person"][0]["open_bids"][0]["allows"] is True
        assert "one person will do" in (await anna.get("/rules"))[1]
        desk.parts.clock.pass_by(timedelta(hours=3))
        _, body = await anna.get("/v1/rules")
        assert "its gate has closed" in body["rules"][0]["open_bids"][0]["why_not"]


async def test_a_desk_without_rules_says_so(tmp_path):
    async with a_desk(tmp_path, empty=True, two_people=False, one_person=()) as desk:
        vera = await desk.sign_in("vera")
        _, body = await vera.get("/v1/rules")
        assert (body["rules"], body["two_people"], body["tried_at"]) == ([], False, None)
        _, page = await vera.get("/rules")
        assert "No rule is written" in page
        assert "Four eyes are off" in page

"""What the panel of decisions tells: who approved, by which rule, and what can't be undone."""

import re

from aggregator.model.opportunity import Approved
from tests.desk.test_held import a_sent_bid
from tests.desk.world import NOW, a_bid, a_desk


async def panel(person, name):
    _, page = await person.get(f"/bids/{name}")
    text = re.sub(r"<[^>]+>", " ", page.partition('<aside class="card actions"')[2].partition("</aside>")[0])
    return " ".join(text.split())


async def test_who_approved_is_told_and_no_more_who_must(tmp_path):
    async with a_desk(tmp_path) as desk:
        a_bid(
            desk.store,
            "by-rule",
            lambda draft: Approved(NOW, draft.digest, "rule small", rule="small"),
            event="requirement-9",
        )
        desk.parts.gateway.book.refresh(NOW)
        anna = await desk.sign_in("anna")
        told = await panel(anna, "bid-4")
        assert "checked by anna approved by ben" in told
        assert "Two people" not in told
        told = await panel(anna, "by-rule")
        assert "approved by rule small" in told
        assert "Two people" not in told
        assert "approved by ben" in await panel(anna, "bid-5"), "of what was awarded, too"
        told = await panel(anna, "bid-1")
        assert "Two people: one checks, another approves." in told
        assert "approved by" not in told


async def test_what_ends_a_need_for_good_says_so_beforehand(tmp_path):
    async with a_desk(tmp_path) as desk:
        a_sent_bid(desk)
        anna = await desk.sign_in("anna")
        assert "Refusing ends it for good: nothing more can be bid for this need." in await panel(
            anna, "bid-1"
        )
        assert "Withdrawing ends it for good: nothing more can be bid for this need." in await panel(
            anna, "bid-4"
        )
        draft = desk.bid("bid-9").draft
        assert (await anna.post("/v1/bids/bid-9/amend", {"draft": draft.digest, "kw": 20}))[0] == 200
        told = await panel(anna, "bid-9")
        assert "Refusing ends this draft alone: what the DNO holds stands." in told

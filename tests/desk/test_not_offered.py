"""A need that the model declined: Today tells it that day, and its page invents no figures."""

import re
from datetime import timedelta

from aggregator.model.facts import MODEL
from aggregator.model.opportunity import Declined, Received
from aggregator.web.bid_view import bid_view
from aggregator.web.today_view import today_view
from tests.desk.world import NOW, a_desk, a_need

WHY = "it would not pay at the ceiling"


async def test_what_the_model_does_not_offer_stands_on_today_with_why(tmp_path):
    async with a_desk(tmp_path, empty=True) as desk:
        flow = desk.parts.gateway.workflow
        assert today_view(flow, "anna").not_offered == ()
        for name, by in (("bid-1", MODEL), ("bid-2", "anna")):
            facts = [Received(NOW, a_need(name)), Declined(NOW, WHY, by)]
            desk.store.journal.append_many(name, facts, expected_version=0, by=by, recorded_at=NOW)
        anna = await desk.sign_in("anna")
        told = (await anna.get("/"))[1].partition('id="not-offered"')[2].partition("</ul>")[0]
        told = " ".join(re.sub(r"<[^>]+>", " ", told).split())
        assert 'href="/bids/bid-1"' in (await anna.get("/"))[1]
        assert "Not offered by the model today" in (await anna.get("/"))[1]
        assert "Hendon Way" in told
        assert WHY in told
        assert [row.bid for row, _ in today_view(flow, "anna").not_offered] == ["bid-1"]
        slot, *_ = bid_view(flow, desk.bid("bid-1"), "anna").slots
        assert (slot.offered_kw, slot.base_kw, slot.held_kw) == (None, None, None)
        assert (
            ">0.0" not in (await anna.get("/bids/bid-1"))[1].partition("<tbody>")[2].partition("</tbody>")[0]
        )
        desk.parts.clock.set(NOW + timedelta(days=1))
        assert today_view(flow, "anna").not_offered == ()

"""What was lost on the way is made good: answers are given again, and no number is taken for another."""

import pytest

from tests.protocol.linked import linked
from tests.protocol.test_ven_event_life import IN, a_gateway
from tests.protocol.vtn import FakeVtn, an_event, distribute, response

ANSWER = "oadrCreatedEvent"


def versions(message):
    """Return the versions that an answer speaks of, as (event id, number, code)."""
    said = message.fields
    prefix = "eiCreatedEvent.eventResponses.eventResponse"
    return (
        said[f"{prefix}.qualifiedEventID.eventID"],
        int(said[f"{prefix}.qualifiedEventID.modificationNumber"]),
        int(said[f"{prefix}.responseCode"]),
    )


@pytest.mark.parametrize("refusal", [503, 500, 404, response(500, "busy")], ids=["503", "500", "404", "code"])
async def test_an_answer_that_was_not_taken_is_given_again_the_same(tmp_path, refusal):
    async with a_gateway(tmp_path) as gateway:
        gateway.vtn.answers[ANSWER] = [refusal] * 3
        gateway.vtn.events = (an_event(),)
        await gateway.deliver(an_event())
        await gateway.vtn.until(ANSWER, 4)
        answers = [versions(message) for message in gateway.vtn.received if message.name == ANSWER]
        assert answers == [("DSP-1", 0, 200)] * 4
        polls = gateway.vtn.names().count("oadrPoll")
        await gateway.vtn.until("oadrPoll", polls + 10)
        assert gateway.vtn.names().count(ANSWER) == 4
        assert gateway.asked_kw() == 30.0


async def test_polling_goes_on_while_no_answer_is_taken(tmp_path):
    async with a_gateway(tmp_path) as gateway:
        gateway.vtn.answers[ANSWER] = [500] * 1000
        gateway.vtn.events = (an_event(),)
        await gateway.deliver(an_event())
        await gateway.vtn.until(ANSWER, 3)
        assert gateway.asked_kw() == 30.0
        gateway.vtn.events = (an_event(modification=1, status="cancelled"),)
        await gateway.deliver(*gateway.vtn.events)
        assert gateway.asked_kw() is None
        assert gateway.vtn.names().count("oadrCreatePartyRegistration") == 1


async def test_an_empty_answer_to_a_poll_has_all_events_asked_for():
    async with FakeVtn(events=(an_event(),)) as vtn, linked(vtn) as (_, inbox):
        await inbox.batches(1)
        vtn.events = (an_event(), an_event("lost"))
        vtn.polls.append(b"")
        batches = await inbox.batches(2)
        assert [call.key.event_id for call in batches[1].calls] == ["DSP-1", "lost"]
        await vtn.until("oadrPoll", vtn.names().count("oadrPoll") + 5)
        assert vtn.names().count("oadrRequestEvent") == 2


async def test_an_event_that_was_missing_comes_back_under_the_platforms_next_number(tmp_path):
    async with a_gateway(tmp_path) as gateway:

        async def until_gone():
            gateway.vtn.polls.append(distribute())
            await gateway.vtn.until("oadrPoll", gateway.vtn.names().count("oadrPoll") + 4)
            assert gateway.asked_kw() is None

        assert await gateway.deliver(an_event()) == [IN]
        last = 0
        for number in (1, 2, 7):
            await until_gone()
            assert await gateway.deliver(an_event(modification=last)) == [(450, "optOut")]
            assert gateway.asked_kw() is None
            assert await gateway.deliver(an_event(modification=number, kw=(-10.0 - number,) * 2)) == [IN]
            assert versions(gateway.vtn.last(ANSWER)) == ("DSP-1", number, 200)
            assert gateway.asked_kw() == 10.0 + number
            last = number
        assert await gateway.deliver(an_event(modification=8, status="cancelled")) == [IN]
        assert gateway.asked_kw() is None
        assert await gateway.deliver(an_event(modification=9)) == [IN]
        assert gateway.asked_kw() == 30.0

"""Whatever is wrong within one event, its neighbour is read; and our numbers never meet the platform's."""

from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree

from aggregator.model.errors import BadMessage
from market_adapters.openadr.book import KnownEvent
from market_adapters.openadr.wire import event_faults, parse
from tests.protocol.vtn import an_event, distribute

SOUND = distribute(an_event("first"), an_event("second")).encode()
FIRST = parse(SOUND).body.events[0]
TEXTS = st.sampled_from(["", "x", "-1", "NaN", "cancelled", "P1Y", "2025-13-01T00:00:00Z", " ", "\u0663"])


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_an_event_is_read_beside_any_other(data):
    root = etree.fromstring(SOUND)
    second = list(root.iter("{*}oadrEvent"))[1]
    for _ in range(data.draw(st.integers(1, 3))):
        inside = list(second.iterdescendants())
        if not inside:
            break
        element = data.draw(st.sampled_from(inside))
        parent = element.getparent()
        match data.draw(st.sampled_from(["text", "rename", "drop", "double", "alien"])):
            case "text":
                element.text = data.draw(TEXTS)
            case "rename":
                element.tag = f"{{{data.draw(st.sampled_from(['u:x', etree.QName(element).namespace]))}}}y"
            case "drop":
                parent.remove(element)
            case "double":
                parent.append(etree.fromstring(etree.tostring(element)))
            case "alien":
                element.insert(0, etree.Element("{u:x}alien"))
    message = parse(etree.tostring(root))
    assert message.body.events[0] == FIRST
    assert len(message.body.events) == 2


@given(st.data())
@settings(max_examples=50, deadline=None)
def test_a_fault_outside_the_events_refuses_the_message(data):
    root = etree.fromstring(SOUND)
    (content,) = root.iter("{*}oadrDistributeEvent")
    place = data.draw(st.integers(0, len(content)))
    content.insert(place, etree.Element("{u:x}alien"))
    try:
        body = parse(etree.tostring(root)).body
    except BadMessage as bad:
        assert "alien" in str(bad)
    else:
        raise AssertionError(event_faults(body))


@given(st.sets(st.integers(1, 60)), st.integers(0, 200))
def test_the_platforms_numbers_and_ours_are_never_the_same(own, sent):
    known = KnownEvent(0, "dispatch", (), None, "", "", live=True, cancelled=False, own=tuple(sorted(own)))
    number = known.number_of(sent)
    assert number not in own
    assert known.number_sent(number) == sent
    assert known.number_of(sent + 1) > number

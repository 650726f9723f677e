import json
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal

import pytest

from aggregator.model.errors import BadMessage
from aggregator.model.opportunity import NEXT, Declined, Fact, GateClosed, Proposed, Received
from aggregator.store.codec import CONTENTS, FACTS, from_text, to_text
from tests.builders import NOON, a_draft, a_peak_window, a_requirement


def test_every_fact_of_the_table_has_a_name():
    assert set(FACTS.values()) == {kind for after in NEXT.values() for kind in after}
    assert {kind.__name__ for kind in Fact.__subclasses__()} == set(FACTS)


def test_the_text_is_canonical_and_keeps_ids_and_money_as_they_are():
    requirement = a_requirement(zone="007", utilisation_ceiling=Decimal("350.00"))
    text = to_text(Received(NOON, requirement))
    assert '"zone":"007"' in text
    assert '"utilisation_ceiling":"350.00"' in text
    assert '"at":"2025-01-15T12:00:00Z"' in text
    assert text == json.dumps(json.loads(text), sort_keys=True, separators=(",", ":"))


def test_equal_values_give_equal_bytes():
    summer = timezone(timedelta(hours=1))
    same = a_requirement(needed_kw=(40, 60, 60, 20.5))
    assert to_text(same) == to_text(a_requirement())
    assert to_text(GateClosed(NOON.astimezone(summer))) == to_text(GateClosed(NOON))


def test_what_is_read_is_in_pythons_own_utc_so_that_digests_of_it_hold():
    fact = Proposed(NOON, a_draft())
    back = from_text(FACTS, to_text(fact), "journal")
    assert repr(back) == repr(fact)
    assert back.at.tzinfo is UTC
    assert back.draft.sealed() == fact.draft


def test_what_an_event_was_about_is_told_apart_by_name():
    assert from_text(CONTENTS, to_text(a_peak_window()), "inbox") == a_peak_window()


@pytest.mark.parametrize(
    "value",
    [
        a_requirement(needed_kw=(float("nan"),)),
        a_requirement(needed_kw=(float("inf"),)),
        a_requirement(utilisation_ceiling=Decimal("NaN")),
        a_requirement(needed_kw=[1.0]),
        a_requirement(zone=7),
        GateClosed(datetime(2025, 1, 15, 12)),  # noqa: DTZ001 - this is what is refused
    ],
)
def test_what_could_not_be_read_back_is_not_written(value):
    with pytest.raises((ValueError, BadMessage)):
        to_text(value)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "JSON"),
        ("[]", "one of"),
        ('{"Exploded":{}}', "Exploded"),
        ('{"GateClosed":{"at":"2025-01-15T12:00:00Z"},"Closed":{}}', "one of"),
        ('{"GateClosed":{"at":"2025-01-15T12:00:00Z","why":"x"}}', "why"),
        ('{"GateClosed":{"at":"yesterday"}}', "GateClosed.at"),
        ('{"GateClosed":null}', "GateClosed"),
    ],
)
def test_a_text_that_holds_no_fact_is_refused_with_its_place(text, told):
    with pytest.raises(BadMessage) as refused:
        from_text(FACTS, text, "journal: opportunity-1, version 3")
    assert told in str(refused.value)
    assert all(fault.where.startswith("journal: opportunity-1, version 3") for fault in refused.value.faults)


def test_all_faults_of_a_text_are_told_at_once():
    text = to_text(Declined(NOON, "no cars", "ann")).replace('"ann"', "1").replace('"no cars"', "2")
    with pytest.raises(BadMessage) as refused:
        from_text(FACTS, text, "journal")
    assert [fault.where for fault in refused.value.faults] == [
        "journal: Declined.reason",
        "journal: Declined.by",
    ]

"""What the control loop follows, as the journal has it."""

from datetime import timedelta

import pytest

from aggregator.book import Book
from aggregator.model.opportunity import DeliveryEnded, DeliveryStarted, Instructed
from aggregator.store import open_store
from tests.builders import EVENING, NOON, ZONE, an_instruction

SECOND = timedelta(seconds=1)
RUNS = [Instructed(NOON, an_instruction()), DeliveryStarted(EVENING.start)]


@pytest.mark.parametrize("facts", [RUNS, [*RUNS, DeliveryEnded(EVENING.end)]])
def test_an_order_is_over_at_its_end_whether_or_not_the_journal_says_so_yet(tmp_path, facts):
    """Else all cars of the zone begin to charge in the first cycle after the event."""
    with open_store(f"sqlite:///{tmp_path / 'flexloop.db'}", create=True) as store:
        store.journal.append_many("one", facts, expected_version=0, by="test", recorded_at=NOON)
        book = Book(store, (ZONE,))
        book.refresh(EVENING.end)
        assert book.rebound(ZONE, EVENING.end - SECOND) is None
        assert book.rebound(ZONE, EVENING.end).ended_at == EVENING.end

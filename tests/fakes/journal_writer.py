"""Appends opportunities as fast as it can and says each one's id once it is durable; to be killed."""

import sys
from itertools import count

from aggregator.model.opportunity import Proposed, Received
from aggregator.store import open_store
from tests.builders import NOON, a_draft, a_report, a_requirement, an_event_key, an_inbox_entry


def main(url: str, first: int) -> None:
    with open_store(url, create=False) as store:
        taken = len(store.journal.ids())
        for n in count(max(first, taken)):
            key = an_event_key(event_id=f"event-{n}")
            name = f"opportunity-{n}"
            store.journal.append_many(
                name,
                [Received(NOON, a_requirement(key=key)), Proposed(NOON, a_draft())],
                expected_version=0,
                by="writer",
                recorded_at=NOON,
                inbox=an_inbox_entry(key=key),
                reports=[a_report(report_id=f"report-{n}", request_id=name)],
            )
            sys.stdout.write(name + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))

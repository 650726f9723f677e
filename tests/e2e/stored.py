"""What the gateway stored, as the things that a test asks about."""

from collections import Counter

from aggregator.audit.messages import event_key
from aggregator.demo.run import Stage
from aggregator.store import open_store

from .traffic import Version


def fact_versions(stage: Stage) -> Counter[Version]:
    """Return how many facts there are for each event version that a platform was told we took."""
    with open_store(stage.url, create=False) as store:
        return Counter(
            Version(key.event_id, key.modification)
            for _, recorded in store.journal.all_facts()
            if (key := event_key(recorded.fact)) is not None
        )

"""What the gateway stored, as the things that a test asks about."""

from collections import Counter

from aggregator.audit.messages import event_key
from aggregator.demo.run import Stage
from aggregator.store import open_store

from .traffic import Version


def unheard_ends(stage: Stage) -> set[Version]:
    """Return the event versions that ended what no gateway had heard of: each is noted, and no fact."""
    with open_store(stage.url, create=False) as store:
        return {
            Version(entry.key.event_id, entry.key.modification)
            for entry in store.inbox.all()
            if entry.cancelled and entry.reason == "nothing of it runs"
        }


def fact_versions(stage: Stage) -> Counter[Version]:
    """Return how many facts there are for each event version that a platform was told we took."""
    with open_store(stage.url, create=False) as store:
        return Counter(
            Version(key.event_id, key.modification)
            for _, recorded in store.journal.all_facts()
            if (key := event_key(recorded.fact)) is not None
        )

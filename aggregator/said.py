"""What drivers said, kept in memory: a control cycle waits for no database.

The store is the truth; words are told through here only, one at a time. So whoever asks what was known by an
instant that has passed gets all of it: a word that is being stored holds the others up until it is there.

Each word is a row of the trail, too, in the same transaction: the chain covers who told it, when, of which
car, and in ``asked`` the SHA-256 of what exactly was said and until when it holds.
"""

import hashlib
import threading
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime

from aggregator.acting import DONE
from aggregator.model.drivers import Word, Words, in_words, latest
from aggregator.model.time import utc_text
from aggregator.ports import EPOCH, Clock
from aggregator.store import BY_A_DRIVER, DeskAction, Store
from aggregator.store.codec import to_text
from aggregator.store.drivers import key_of

UNTOLD = EPOCH
"""Stands for when a word is told until it is."""


class DriversSaid:
    """The latest words of all drivers."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._telling = threading.Lock()
        self._words: Mapping[str, Words] = latest(store.drivers.all())

    def words(self) -> Mapping[str, Words]:
        """Return the latest words by car."""
        return self._words

    def say(self, word: Word, expected_version: int) -> Word:
        """Store a word as told now, durably, before returning; it holds from then on.

        Raises:
            RuleViolation: If another word was told meanwhile; nothing is stored.
        """
        with self._telling:
            with self._store.at_once():
                stored = self._store.drivers.say(replace(word, told_at=self._clock.now()), expected_version)
                self._store.desk_trail.add(trail_row(stored))
            mine = {**self._words.get(word.car_id, {}), word.topic: stored}
            self._words = {**self._words, word.car_id: mine}
        return stored

    def known_by(self, at: datetime) -> Mapping[str, Words]:
        """Return the latest words that were told by an instant that has passed."""
        with self._telling:
            return latest(self._store.drivers.all(), at)


def trail_row(word: Word) -> DeskAction:
    """Return the row of the trail that tells of a word."""
    until = "" if word.until is None else utc_text(word.until)
    exact = f"{'' if word.saying is None else to_text(word.saying)} {until}"
    return DeskAction(
        at=word.told_at,
        user=word.told_by,
        action=word.topic.value,
        subject=word.car_id,
        draft="",
        status=DONE,
        said=in_words(word),
        key=key_of(word),
        asked=hashlib.sha256(exact.encode()).hexdigest(),
        via=BY_A_DRIVER,
    )

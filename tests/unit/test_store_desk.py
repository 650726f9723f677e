"""Passwords, sessions and the trail of the desk, on each database."""

from datetime import timedelta

import pytest
from sqlalchemy.exc import IntegrityError

from aggregator.store import DeskAction, Lasting, SignedIn
from tests.builders import NOON

HOUR = timedelta(hours=1)
ANN = SignedIn("ann")
LASTING = Lasting(2 * HOUR, 4 * HOUR), Lasting(10 * HOUR, 100 * HOUR)


def an_action(**changes):
    usual = {
        "at": NOON,
        "user": "ann",
        "action": "check",
        "subject": "bid-1",
        "draft": "d" * 64,
        "status": 200,
        "said": "checked by ann",
        "key": "once",
        "asked": "a" * 64,
    }
    return DeskAction(**{**usual, **changes})


def test_a_session_is_its_secrets_and_ends(store):
    people = store.desk_people
    people.set_password("ann", "hash-1", NOON)
    secret = people.sign_in(ANN, NOON)
    assert people.who(secret, NOON + HOUR, *LASTING) == ANN
    assert people.who(secret, NOON + 2.5 * HOUR, *LASTING) == ANN, "it was used meanwhile"
    assert people.who(secret, NOON + 4 * HOUR, *LASTING) is None
    assert people.who("another", NOON, *LASTING) is None
    people.sign_out(secret)
    assert people.who(secret, NOON + HOUR, *LASTING) is None


def test_a_drivers_session_lasts_longer_and_ends_with_the_token(store):
    people = store.desk_people
    token, _ = store.tokens.make("ann", NOON)  # a car may be called as a user is
    driver = SignedIn("ann", token.token_id)
    secret = people.sign_in(driver, NOON)
    people.set_password("ann", "hash-1", NOON)
    assert people.who(secret, NOON + 9 * HOUR, *LASTING) == driver
    assert people.who(secret, NOON + 20 * HOUR, *LASTING) is None
    assert people.who(people.sign_in(SignedIn("car-2", "0" * 12), NOON), NOON, *LASTING) is None
    store.tokens.revoke(token.token_id, NOON + HOUR)
    assert people.who(secret, NOON + 9 * HOUR, *LASTING) is None


def test_a_new_password_takes_the_old_ones_place_and_its_sessions(store):
    people = store.desk_people
    assert people.password_hash("ann") is None
    people.set_password("ann", "hash-1", NOON)
    mine, others = people.sign_in(ANN, NOON), people.sign_in(SignedIn("bob"), NOON)
    people.set_password("ann", "hash-2", NOON + HOUR)
    assert people.password_hash("ann") == "hash-2"
    assert people.who(mine, NOON + HOUR, *LASTING) is None
    assert people.who(others, NOON + HOUR, *LASTING) == SignedIn("bob")


def test_the_trail_keeps_what_was_done_and_each_key_once(store):
    trail = store.desk_trail
    first = trail.add(an_action())
    second = trail.add(an_action(user="bob", subject="bid-2"))
    assert trail.by_key("ann", "once") == first
    assert trail.by_key("ann", "twice") is None
    assert trail.about("bid-2") == [second]
    assert trail.of_user("ann", [first.action_id, second.action_id]) == [first]
    assert trail.all() == [first, second]
    with pytest.raises(IntegrityError):
        trail.add(an_action())
    assert trail.all() == [first, second]


def test_an_action_and_its_row_are_one_transaction(store):
    with pytest.raises(KeyError), store.at_once():
        store.desk_trail.add(an_action())
        raise KeyError("between")
    assert store.desk_trail.all() == []

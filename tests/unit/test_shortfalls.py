"""What is told of targets that will be missed: only what anybody could tell."""

import pytest

from dispatch.notices import SHORT_OF_TARGET
from dispatch.records import Notice
from dispatch.shortfalls import Shortfalls
from tests.builders import NOON, a_car


@pytest.mark.parametrize(("kwh", "told"), [(0.0, 0), (0.08, 0), (0.4, 0), (0.41, 1), (5.0, 1)])
def test_less_than_a_step_of_reported_charge_is_no_news(kwh, told):
    shortfalls = Shortfalls(soc_step=0.01)
    shortfalls.begin(())
    notices = shortfalls.note(a_car(capacity_kwh=40.0), kwh, None, NOON)
    shortfalls.finish()
    assert (len(notices), len(shortfalls.kwh)) == (told, told)


def test_what_comes_and_goes_by_less_than_a_kwh_is_told_once_a_stay():
    shortfalls, car, told = Shortfalls(soc_step=0.01), a_car(capacity_kwh=40.0), []
    for kwh in (0.77, 0.0, 0.64, 1.5, 1.78, 0.0, 2.0):
        shortfalls.begin(())
        told += [kwh for _ in shortfalls.note(car, kwh, None, NOON)]
        shortfalls.finish()
    assert told == [0.77, 1.78, 2.0]
    shortfalls.forget([car.car_id])
    assert len(shortfalls.note(car, 2.0, None, NOON)) == 1


def test_what_was_told_before_a_restart_goes_on_though_little_is_known_at_first():
    shortfalls, car = Shortfalls(soc_step=0.01), a_car(capacity_kwh=40.0)
    shortfalls.recall([Notice(NOON, SHORT_OF_TARGET, car.car_id, "", amount=1.0)])
    shortfalls.begin([car.car_id])  # it is heard of for the first time
    assert shortfalls.note(car, 0.0, None, NOON) == []
    shortfalls.begin([car.car_id])
    (again,) = shortfalls.note(car, 1.2, None, NOON)
    assert again.goes_on
    shortfalls.left([car.car_id])
    shortfalls.begin([car.car_id])
    (new,) = shortfalls.note(car, 1.2, None, NOON)
    assert not new.goes_on

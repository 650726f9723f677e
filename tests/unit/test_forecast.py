"""Scenarios from plug-in history: like days, clock changes, what drivers said, cars without history."""

from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta

import pytest

from aggregator.forecast import Calendar, History, Horizon, Scenario, Session, StatedIntent, scenarios
from aggregator.model.fleet import Car, Charger, ExportSource, Intent, Site
from aggregator.model.time import LONDON, Interval

WEDNESDAY = date(2024, 12, 11)
MORNING = datetime(2024, 12, 11, 9, tzinfo=UTC)


def a_car(name: str = "a", capacity_kwh: float = 40.0) -> Car:
    home = Site(f"home-{name}", "z1", 7.4, ExportSource.G99, 18.4)
    charger = Charger(f"c-{name}", 7.4, 7.4, 0.9, 0.9)
    return Car(name, capacity_kwh, 0.3, Intent(time(7), 0.8), charger, home)


def local(day: date, hour: int, minute: int = 0) -> datetime:
    return datetime.combine(day, time(hour, minute), LONDON)


def evening(day: date, name: str = "a", soc: float = 0.5) -> Session:
    """Home from 17:10 to 06:50 the next day."""
    plugged = Interval(local(day, 17, 10), local(day + timedelta(days=1), 6, 50))
    return Session(name, plugged, 10.0, soc)


def drawn(
    *sessions: Session, day: date = WEDNESDAY, at: datetime = MORNING, **more: object
) -> tuple[Scenario, ...]:
    cars = more.pop("cars", [a_car()])
    return scenarios(History.of(sessions), cars, Horizon(day), at, more.pop("count", 10), **more)  # type: ignore[arg-type]


def days_before(day: date, count: int) -> list[date]:
    return [day - timedelta(days=back) for back in range(1, count + 1)]


def test_the_latest_days_of_the_same_kind_that_are_over_count() -> None:
    history = [evening(day) for day in days_before(WEDNESDAY, 14)]
    labels = [scenario.label for scenario in drawn(*history, count=4)]
    assert labels == ["2024-12-09", "2024-12-06", "2024-12-05", "2024-12-04"]
    saturday = [one.label for one in drawn(*history, day=date(2024, 12, 14), count=9)]
    assert saturday == ["2024-12-08", "2024-12-07", "2024-12-01", "2024-11-30"]


def test_days_of_more_than_six_weeks_ago_do_not_count() -> None:
    history = [evening(day) for day in days_before(WEDNESDAY, 90)]
    saturday = drawn(*history, day=date(2024, 12, 14), count=100)
    assert (len(saturday), saturday[-1].label) == (12, "2024-11-02")
    assert len(drawn(*history, count=100)) == 30


def test_a_day_counts_only_once_its_horizon_is_over() -> None:
    history = [evening(date(2024, 12, 9)), evening(date(2024, 12, 10))]
    assert drawn(*history, at=datetime(2024, 12, 11, 11, 59, tzinfo=UTC))[0].label == "2024-12-09"
    assert drawn(*history, at=datetime(2024, 12, 11, 12, tzinfo=UTC))[0].label == "2024-12-10"


def test_no_history_no_scenario() -> None:
    assert drawn() == ()
    assert drawn(evening(WEDNESDAY)) == ()


def test_slots_are_whole_ones_within_the_stay_and_energy_is_that_on_arrival() -> None:
    stay = drawn(evening(date(2024, 12, 9), soc=0.45), intents={})[0].stay
    assert (stay.arrive_slot[0], stay.depart_slot[0]) == (11, 37)
    assert stay.energy_kwh[0] == pytest.approx(18.0)
    assert stay.target_kwh[0] == pytest.approx(32.0)


def test_who_leaves_before_the_usual_time_unannounced_is_owed_what_nobody_could_know_less() -> None:
    # gone 10 minutes before 07:00: what full power gives in 10 minutes is still missing then
    stay = drawn(evening(date(2024, 12, 9), soc=0.45))[0].stay
    assert stay.target_kwh[0] == pytest.approx(32.0 - 7.4 * 0.9 / 6)


def test_what_is_learnt_later_changes_nothing() -> None:
    past = [evening(day) for day in days_before(WEDNESDAY, 7)[1:]]
    later = [evening(WEDNESDAY, soc=0.9), evening(WEDNESDAY + timedelta(days=1), "b", 0.9)]
    for known, more in zip(drawn(*past), drawn(*past, *later), strict=True):
        assert known.stay.energy_kwh == pytest.approx(more.stay.energy_kwh)
        assert list(known.stay.depart_slot) == list(more.stay.depart_slot)


def test_a_driver_s_word_overrides_the_default() -> None:
    said = {"a": StatedIntent(local(WEDNESDAY, 22), 0.6)}
    stay = drawn(evening(date(2024, 12, 9)), intents=said)[0].stay
    assert stay.depart_slot[0] == 20
    assert stay.target_kwh[0] == pytest.approx(24.0)


def test_a_word_that_is_over_before_the_car_comes_is_not_about_this_stay() -> None:
    said = {"a": StatedIntent(local(WEDNESDAY, 15), 1.0)}
    stay = drawn(evening(date(2024, 12, 9)), intents=said)[0].stay
    assert stay.depart_slot[0] == 37
    assert stay.target_kwh[0] == pytest.approx(32.0)


def test_a_driver_s_word_overrides_the_past_day_s_departure() -> None:
    said = {"a": StatedIntent(local(WEDNESDAY + timedelta(days=1), 9), 1.0)}
    stay = drawn(evening(date(2024, 12, 9)), intents=said)[0].stay
    assert stay.depart_slot[0] == 42
    assert stay.target_kwh[0] == pytest.approx(40.0)


def test_a_driver_who_leaves_early_has_said_so_and_the_target_is_due_then() -> None:
    plugged = Interval(local(date(2024, 12, 9), 16), local(date(2024, 12, 9), 20, 20))
    stay = drawn(Session("a", plugged, 5.0, 0.5))[0].stay
    assert (stay.arrive_slot[0], stay.depart_slot[0]) == (8, 16)


def test_the_stay_over_the_peak_counts_else_the_longest() -> None:
    day = date(2024, 12, 9)
    short = Session("a", Interval(local(day, 17), local(day, 18)), 3.0, 0.4)
    night = Session("a", Interval(local(day, 20), local(day + timedelta(days=1), 6)), 9.0, 0.35)
    assert drawn(short, night)[0].stay.energy_kwh[0] == pytest.approx(16.0)
    noon = Session("a", Interval(local(day, 12, 30), local(day, 14)), 3.0, 0.4)
    assert drawn(noon, night)[0].stay.energy_kwh[0] == pytest.approx(14.0)


def test_a_car_that_was_away_that_day_is_absent() -> None:
    history = [evening(date(2024, 12, 6)), evening(date(2024, 12, 9), "b")]
    first, second = drawn(*history, cars=[a_car(), a_car("b")])[:2]
    assert first.label == "2024-12-09"
    assert list(first.stay.present) == [False, True]
    assert second.label == "2024-12-06"
    assert second.stay.present[0]


def test_a_car_plugged_in_before_the_horizon_has_gained_what_its_session_took() -> None:
    day = date(2024, 12, 9)
    plugged = Interval(local(day, 10), local(day + timedelta(days=1), 6))
    stay = drawn(Session("a", plugged, 8.0, 0.4))[0].stay
    assert stay.arrive_slot[0] == 0
    assert stay.energy_kwh[0] == pytest.approx(16.0 + 0.9 * 8.0)
    quick = drawn(Session("a", Interval(local(day, 11, 30), plugged.end), 8.0, 0.4))[0].stay
    assert quick.energy_kwh[0] == pytest.approx(16.0 + 0.9 * 3.7)


def test_a_bank_holiday_goes_like_a_weekend_and_no_weekday_goes_like_it() -> None:
    """26 August 2024 was a bank holiday in England, a Monday; not in Norway."""
    history = [evening(day) for day in days_before(date(2024, 8, 28), 9)]
    on_it = drawn(*history, day=date(2024, 8, 26), at=local(date(2024, 8, 26), 12), count=2)
    assert [one.label for one in on_it] == ["2024-08-25", "2024-08-24"]
    after = drawn(*history, day=date(2024, 8, 28), at=local(date(2024, 8, 28), 9), count=2)
    assert [one.label for one in after] == ["2024-08-23", "2024-08-22"]
    oslo = {"day": date(2024, 8, 28), "at": local(date(2024, 8, 28), 9), "count": 1}
    assert drawn(*history, **oslo, calendar=Calendar("NO"))[0].label == "2024-08-26"


def test_the_days_around_christmas_are_off_work() -> None:
    history = [evening(day) for day in days_before(date(2025, 1, 3), 20)]
    labels = [one.label for one in drawn(*history, day=date(2025, 1, 3), at=local(date(2025, 1, 3), 12))]
    assert labels == ["2025-01-02", *(f"2024-12-{day}" for day in (23, 20, 19, 18, 17, 16))]


@pytest.mark.parametrize("code", ["XX", "GB-XXX", "GB-"])
def test_a_calendar_must_be_known(code: str) -> None:
    with pytest.raises(ValueError, match="none"):
        Calendar.named(code)


def test_a_car_not_seen_for_three_weeks_is_away_until_it_comes_again() -> None:
    left = [evening(day, "gone") for day in days_before(WEDNESDAY - timedelta(days=21), 20)]
    stayed = [evening(day) for day in days_before(WEDNESDAY, 41)]
    cars = [a_car(), a_car("gone")]
    for one in drawn(*left, *stayed, cars=cars, count=25):
        assert list(one.stay.present) == [True, False], one.label
    back = evening(WEDNESDAY - timedelta(days=1), "gone")
    again = drawn(*left, *stayed, back, cars=cars, count=25)
    assert again[-1].stay.present[1]


def test_new_cars_are_like_any_of_those_about_another_one_each_day() -> None:
    names = [f"old-{number}" for number in range(40)]
    home = [
        evening(day, name, 0.5)
        for number, name in enumerate(names)
        for day in days_before(WEDNESDAY, 27)
        if (number + day.toordinal()) % 2
    ]
    long_gone = [evening(date(2024, 1, 8), f"gone-{number}") for number in range(200)]
    new = [a_car(f"new-{number}") for number in range(200)]
    share = [one.stay.present.mean() for one in drawn(*home, *long_gone, cars=new, count=15)]
    assert min(share) > 0.35
    assert max(share) < 0.65
    first = [bool(one.stay.present[0]) for one in drawn(*home, cars=new, count=15)]
    assert 0 < sum(first) < 15


def test_a_car_with_three_days_of_its_own_borrows_only_what_was_before() -> None:
    donor = [evening(day, "b", 0.6) for day in days_before(WEDNESDAY, 14)]
    own = [evening(day, "new", 0.4) for day in days_before(WEDNESDAY, 2)]
    drawn_kwh = [one.stay.energy_kwh[0] for one in drawn(*donor, *own, cars=[a_car("new")], count=4)]
    assert drawn_kwh == pytest.approx([16.0, 24.0, 24.0, 24.0])


def test_a_new_car_borrows_a_stay_with_its_own_capacity_the_same_each_time() -> None:
    history = [evening(date(2024, 12, 9), name, soc) for name, soc in (("a", 0.4), ("b", 0.6))]
    cars = [a_car("a"), a_car("b"), a_car("new", 60.0)]
    stay = drawn(*history, cars=cars)[0].stay
    assert stay.energy_kwh[2] in (pytest.approx(24.0), pytest.approx(36.0))
    again = drawn(*reversed(history), cars=cars)[0].stay
    assert again.energy_kwh == pytest.approx(stay.energy_kwh)


@pytest.mark.parametrize(
    ("day", "slots", "depart"),
    [(date(2025, 3, 29), 46, 35), (date(2024, 10, 26), 50, 39), (date(2024, 12, 14), 48, 37)],
)
def test_a_stay_keeps_its_clock_times_over_a_clock_change(day: date, slots: int, depart: int) -> None:
    like = day - timedelta(days=7)
    stay = drawn(evening(like), day=day, at=local(day, 9))[-1].stay
    assert len(Horizon(day).slots) == slots
    assert (stay.arrive_slot[0], stay.depart_slot[0]) == (11, depart)


@pytest.mark.parametrize(
    ("day", "arrive", "depart"), [(date(2025, 3, 29), 27, 25), (date(2024, 10, 26), 29, 27)]
)
def test_a_doubtful_hour_counts_against_the_car(day: date, arrive: int, depart: int) -> None:
    """01:30 does not exist on 30 March 2025 and comes twice on 27 October 2024."""
    like = day - timedelta(days=7)
    night = like + timedelta(days=1)
    comes = Session("a", Interval(local(night, 1, 30), local(night, 6)), 5.0, 0.5)
    leaves = Session("a", Interval(local(like, 18), local(night, 1, 30)), 5.0, 0.5)
    assert drawn(comes, day=day, at=local(day, 9))[-1].stay.arrive_slot[0] == arrive
    assert drawn(leaves, day=day, at=local(day, 9))[-1].stay.depart_slot[0] == depart


def the_other(*sessions: Session, **more: object) -> tuple[float, ...]:
    other = drawn(*sessions, **more)[0].other
    return tuple(
        float(values[0])
        for values in (other.arrive_slot, other.depart_slot, other.energy_kwh, other.target_kwh)
    )


def test_a_car_there_beyond_the_time_it_is_due_is_full_then_and_due_the_day_after() -> None:
    # Due at 07:00, slot 38: there to 11:10 all the same, with the 32 kWh that were promised.
    long = Session(
        "a", Interval(local(date(2024, 12, 9), 17, 10), local(date(2024, 12, 10), 11, 10)), 9.0, 0.5
    )
    assert the_other(long) == (39.0, 46.0, pytest.approx(32.0), pytest.approx(32.0))


def test_a_car_that_could_not_be_full_when_due_has_what_full_power_gave() -> None:
    # From 05:10 on, slots 35 to 38: 1.5 h x 7.4 kW x 0.9 on top of 4 kWh.
    late = Session(
        "a", Interval(local(date(2024, 12, 10), 5, 10), local(date(2024, 12, 10), 11, 10)), 9.0, 0.1
    )
    assert the_other(late)[2] == pytest.approx(4.0 + 1.5 * 7.4 * 0.9)


def test_the_longest_stay_beside_the_main_one_counts_too() -> None:
    day = date(2024, 12, 9)
    noon = Session("a", Interval(local(day, 12, 20), local(day, 15)), 3.0, 0.6)
    short = Session("a", Interval(local(day, 15, 10), local(day, 15, 50)), 1.0, 0.6)
    assert the_other(evening(day), noon, short) == (1.0, 6.0, pytest.approx(24.0), 0.0)  # due at 07:00 only
    assert the_other(evening(day), noon, short, intents={}) == (1.0, 6.0, 24.0, pytest.approx(32.0))
    assert the_other(evening(day)) == (0.0, 0.0, 0.0, 0.0)


def test_cars_that_share_a_home_and_drivers_that_have_spoken_have_the_main_stay_only() -> None:
    day = date(2024, 12, 9)
    noon = Session("a", Interval(local(day, 12, 20), local(day, 15)), 3.0, 0.6)
    both = [a_car(), replace(a_car("b"), site=a_car().site)]
    assert the_other(evening(day), noon, cars=both) == (0.0, 0.0, 0.0, 0.0)
    said = {"a": StatedIntent(local(date(2024, 12, 12), 9), 0.7)}
    assert the_other(evening(day), noon, intents=said) == (0.0, 0.0, 0.0, 0.0)

"""Whether a car does what it is told, judged by its registers."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from dispatch.following import Following
from tests.builders import a_car, a_car_report, a_set_point

NOON = datetime(2025, 1, 15, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def run(told_w, moved_w, *, soc=0.6, following=None, since=0, boost=False):
    """Tell a car something each minute, and let its registers show what it moved; return the watcher."""
    following = following or Following({"car-1": a_car()})
    report = a_car_report(soc=soc, boost=boost, import_wh=10**6, export_wh=10**6)
    exported = 0.0
    for n, (told, moved) in enumerate(zip(told_w, moved_w, strict=True), since):
        at = NOON + n * MINUTE
        following.told([a_set_point(export_w=told, issued_at=at, expires_at=at + 2 * MINUTE)])
        if n == since:
            following.observe([replace(report, measured_at=at)])
        exported += moved / 60
        registers = {"export_wh": 10**6 + round(max(exported, 0))} if exported > 0 else {}
        registers |= {"import_wh": 10**6 + round(-exported)} if exported < 0 else {}
        following.observe([replace(report, measured_at=at + MINUTE, **registers)])
    return following


@pytest.mark.parametrize(
    ("told", "moved"),
    [
        ([6000] * 6, [6000] * 6),
        ([6000] * 6, [5600] * 6),  # a tenth off, and within it
        ([0] * 6, [0] * 6),
        ([-7000] * 6, [-6800] * 6),
        ([-7000] * 6, [-5000] * 6),  # its battery slows down, sooner than is known
        ([0, 0, 6000, 6000, 6000], [0, 0, 5000, 6000, 6000]),  # it takes some seconds to turn
        ([6000, 5000, 3000, 4000, 6000], [6000, 5500, 4100, 3600, 5500]),
    ],
)
def test_a_car_that_does_about_what_it_is_told_follows(told, moved):
    following = run(told, moved)
    assert following.follows("car-1")
    assert following.new_faults() == ()


@pytest.mark.parametrize(
    ("told", "moved"),
    [([6000] * 4, [0] * 4), ([6000] * 4, [3600] * 4), ([0] * 4, [-3000] * 4), ([2000] * 4, [6000] * 4)],
)
def test_a_car_that_does_something_else_is_found_after_two_reports_and_told_once(told, moved):
    following = run(told, moved)
    assert not following.follows("car-1")
    (fault,) = following.new_faults()
    assert fault.told_kw == pytest.approx(told[0] / 1000)
    assert fault.measured_kw == pytest.approx(moved[0] / 1000, abs=0.07)  # registers count whole Wh
    assert following.new_faults() == ()
    assert following.measured_kw("car-1") == pytest.approx(moved[0] / 1000, abs=0.07)


def test_one_odd_minute_is_forgiven():
    assert run([6000] * 5, [6000, 0, 6000, 0, 6000]).follows("car-1")


def test_a_battery_nearly_full_may_charge_ever_less():
    assert run([-7000] * 4, [-3000] * 4, soc=0.85).follows("car-1")
    assert not run([-7000] * 4, [-3000] * 4, soc=0.5).follows("car-1")


def test_of_a_battery_that_says_nothing_only_no_power_at_all_is_a_fault():
    assert run([-7000] * 4, [-3000] * 4, soc=None).follows("car-1")
    silent = run([-7000] * 8, [0] * 8, soc=None)
    (fault,) = silent.new_faults()
    assert (fault.told_kw, fault.measured_kw, fault.may_be_full) == (-7.0, 0.0, True)
    (fault,) = run([6000] * 4, [0] * 4, soc=None).new_faults()
    assert (fault.told_kw, fault.may_be_full) == (6.0, False)


def test_a_car_that_follows_again_is_counted_on_again():
    following = run([6000] * 4, [0] * 4)
    run([1000] * 3, [1000] * 3, following=following, since=5)
    assert following.follows("car-1")


def test_a_car_that_does_nothing_is_not_believed_when_nothing_is_what_it_is_told():
    following = run([6000] * 4, [0] * 4)
    run([0] * 4, [0] * 4, following=following, since=5)
    assert not following.follows("car-1")
    run([1000] * 3, [1000] * 3, following=following, since=10)
    assert following.follows("car-1")
    assert len(following.new_faults()) == 1


def test_a_charger_that_did_not_take_a_set_point_is_not_counted_on():
    following = run([6000] * 3, [6000] * 3)
    following.not_taken(["car-1"])
    assert not following.follows("car-1")


def test_what_is_done_after_a_set_point_ran_out_is_not_judged():
    following = Following({"car-1": a_car()})
    following.told([a_set_point(export_w=6000, issued_at=NOON, expires_at=NOON + MINUTE)])
    report = a_car_report(soc=0.6, export_wh=0, import_wh=0)
    for n in range(6):
        following.observe([replace(report, measured_at=NOON + n * MINUTE)])
    assert following.follows("car-1")


def test_a_register_that_is_reset_tells_nothing():
    following = run([6000] * 3, [6000] * 3)
    report = a_car_report(soc=0.6, export_wh=0, import_wh=0)
    for n in range(3, 5):
        following.observe([replace(report, measured_at=NOON + n * MINUTE + MINUTE)])
    assert following.follows("car-1")


def test_reports_that_come_every_few_seconds_are_judged_together():
    following, report, exported = Following({"car-1": a_car()}), a_car_report(soc=0.6, export_wh=10**6), 0.0
    for n in range(12):
        at = NOON + n * timedelta(seconds=10)
        following.told([a_set_point(export_w=6000, issued_at=at, expires_at=at + 2 * MINUTE)])
        following.observe([replace(report, measured_at=at, export_wh=10**6 + round(exported))])
        exported += 3000 / 360
    assert not following.follows("car-1")
    assert following.measured_kw("car-1") == pytest.approx(3.0, abs=0.2)
    assert len(following.new_faults()) == 1


def test_what_a_battery_takes_less_than_told_is_known():
    following = run([-7000] * 4, [-3000] * 4, soc=0.85)
    assert following.idle_kw("car-1") == pytest.approx(4.0, abs=0.1)
    run([-7000] * 3, [-7000] * 3, soc=0.85, following=following, since=5)
    assert following.idle_kw("car-1") == pytest.approx(0.0, abs=0.1)
    assert run([6000] * 4, [0] * 4).idle_kw("car-1") == 0.0


@pytest.mark.parametrize("jump_wh", [10_000_000, -10_000_000, 40_000_000_000])
def test_a_register_that_jumps_tells_nothing_of_a_power(jump_wh):
    following = run([6000] * 4, [0] * 4)
    assert not following.follows("car-1")
    at = NOON + 5 * MINUTE
    following.observe([a_car_report(measured_at=at, soc=0.6, import_wh=10**6, export_wh=10**6 + jump_wh)])
    assert following.measured_kw("car-1") == 0.0
    following.observe([a_car_report(measured_at=at + MINUTE, soc=0.6, import_wh=10**6, export_wh=10**6)])
    assert following.measured_kw("car-1") == 0.0


@pytest.mark.parametrize(("minutes", "levels"), [(5, (1000, 3000)), (40, (3000,))])
def test_a_fault_goes_on_while_no_recovery_was_seen(minutes, levels):
    """A charger that hears nothing may do as it is told a while, or for long if that is always the same."""
    following = run([6000] * 4, [0] * 4)
    assert [fault.goes_on for fault in following.new_faults()] == [True]
    good = [levels[n % len(levels)] for n in range(minutes)]
    run(good, good, following=following, since=5)
    assert following.follows("car-1")
    run([6000] * 4, [0] * 4, following=following, since=5 + minutes)
    assert [fault.goes_on for fault in following.new_faults()] == [True]


def test_a_fault_after_half_an_hour_of_following_is_another():
    following = run([6000] * 4, [0] * 4)
    following.new_faults()
    good = [1000] * 20 + [3000] * 20
    run(good, good, following=following, since=5)
    for since in (50, 60):
        run([6000] * 4, [0] * 4, following=following, since=since)
        run([1000] * 3, [1000] * 3, following=following, since=since + 5)
    assert [fault.goes_on for fault in following.new_faults()] == [False, True]

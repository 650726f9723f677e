"""What a script can make go wrong with simulated cars and chargers, and what of it a gateway hears."""

from pathlib import Path

import pytest

from aggregator.model.errors import BadMessage
from aggregator.model.metering import Outcome
from dispatch.fleet_simulator.troubles import Kind, Trouble, Troubles, read_troubles
from dispatch.links.messages import PointRow
from tests.fakes.simulated_fleet import FIVE_PM, HOUR, MINUTE, Watched, a_leaf, a_stay, charging_from

NAMES = [f"leaf-{n}" for n in range(1, 21)]


def at_home(*troubles, arrival_soc=0.7, **settings):
    """One car, plugged in since five o'clock, with what is wrong with it."""
    stay = a_stay(arrival_soc=arrival_soc)
    watched = Watched([a_leaf()], [stay], troubles=[Trouble(**one) for one in troubles], **settings)
    watched.world.advance(FIVE_PM)
    return watched


def told(watched, export_w=3000, minutes=30, at=FIVE_PM):
    point = PointRow(car_id="leaf-1", export_w=export_w, expires_at=at + minutes * MINUTE)
    return watched.world.command([point])[0]


def reports(watched, until):
    return [report for batch in watched.world.advance(until) for report in batch.reports]


def test_without_a_script_nothing_is_wrong(tmp_path):
    assert read_troubles(None, NAMES) == ()
    empty = tmp_path / "troubles.toml"
    empty.write_text("")
    assert read_troubles(empty, NAMES) == ()


def test_a_script_names_cars_or_a_share_that_the_seed_draws(tmp_path):
    path = tmp_path / "troubles.toml"
    path.write_text(
        '[[trouble]]\nkind = "deaf"\nshare = 0.1\n'
        '[[trouble]]\nkind = "slow"\ncar_id = "leaf-3"\nlate_s = 25\nstarts_at = 2025-01-08T17:00:00Z\n'
    )
    found = read_troubles(path, NAMES)
    drawn = [
        Troubles(found, NAMES, seed).those(Kind.DEAF, FIVE_PM).nonzero()[0].tolist() for seed in (1, 1, 2)
    ]
    assert [len(cars) for cars in drawn] == [2, 2, 2]
    assert drawn[0] == drawn[1] != drawn[2]
    slow = Troubles(found, NAMES, 1)
    assert slow.amount(Kind.SLOW, FIVE_PM, 0.0).nonzero()[0].tolist() == [2]
    assert not slow.amount(Kind.SLOW, FIVE_PM - MINUTE, 0.0).any()


def test_the_example_shows_every_kind():
    shown = read_troubles(Path("config/troubles.example.toml"), NAMES)
    assert {one.kind for one in shown} == set(Kind)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('kind = "deaff"\nshare = 1.0', r"trouble\[0\].kind"),
        ('kind = "deaf"', "either car_id or share"),
        ('kind = "deaf"\nshare = 0.5\ncar_id = "leaf-1"', "either car_id or share"),
        ('kind = "deaf"\nshare = 1.5', r"trouble\[0\].share"),
        ('kind = "deaf"\nshare = nan', r"trouble\[0\].share"),
        ('kind = "deaf"\nshare = 1.0\nlate_s = 5', "late_s with"),
        ('kind = "slow"\nshare = 1.0', "late_s with"),
        ('kind = "slow"\nshare = 1.0\nlate_s = inf', r"trouble\[0\].late_s"),
        ('kind = "soc_step"\nshare = 1.0\nby = 0.9', "by from 0.001 to 0.25"),
        ('kind = "soc_noise"\nshare = 1.0', "by with"),
        ('kind = "capacity"\nshare = 1.0\nby = 0.1\nstarts_at = 2025-01-08T17:00:00Z', "all the time"),
        (
            'kind = "lost"\nshare = 1.0\nstarts_at = 2025-01-08T17:00:00Z\nends_at = 2025-01-08T16:00:00Z',
            "after",
        ),
        ('kind = "lost"\ncar_id = "leaf-99"', "leaf-99"),
        ('kind = "lost"\nshare = 1.0\nsince = 5', r"trouble\[0\].since"),
        ("kind = ", "TOML"),
    ],
)
def test_a_script_with_faults_is_refused(tmp_path, text, said):
    path = tmp_path / "troubles.toml"
    path.write_text(f"[[trouble]]\n{text}\n")
    with pytest.raises(BadMessage, match=said):
        read_troubles(path, NAMES)


@pytest.mark.parametrize("by", [-0.2, 0.15])
def test_a_battery_is_smaller_or_larger_than_the_registry_says(by):
    watched = at_home({"kind": "capacity", "car_id": "leaf-1", "by": by})
    assert watched.energy_kwh(FIVE_PM) == pytest.approx(0.7 * 40 * (1 + by))
    assert watched.now().soc == pytest.approx(0.7, abs=0.03)
    assert watched.world.summary()["true_capacity_kwh"] == {"leaf-1": pytest.approx(40 * (1 + by))}


def test_a_state_of_charge_comes_in_coarse_steps_or_noisier():
    coarse = at_home({"kind": "soc_step", "share": 1.0, "by": 0.05})
    assert {round(report.soc * 20, 6) % 1 for report in reports(coarse, FIVE_PM + HOUR)} == {0.0}
    noisy = at_home({"kind": "soc_noise", "share": 1.0, "by": 0.1})
    said = [report.soc for report in reports(noisy, FIVE_PM + HOUR)]
    assert max(said) - min(said) > 0.2


def test_a_late_state_of_charge_says_when_it_was_so_and_is_of_this_stay():
    watched = at_home({"kind": "soc_late", "share": 1.0, "late_s": 300})
    told(watched, 7000)
    heard = reports(watched, FIVE_PM + 12 * MINUTE)
    assert [report.soc for report in heard[:4]] == [None] * 4
    late = heard[-1]
    assert (late.measured_at - late.soc_at) == 5 * MINUTE
    assert late.soc == pytest.approx(0.7 - 7.0 * 7 / 60 / 0.95 / 40, abs=0.03)


def test_a_state_of_charge_is_missing_for_a_while_and_the_registers_go_on():
    ends_at = FIVE_PM + 5 * MINUTE
    watched = at_home({"kind": "soc_silent", "share": 1.0, "ends_at": ends_at})
    told(watched)
    heard = reports(watched, FIVE_PM + 8 * MINUTE)
    assert [report.soc is None for report in heard] == [True] * 4 + [False] * 4
    assert heard[3].export_wh - heard[0].export_wh == pytest.approx(150, abs=1)


def test_a_deaf_charger_takes_set_points_and_does_nothing():
    watched = at_home({"kind": "deaf", "share": 1.0})
    assert told(watched) is Outcome.ACCEPTED
    watched.world.advance(FIVE_PM + 5 * MINUTE)
    assert watched.now().export_w == -8


@pytest.mark.parametrize(("kind", "outcome"), [("slow", "accepted"), ("unanswered", "unreachable")])
def test_a_slow_charger_follows_later(kind, outcome):
    watched = at_home({"kind": kind, "share": 1.0, "late_s": 30})
    assert told(watched) is Outcome(outcome)
    watched.world.advance(FIVE_PM + MINUTE / 4)
    assert watched.now().export_w == -8
    watched.world.advance(FIVE_PM + MINUTE)
    assert watched.now().export_w == 3000


def test_what_a_slow_charger_was_told_is_over_when_it_expires_or_its_car_leaves():
    watched = at_home({"kind": "slow", "share": 1.0, "late_s": 300})
    told(watched, minutes=2)
    watched.world.advance(FIVE_PM + 9 * MINUTE)
    assert watched.now().export_w == -8


def test_a_lost_charger_is_not_heard_and_lives_by_its_last_set_point_until_that_expires():
    ends_at = FIVE_PM + 20 * MINUTE
    watched = at_home({"kind": "lost", "share": 1.0, "starts_at": FIVE_PM + MINUTE, "ends_at": ends_at})
    watched.world.set_fallback(charging_from(FIVE_PM + HOUR))
    told(watched, minutes=2)
    heard = reports(watched, FIVE_PM + 10 * MINUTE)
    assert heard == []
    assert told(watched, at=FIVE_PM + 10 * MINUTE) is Outcome.UNREACHABLE
    assert watched.world.snapshot() == ()
    heard = reports(watched, FIVE_PM + 21 * MINUTE)
    assert [report.measured_at for report in heard] == [FIVE_PM + 20 * MINUTE, FIVE_PM + 21 * MINUTE]
    assert heard[0].export_w == -8

"""The simulated fleet without a network: comings and goings, orders, what is told, what is kept as truth."""

import json
from datetime import timedelta

import pytest

from aggregator.clock import Pace, start_fast_clock
from aggregator.model.errors import BadMessage
from aggregator.model.metering import Outcome
from dispatch.fleet_simulator import run
from dispatch.fleet_simulator.script import Act, Kind, read_acts, read_stays
from dispatch.fleet_simulator.server import listen_on
from dispatch.links.messages import PointRow
from tests.fakes.simulated_fleet import FIVE_PM, HOUR, MINUTE, Watched, a_leaf, a_stay, charging_from

SIX_PM = FIVE_PM + HOUR
SESSIONS = "car_id,plugged_in_at,plugged_out_at,energy_kwh,arrival_soc\n"


def a_point(export_w, minutes=2, at=FIVE_PM, car_id="leaf-1"):
    return PointRow(car_id=car_id, export_w=export_w, expires_at=at + minutes * MINUTE)


def an_act(kind, at, **said):
    return Act(car_id="leaf-1", kind=kind, at=at, **said)


def at_home(acts=None, **settings):
    """A fleet of one car, plugged in since five o'clock."""
    watched = Watched([a_leaf()], [a_stay()], acts, **settings)
    watched.world.advance(FIVE_PM)
    return watched


def reports_of(batches):
    return [report for batch in batches for report in batch.reports]


def test_an_arrival_is_told_at_once_with_what_the_car_comes_with():
    watched = Watched([a_leaf()], [a_stay(plugged_in_at=FIVE_PM + timedelta(seconds=17))])
    told = reports_of(watched.world.advance(FIVE_PM + MINUTE))
    first = next(report for report in told if report.plugged)
    assert first.measured_at == FIVE_PM + timedelta(seconds=17)
    assert first.soc == pytest.approx(0.7, abs=0.03)
    assert watched.energy_kwh(first.measured_at) == 28.0


def test_a_plugged_in_car_reports_each_interval_and_an_absent_one_at_half_hours_only():
    watched = Watched([a_leaf()], [a_stay(plugged_out_at=FIVE_PM + 20 * MINUTE)], interval_s=300)
    told = reports_of(watched.world.advance(SIX_PM))
    minutes = [(report.measured_at - FIVE_PM) // MINUTE for report in told]
    assert minutes == [-30, 0, 5, 10, 15, 20, 30, 60]
    assert [report.plugged for report in told] == [False, True, True, True, True, False, False, False]
    assert {report.soc for report in told if not report.plugged} == {None}


def test_registers_are_read_exactly_at_half_hours_whatever_the_interval():
    watched = at_home(interval_s=420)
    watched.world.command([a_point(3000, minutes=120)])
    batches = [batch for batch in watched.world.advance(SIX_PM + HOUR) if batch.kept]
    assert [batch.at - FIVE_PM for batch in batches] == [n * 30 * MINUTE for n in (1, 2, 3, 4)]
    given_wh = [batch.reports[0].export_wh for batch in batches]
    assert given_wh[2] - given_wh[1] == 1500


def test_a_set_point_ends_by_itself():
    watched = at_home()
    assert watched.world.command([a_point(3000)]) == (Outcome.ACCEPTED,)
    watched.world.advance(FIVE_PM + MINUTE)
    assert watched.now().export_w == 3000
    watched.world.advance(FIVE_PM + 2.1 * MINUTE)
    assert watched.now().export_w == -8


def test_a_car_left_alone_waits_then_charges_until_it_is_full():
    watched = at_home()
    watched.world.set_fallback(charging_from(SIX_PM))
    watched.world.advance(SIX_PM)
    assert watched.energy_kwh(SIX_PM) == 28.0
    watched.world.advance(SIX_PM + MINUTE)
    assert watched.now().export_w == -7400
    watched.world.advance(FIVE_PM + 6 * HOUR)
    assert watched.energy_kwh(FIVE_PM + 6 * HOUR) == 40.0


def test_a_charger_that_was_never_told_waits_ten_minutes():
    watched = at_home()
    watched.world.advance(FIVE_PM + 10 * MINUTE)
    assert watched.now().export_w == -8
    watched.world.advance(FIVE_PM + 11 * MINUTE)
    assert watched.now().export_w == -7400


def test_what_is_told_before_a_car_comes_holds_when_it_comes_and_not_for_the_next():
    later = a_stay(plugged_in_at=SIX_PM + HOUR, plugged_out_at=SIX_PM + 9 * HOUR)
    watched = Watched([a_leaf()], [a_stay(plugged_out_at=SIX_PM), later])
    watched.world.set_fallback(charging_from(FIVE_PM + 30 * MINUTE))
    watched.world.advance(FIVE_PM + 29 * MINUTE)
    assert watched.now().export_w == -8
    watched.world.advance(FIVE_PM + 31 * MINUTE)
    assert watched.now().export_w == -7400
    watched.world.advance(SIX_PM + HOUR + 5 * MINUTE)
    assert watched.now().export_w == -8


def test_a_boost_wins_at_once():
    watched = at_home([an_act(Kind.BOOST, FIVE_PM + timedelta(seconds=90))])
    watched.world.command([a_point(7000, minutes=30)])
    told = reports_of(watched.world.advance(FIVE_PM + 2 * MINUTE))
    boosted = next(report for report in told if report.boost)
    assert boosted.measured_at == FIVE_PM + timedelta(seconds=90)
    assert watched.now().export_w == -7400
    refused = watched.world.command([a_point(3000, 9), a_point(0, 9)])
    assert refused == (Outcome.REFUSED, Outcome.REFUSED)
    # the home's fuse may ask for less: a set-point that charges is obeyed
    assert watched.world.command([a_point(-2000, 9)]) == (Outcome.ACCEPTED,)
    watched.world.advance(FIVE_PM + 3 * MINUTE)
    assert watched.now().export_w == -2000


def test_after_a_boost_is_taken_back_set_points_hold_again():
    acts = [an_act(Kind.BOOST, FIVE_PM + MINUTE), an_act(Kind.BOOST_OFF, FIVE_PM + 2 * MINUTE)]
    watched = at_home(acts)
    watched.world.advance(FIVE_PM + 3 * MINUTE)
    assert watched.now().boost is False
    assert watched.world.command([a_point(3000, 9)]) == (Outcome.ACCEPTED,)


@pytest.mark.parametrize(
    "point",
    [
        a_point(3000, car_id="leaf-9"),
        a_point(3000, car_id="leaf-2"),
        a_point(3000, minutes=0),
    ],
    ids=["no such car", "not plugged in", "already over"],
)
def test_set_points_that_are_refused(point):
    watched = Watched([a_leaf(), a_leaf("leaf-2")], [a_stay()])
    watched.world.advance(FIVE_PM)
    assert watched.world.command([point]) == (Outcome.REFUSED,)


def test_a_car_that_leaves_early_is_gone_until_its_next_session():
    again = a_stay(plugged_in_at=FIVE_PM + 24 * HOUR, plugged_out_at=FIVE_PM + 30 * HOUR, arrival_soc=0.4)
    watched = Watched([a_leaf()], [a_stay(), again], [an_act(Kind.LEAVE, SIX_PM)])
    watched.world.set_fallback(charging_from(FIVE_PM + 20 * HOUR))
    told = reports_of(watched.world.advance(FIVE_PM + 25 * HOUR))
    gone = [report.measured_at for report in told if not report.plugged and report.measured_at > FIVE_PM]
    assert (gone[0], gone[-1]) == (SIX_PM, FIVE_PM + 23.5 * HOUR)
    assert watched.energy_kwh(FIVE_PM + 24 * HOUR) == 16.0
    (left,) = watched.world.summary()["departures"]
    assert left["early"] is True
    assert left["at"] == "2025-01-08T18:00:00Z"
    assert left["true_soc"] == 0.7
    assert left["target_soc"] == 0.9


def test_stated_intent_is_told_and_kept_until_the_car_leaves():
    away = FIVE_PM + 12 * HOUR
    acts = [
        an_act(Kind.INTENT, SIX_PM, depart_at=away),
        an_act(Kind.INTENT, SIX_PM + MINUTE, target_soc=0.8),
    ]
    watched = at_home(acts)
    assert (watched.now().depart_at, watched.now().target_soc) == (None, None)
    watched.world.advance(SIX_PM + 2 * MINUTE)
    assert (watched.now().depart_at, watched.now().target_soc) == (away, 0.8)
    watched.world.advance(FIVE_PM + 15 * HOUR)
    assert (watched.now().depart_at, watched.now().target_soc) == (None, None)
    (left,) = watched.world.summary()["departures"]
    assert (left["target_soc"], left["stated"], left["depart_at"]) == (0.8, True, "2025-01-09T05:00:00Z")


@pytest.mark.parametrize(
    ("hours", "arrival_soc", "soc"),
    [(1, 0.5, 0.5 + 7.4 * 0.93 / 40), (9, 0.5, 0.9), (9, 0.95, 0.95)],
    ids=["still charging", "done at the default target", "came with more"],
)
def test_a_car_that_is_there_at_the_start_has_charged_since_it_came(hours, arrival_soc, soc):
    stay = a_stay(plugged_in_at=FIVE_PM - hours * HOUR, arrival_soc=arrival_soc)
    watched = Watched([a_leaf()], [stay], starts_at=FIVE_PM)
    assert watched.energy_kwh(FIVE_PM) == pytest.approx(40 * soc, abs=1e-6)


def test_the_truth_log_has_half_hours_changes_arrivals_and_departures():
    watched = Watched([a_leaf()], [a_stay(plugged_out_at=SIX_PM + MINUTE)])
    watched.world.advance(FIVE_PM + 10 * MINUTE)
    watched.world.command([a_point(3000, at=FIVE_PM + 10 * MINUTE)])
    watched.world.advance(SIX_PM + HOUR)
    at = [(row["at"][11:16], row["plugged"]) for row in watched.truth()]
    assert at == [
        ("17:00", "true"),  # came
        ("17:10", "true"),  # was told
        ("17:12", "true"),  # what it was told ended, and it began to charge by itself
        ("17:30", "true"),
        ("18:00", "true"),
        ("18:01", "false"),  # left
    ]


def test_the_summary_names_the_lowest_state_of_charge_while_discharging():
    watched = at_home()
    watched.world.command([a_point(7400, minutes=60)])
    watched.world.advance(SIX_PM)
    lowest = watched.world.summary()["lowest_true_soc_while_discharging"]["leaf-1"]
    assert lowest == pytest.approx(watched.energy_kwh(SIX_PM) / 40, abs=1e-6)
    assert at_home().world.summary()["lowest_true_soc_while_discharging"]["leaf-1"] is None


def test_the_same_seed_tells_the_same_story():
    def story(seed):
        watched = at_home(seed=seed)
        watched.world.command([a_point(3000, minutes=30)])
        return reports_of(watched.world.advance(SIX_PM))

    assert story(7) == story(7)
    assert story(7) != story(8)


def test_reports_do_not_depend_on_how_often_the_world_is_looked_at():
    # below the taper, which holds for a step, so that shorter steps follow it more closely
    whole, pieces = (Watched([a_leaf()], [a_stay(arrival_soc=0.4)]) for _ in range(2))
    whole.world.advance(FIVE_PM)
    pieces.world.advance(FIVE_PM)
    told = whole.world.advance(SIX_PM)
    seen = []
    for second in range(0, 3601, 45):
        seen += pieces.world.advance(FIVE_PM + timedelta(seconds=second))
        pieces.world.snapshot()
    for one, other in zip(told, seen, strict=True):
        assert one.at == other.at
        assert abs(one.reports[0].import_wh - other.reports[0].import_wh) <= 1
        assert one.reports[0].soc == pytest.approx(other.reports[0].soc, abs=0.0101)


def test_a_sessions_file_tells_all_its_faults_at_once(tmp_path):
    path = tmp_path / "sessions.csv"
    path.write_text(
        SESSIONS
        + "leaf-1,2025-01-08T17:00:00,2025-01-09T07:00:00Z,8,0.5\n"
        + "leaf-1,2025-01-08T17:00:00Z,2025-01-08T16:00:00Z,8,0.5\n"
        + "leaf-1,2025-01-08T17:00:00Z,2025-01-09T07:00:00Z,nan,1.5\n"
        + "leaf-1,2025-01-08T17:00:00Z,2025-01-09T07:00:00Z,8\n"
        + "leaf-1,2025-01-08T17:00:00Z,2025-01-09T07:00:00Z,8,0.5,6\n"
        + "leaf-9,2025-01-08T17:00:00Z,2025-01-09T07:00:00Z,8,0.5\n"
        + "leaf-1,2025-01-10T17:00:00Z,2025-01-11T07:00:00Z,8,0.5\n"
        + "leaf-1,2025-01-11T06:00:00Z,2025-01-11T08:00:00Z,8,0.5\n"
    )
    with pytest.raises(BadMessage) as error:
        read_stays(path, {"leaf-1"})
    told = str(error.value)
    for where in ("line 2.plugged_in_at", "line 3", "line 4.energy_kwh", "line 4.arrival_soc", "line 5"):
        assert f"sessions.csv: {where}" in told
    assert "line 6" in told
    assert "leaf-9" in told
    assert "plugged_in_at of leaf-1" in told


@pytest.mark.parametrize("text", ["", "car_id,plugged_in_at\n", SESSIONS.replace("energy", "enrgy")])
def test_a_sessions_file_with_other_columns_is_refused(tmp_path, text):
    path = tmp_path / "sessions.csv"
    path.write_text(text)
    with pytest.raises(BadMessage, match="header"):
        read_stays(path, {"leaf-1"})


def test_acts_are_read_from_toml(tmp_path):
    path = tmp_path / "acts.toml"
    path.write_text(
        '[[act]]\ncar_id = "leaf-1"\nat = 2025-01-08T17:20:00Z\nkind = "boost"\n'
        '[[act]]\ncar_id = "leaf-1"\nat = 2025-01-08T17:30:00+01:00\nkind = "intent"\ntarget_soc = 0.8\n'
    )
    boost, intent = read_acts(path, {"leaf-1"})
    assert (boost.kind, boost.at) == (Kind.BOOST, FIVE_PM + 20 * MINUTE)
    assert (intent.at, intent.target_soc) == (FIVE_PM - 30 * MINUTE, 0.8)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('car_id = "leaf-1"\nat = 2025-01-08T17:20:00\nkind = "boost"', r"act\[0\].at"),
        ('car_id = "leaf-1"\nat = 2025-01-08T17:20:00Z\nkind = "bost"', r"act\[0\].kind"),
        ('car_id = "leaf-1"\nat = 2025-01-08T17:20:00Z\nkind = "intent"', "depart_at or target_soc"),
        ('car_id = "leaf-2"\nat = 2025-01-08T17:20:00Z\nkind = "leave"', "leaf-2"),
        ('car_id = "leaf-1"\nwhen = 2025-01-08T17:20:00Z\nkind = "leave"', r"act\[0\].when"),
        ("car_id = ", "TOML"),
    ],
)
def test_acts_with_faults_are_refused(tmp_path, text, told):
    path = tmp_path / "acts.toml"
    path.write_text(f"[[act]]\n{text}\n")
    with pytest.raises(BadMessage, match=told):
        read_acts(path, {"leaf-1"})


def a_night(tmp_path):
    sessions = tmp_path / "sessions.csv"
    sessions.write_text(SESSIONS + "leaf-1,2025-01-08T17:00:00Z,2025-01-09T07:00:00Z,8,0.5\n")
    return sessions


def test_a_run_ends_by_itself_and_leaves_truth_and_summary(tmp_path):
    clock = start_fast_clock([Pace(FIVE_PM - 12 * HOUR, 200_000)])
    out, ends_at = tmp_path / "out", FIVE_PM + 15 * HOUR
    ended = run([a_leaf()], a_night(tmp_path), None, "127.0.0.1:0", clock, out, ends_at, 1, 60)
    assert ended == 0
    summary = json.loads((out / "summary.json").read_text())
    assert summary["ended_at"] == "2025-01-09T08:00:00Z"
    assert [left["true_soc"] for left in summary["departures"]] == [1.0]
    truth = (out / "truth.csv").read_text().splitlines()
    assert truth[0] == "car_id,at,plugged,true_energy_kwh,export_w,boundary_w"
    assert truth[1] == "leaf-1,2025-01-08T17:00:00Z,true,20.000000,-8,-8"
    assert truth[-1] == "leaf-1,2025-01-09T07:00:00Z,false,40.000000,0,0"


def test_wrong_arguments_are_told_together_and_nothing_is_written(tmp_path):
    clock = start_fast_clock([Pace(FIVE_PM, 1)])
    with pytest.raises(BadMessage) as error:
        run([], tmp_path / "none.csv", None, "0.0.0.0:80", clock, tmp_path / "out", None, -1, float("nan"))
    assert [fault.where.rpartition("/")[2] for fault in error.value.faults] == [
        "none.csv",
        "interval_s",
        "seed",
        "fleet",
        "listen",
    ]
    assert not (tmp_path / "out").exists()


def test_a_port_in_use_is_told_in_one_line_and_nothing_is_written(tmp_path):
    clock = start_fast_clock([Pace(FIVE_PM, 1)])
    with listen_on("127.0.0.1:0") as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(
            BadMessage, match=rf"listen: '{address}' is not allowed; the port is in use by another program"
        ):
            run([a_leaf()], a_night(tmp_path), None, address, clock, tmp_path / "out", None, 1, 60)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("address", ["8765", "127.0.0.1", "127.0.0.1:x", "127.0.0.1:70000", "example.org:80"])
def test_only_a_loopback_address_will_do(address):
    with pytest.raises(BadMessage, match="loopback"):
        listen_on(address)

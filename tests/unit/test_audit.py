"""The past is judged by the fleet of its time, whatever was imported since."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from aggregator.audit import run_audit
from aggregator.audit.cars import p1_floor, p3_boost, p5_expiry, p12_stale
from aggregator.audit.departures import p2_departure
from aggregator.audit.evidence import Evidence
from aggregator.audit.homes import p4_sites
from aggregator.audit.money import p9_registers
from aggregator.audit.ramp import p14_ramp
from aggregator.audit.truth import read_simulated, read_true_states
from aggregator.config import read_settings
from aggregator.model.errors import BadMessage
from aggregator.model.facts import Instructed
from aggregator.model.fleet import Fleet
from aggregator.model.metering import Outcome, Purpose
from aggregator.model.time import HOUR, Interval, next_local
from aggregator.registers import events_between
from aggregator.store import Halt, SentPoint, TrueState, open_store
from tests.builders import (
    EVENING,
    NOON,
    SLOTS,
    a_car,
    a_car_report,
    a_charger,
    a_fleet,
    a_reading,
    a_set_point,
    a_site,
    an_event_key,
    an_instruction,
    an_intent,
    some_steps,
)

SETTINGS = read_settings(Path(__file__).parents[2] / "config" / "gateway.toml")
CHECKS = (p1_floor, p2_departure, p3_boost, p4_sites, p9_registers, p12_stale, p14_ramp)
BEGIN = EVENING.start
DUE = next_local(BEGIN, an_intent().depart_local)
LATER = DUE + HOUR
SECOND, MINUTE = timedelta(seconds=1), timedelta(minutes=1)
STRICT = Fleet(
    (
        a_car(
            floor_soc=0.9,
            default_intent=an_intent(target_soc=1.0),
            charger=a_charger(charge_kw=22.0),
            site=a_site(export_limit_kw=1.0, import_limit_kw=30.0),
        ),
    ),
    "strict",
)
LAX = Fleet((a_car(site=a_site(export_limit_kw=50.0)),), "lax")
NOBODY = Fleet((a_car(car_id="another", charger=a_charger(charger_id="other")),), "nobody")


@pytest.fixture
def store(tmp_path):
    with open_store(f"sqlite:///{tmp_path / 'flexloop.db'}", create=True) as store:
        store.fleet.replace(a_fleet(1), NOON, "fleet.toml")
        yield store


def report(store, at, **changes):
    store.states.add([a_car_report(measured_at=at, **changes)], received_at=at + SECOND)


def send(store, at, export_w, purpose=Purpose.INSTRUCTION):
    point = a_set_point(issued_at=at, expires_at=at + 2 * MINUTE, export_w=export_w, purpose=purpose)
    store.set_points.add([SentPoint(replace(point, opportunity_id=None), Outcome.ACCEPTED)])


def give(store, *, soc=0.5, export_w=6000):
    """Let a car give energy for two minutes, charge at the driver's word, and be as full as promised."""
    for n in (0, 1):
        at = BEGIN + n * MINUTE
        report(store, at, soc=soc, export_w=export_w)
        send(store, at + 2 * SECOND, export_w)
        energy_kwh = soc * a_car().capacity_kwh
        store.truth.add([TrueState("car-1", at, plugged=True, energy_kwh=energy_kwh, export_w=export_w)])
    report(store, BEGIN + 2 * MINUTE, boost=True, soc=soc)
    send(store, BEGIN + 2 * MINUTE + 2 * SECOND, -7400, Purpose.BOOST)
    for at, charged in ((BEGIN + 3 * MINUTE, soc), (DUE - MINUTE, 0.8), (DUE + MINUTE, 0.8)):
        report(store, at, soc=charged)
    store.readings.add([a_reading(measured_at=BEGIN), a_reading(measured_at=DUE, export_wh=9000)])


def broken(store):
    audit = run_audit(Evidence(store, SETTINGS), CHECKS)
    assert all(finding.checked for finding in audit.findings), audit
    return [finding.promise.split()[0] for finding in audit.findings if finding.breaches]


def test_it_is_kept_with_the_fleet_that_it_was_done_with(store):
    give(store)
    assert broken(store) == []


@pytest.mark.parametrize("later", [STRICT, NOBODY], ids=["stricter", "without the car"])
def test_a_fleet_imported_since_makes_no_breaches_that_never_were(store, later):
    give(store)
    store.fleet.replace(later, LATER, "later.toml")
    assert broken(store) == []


@pytest.mark.parametrize("later", [LAX, NOBODY], ids=["laxer", "without the car"])
def test_a_fleet_imported_since_hides_nothing(store, later):
    store.fleet.replace(STRICT, NOON, "strict.toml")
    give(store)
    before = broken(store)
    assert before == ["P1", "P2", "P3", "P4"]
    store.fleet.replace(later, LATER, "later.toml")
    assert broken(store) == before


def test_what_is_done_after_an_import_is_judged_by_it(store):
    store.fleet.replace(STRICT, BEGIN - MINUTE, "strict.toml")
    give(store)
    assert broken(store) == ["P1", "P2", "P3", "P4"]


def test_what_a_car_is_told_that_is_not_in_the_fleet_yet_is_a_breach(store):
    store.fleet.replace(NOBODY, BEGIN - MINUTE, "nobody.toml")
    store.fleet.replace(a_fleet(1), BEGIN + MINUTE, "again.toml")
    send(store, BEGIN, 6000)
    send(store, BEGIN + MINUTE, 6000)
    (breach,) = p4_sites(Evidence(store, SETTINGS)).breaches
    assert breach == "car-1 was not in the fleet at 2025-01-15T17:00:00Z"


def test_what_was_given_before_a_stop_is_not_judged_by_the_import_after_it(store):
    """The last row before the gateway stopped and the first after the import: it gave under the old floor."""
    give(store)
    rest = TrueState("car-1", BEGIN + 3 * MINUTE, plugged=True, energy_kwh=29.0, export_w=0)
    store.truth.add([rest])
    store.fleet.replace(STRICT, BEGIN + 2 * MINUTE, "strict.toml")
    assert p1_floor(Evidence(store, SETTINGS)).breaches == ()


@pytest.mark.parametrize(("soc", "breaches"), [(0.28, 1), (0.31, 0)])
def test_a_floor_is_a_part_of_what_a_battery_really_has(store, tmp_path, soc, breaches):
    """A simulated battery a fifth below its registered 60 kWh, while it told nothing."""
    for n in (0, 1):
        report(store, BEGIN + n * MINUTE, soc=None, export_w=6000)
    assert p1_floor(Evidence(store, SETTINGS)).unchecked.startswith("2 reports")
    lines = [f"car-1,2025-01-15T17:0{n}:00Z,true,{soc * 48},6000,6000" for n in (0, 1)]
    header = "car_id,at,plugged,true_energy_kwh,export_w,boundary_w"
    (tmp_path / "truth.csv").write_text("\n".join([header, *lines]))
    (tmp_path / "summary.json").write_text('{"true_capacity_kwh": {"car-1": 48.0}, "departures": []}')
    finding = p1_floor(Evidence(store, SETTINGS, simulated=read_simulated(tmp_path)))
    assert (finding.checked, len(finding.breaches)) == (1, breaches)


@pytest.mark.parametrize(
    ("line", "fault"),
    [("car-1,2025-01-15T17:00:00,true,20,0,0", "line 2"), ("car-1,2025-01-15T17:00:00Z,true,nan,0,0", "kwh")],
)
def test_a_truth_that_is_none_is_refused(tmp_path, line, fault):
    header = "car_id,at,plugged,true_energy_kwh,export_w,boundary_w"
    (tmp_path / "truth.csv").write_text(f"{header}\n{line}\n")
    with pytest.raises(BadMessage, match=fault):
        read_true_states(tmp_path / "truth.csv")


def test_without_true_energies_it_judges_by_what_was_reported(store):
    report(store, BEGIN, soc=0.5, export_w=6000)
    store.fleet.replace(STRICT, BEGIN + MINUTE, "strict.toml")
    assert p1_floor(Evidence(store, SETTINGS)).breaches == ()
    report(store, BEGIN + MINUTE, soc=0.5, export_w=6000)
    (breach,) = p1_floor(Evidence(store, SETTINGS)).breaches
    assert "17:01:00Z" in breach


def test_a_state_of_charge_that_comes_late_is_judged_at_its_own_instant(store):
    """It charged when it stood below its floor, and gave when it stood there again."""
    report(store, BEGIN, soc=None, export_w=-7000)
    report(store, BEGIN + 5 * MINUTE, soc=0.25, soc_at=BEGIN, export_w=6000)
    assert p1_floor(Evidence(store, SETTINGS)).breaches == ()
    report(store, BEGIN + 10 * MINUTE, soc=0.25, soc_at=BEGIN + 6 * MINUTE, export_w=0)
    (breach,) = p1_floor(Evidence(store, SETTINGS)).breaches
    assert "gave 6000 W at 2025-01-15T17:06:00Z at 0.250" in breach


@pytest.mark.parametrize(("late", "breaches"), [(20 * MINUTE, 0), (2 * MINUTE, 1)])
def test_what_was_charged_after_a_late_state_of_charge_counts_at_departure(store, late, breaches):
    target = a_fleet(1).cars[0].default_intent.target_soc
    report(store, BEGIN, soc=0.5)
    report(store, DUE - SECOND, soc=target - 0.035, soc_at=DUE - late)
    report(store, DUE + MINUTE, soc=None, plugged=False)
    finding = p2_departure(Evidence(store, SETTINGS))
    assert (finding.checked, len(finding.breaches)) == (1, breaches)


def test_who_gives_energy_in_a_stopped_zone_breaks_p14(store):
    halt = store.halts.stop(Halt(None, BEGIN, "ann", "smoke"))
    for minutes, watts in ((0.5, 3000), (3, -3000), (4, 3000)):
        at = BEGIN + minutes * MINUTE
        point = a_set_point(export_w=watts, issued_at=at, expires_at=at + MINUTE)
        store.set_points.add([SentPoint(point, Outcome.ACCEPTED)])
    (breach,) = p14_ramp(Evidence(store, SETTINGS)).breaches
    assert "car-1 was told 3000 W" in breach
    store.halts.restart(halt.halt_id, "ann", BEGIN + MINUTE)
    store.halts.restart(halt.halt_id, "bob", BEGIN + 2 * MINUTE)
    assert p14_ramp(Evidence(store, SETTINGS)).breaches == ()


@pytest.mark.parametrize(
    ("outcome", "drawn_w", "kept"),
    [(Outcome.UNREACHABLE, 7400, True), (Outcome.UNREACHABLE, 3000, False), (Outcome.REFUSED, 7400, False)],
)
def test_a_boost_whose_answer_was_lost_is_judged_by_the_meter(store, outcome, drawn_w, kept):
    report(store, BEGIN - MINUTE, boost=False)
    for n in range(5):
        report(store, BEGIN + n * MINUTE, boost=True)
        at, point = BEGIN + n * MINUTE, a_set_point(export_w=-7400, purpose=Purpose.BOOST)
        point = replace(point, issued_at=at + 2 * SECOND, expires_at=at + 2 * MINUTE, opportunity_id=None)
        store.set_points.add([SentPoint(point, outcome)])
    drawn = [drawn_w * max(0, n - 1) // 60 for n in range(6)]
    store.readings.add(
        [a_reading(measured_at=BEGIN + n * MINUTE, import_wh=wh) for n, wh in enumerate(drawn)]
    )
    finding = p3_boost(Evidence(store, SETTINGS))
    assert (finding.checked, len(finding.breaches)) == (1, 0 if kept else 1)


@pytest.mark.parametrize(("told_w", "kept"), [(-5000, True), (-3000, False)])
def test_a_boost_has_what_the_house_leaves_of_the_fuse(store, told_w, kept):
    home = a_site(boundary_meter=True, import_limit_kw=9.0)
    store.fleet.replace(Fleet((a_car(site=home),), "metered"), NOON + MINUTE, "fleet.toml")
    report(store, BEGIN - MINUTE, boost=False)
    report(store, BEGIN, boost=True)
    send(store, BEGIN + 2 * SECOND, told_w, Purpose.BOOST)
    house_wh = [n * 4000 // 60 for n in range(4)]
    at = [BEGIN + (n - 2) * MINUTE for n in range(4)]
    store.boundary_readings.add(
        [a_reading(charger_id=home.site_id, measured_at=at[n], import_wh=wh) for n, wh in enumerate(house_wh)]
    )
    store.readings.add([a_reading(measured_at=at[n]) for n in range(4)])
    finding = p3_boost(Evidence(store, SETTINGS))
    assert (finding.checked, len(finding.breaches)) == (1, 0 if kept else 1)


@pytest.mark.parametrize(
    ("told", "breaches"),
    [
        ({}, 1),
        ({"next_at": 2 * MINUTE + SECOND}, 0),
        ({"next_at": 3 * MINUTE}, 2),
        ({"plugged": False}, 0),
        ({"heard": 5 * MINUTE}, 0),
        ({"refused": True}, 0),
    ],
    ids=["lapsed", "renewed", "renewed a minute later", "the car left", "silent", "its next was refused"],
)
def test_a_set_point_that_ends_without_another_is_a_move_to_nothing(store, told, breaches):
    """Two minutes of 6 kW, of which no more than 5 may move in a minute; the first of it in small steps."""
    tight = SETTINGS.dispatch.model_copy(update={"zone_ramp_kw_per_minute": 5.0})
    settings = SETTINGS.model_copy(update={"dispatch": tight})
    report(store, BEGIN + MINUTE, export_w=6000)
    report(store, BEGIN + told.get("heard", 2 * MINUTE), export_w=6000, plugged=told.get("plugged", True))
    send(store, BEGIN - MINUTE, 3000)
    send(store, BEGIN, 6000)
    if told.get("refused"):
        point = a_set_point(issued_at=BEGIN + MINUTE, expires_at=BEGIN + 3 * MINUTE, opportunity_id=None)
        store.set_points.add([SentPoint(point, Outcome.INTERLOCKED)])
    if "next_at" in told:
        send(store, BEGIN + told["next_at"], 6000)
    assert len(p14_ramp(Evidence(store, settings)).breaches) == breaches


@pytest.mark.parametrize(("site_id", "breaches"), [("home", 0), ("other", 1)])
def test_who_makes_room_for_a_neighbour_s_right_is_not_held_by_the_bound(store, site_id, breaches):
    cars = [
        a_car(car_id=name, charger=a_charger(charger_id=name), site=a_site(site_id=site))
        for name, site in (("car-1", "home"), ("car-2", site_id))
    ]
    store.fleet.replace(Fleet(tuple(cars), "two"), BEGIN - HOUR, "fleet.toml")
    tight = SETTINGS.dispatch.model_copy(update={"zone_ramp_kw_per_minute": 5.0})
    told = (
        ("car-1", -7400, Purpose.MUST_CHARGE, BEGIN),
        ("car-1", 0, Purpose.PLAN, BEGIN + MINUTE),
        ("car-2", -7400, Purpose.MUST_CHARGE, BEGIN + MINUTE),
    )
    for name, export_w, purpose, at in told:
        point = a_set_point(car_id=name, export_w=export_w, purpose=purpose, issued_at=at)
        point = replace(point, expires_at=at + 2 * MINUTE, opportunity_id=None)
        store.set_points.add([SentPoint(point, Outcome.ACCEPTED)])
    settings = SETTINGS.model_copy(update={"dispatch": tight})
    assert len(p14_ramp(Evidence(store, settings)).breaches) == breaches


@pytest.mark.parametrize(("gap", "breaches"), [(timedelta(0), 0), (SECOND, 1), (None, 1)])
def test_a_set_point_outlives_its_order_only_for_one_that_follows_on_it(store, gap, breaches):
    whole = an_instruction()
    start, _, seam, end = (slot.start for slot in SLOTS)
    orders = {"opportunity-1": Interval(start, seam)}
    if gap is not None:
        orders["opportunity-2"] = Interval(seam + gap, end)
    for name, window in orders.items():
        order = replace(whole, key=an_event_key(event_id=name), steps=some_steps(30, slots=(window,)))
        facts = (Instructed(NOON, order),)
        store.journal.append_many(name, facts, expected_version=0, by="test", recorded_at=NOON)
    point = a_set_point(issued_at=seam - MINUTE, expires_at=seam + MINUTE)
    store.set_points.add([SentPoint(point, Outcome.ACCEPTED)])
    assert len(p5_expiry(Evidence(store, SETTINGS)).breaches) == breaches


def test_a_register_runs_backwards_only_where_an_event_says_so(store):
    shown = [
        a_reading(measured_at=BEGIN + n * MINUTE, import_wh=0, export_wh=wh)
        for n, wh in enumerate((900_000, 5))
    ]
    store.readings.add(shown)
    (breach,) = p9_registers(Evidence(store, SETTINGS)).breaches
    assert "less than before" in breach
    store.register_events.add(events_between(*shown), LATER)
    assert p9_registers(Evidence(store, SETTINGS)).breaches == ()


def test_what_a_gateway_stores_meanwhile_is_not_looked_at_in_part(store):
    """Set-points read after the states they followed from would be those of cars that were silent."""

    def looks_and_waits(evidence):
        assert evidence.states
        at = BEGIN + 2 * HOUR
        report(store, at)
        send(store, at + SECOND, 6000)
        return p1_floor(evidence)

    give(store)
    audit = run_audit(Evidence(store, SETTINGS), (looks_and_waits, p12_stale))
    assert [finding.breaches for finding in audit.findings] == [(), ()]
    assert audit.findings[1].checked == 2
    assert p12_stale(Evidence(store, SETTINGS)).checked == 3


@pytest.mark.parametrize(("told_w", "breaches"), [(-7400, 0), (-5000, 1)])
def test_who_was_told_full_power_all_the_time_and_took_less_breaks_no_departure(store, told_w, breaches):
    """It slows down though its registry entry says that it never does: nobody could have done more."""
    report(store, BEGIN, soc=0.5)
    for n in range(int((DUE - BEGIN) / MINUTE)):
        send(store, BEGIN + n * MINUTE + SECOND, told_w, Purpose.MUST_CHARGE)
    report(store, DUE - SECOND, soc=0.6)
    report(store, DUE + MINUTE, soc=None, plugged=False)
    finding = p2_departure(Evidence(store, SETTINGS))
    assert (finding.checked, len(finding.breaches)) == (1, breaches)


@pytest.mark.parametrize(("energy_kwh", "breaches"), [(48.0, 0), (42.0, 1)])
def test_a_departure_is_judged_by_true_energy_where_that_is_known(store, energy_kwh, breaches):
    report(store, BEGIN, soc=0.5)
    report(store, DUE - SECOND, soc=0.7)
    report(store, DUE + MINUTE, soc=None, plugged=False)
    store.truth.add([TrueState("car-1", DUE - SECOND, plugged=True, energy_kwh=energy_kwh, export_w=0)])
    finding = p2_departure(Evidence(store, SETTINGS))
    assert (finding.checked, len(finding.breaches)) == (1, breaches)

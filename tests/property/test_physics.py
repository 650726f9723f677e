"""What holds for every battery, whatever it is told: energy is conserved, and stays within the battery."""

from datetime import UTC, datetime, timedelta

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from aggregator.model.metering import CarReport
from dispatch.fleet_simulator.physics import Plant, State, Traits, ramp, register_wh, reported_soc, step
from dispatch.links.messages import PointRow, read_from_fleet, read_report, write_reports
from tests.fakes.simulated_fleet import FIVE_PM, HOUR, Watched, a_leaf, a_stay, charging_from

UNHURRIED = settings(deadline=None)
SLACK_KWH = 1e-9
ETA = 0.9
BEST_ETA = ETA + 0.4 * (1 - ETA)


@st.composite
def fleets(draw: st.DrawFn) -> tuple[Plant, State]:
    cars = draw(st.integers(1, 4))

    def numbers(low: float, high: float) -> np.ndarray:
        return np.array(draw(st.lists(st.floats(low, high), min_size=cars, max_size=cars)))

    traits = Traits(ramp_kw_per_s=draw(st.floats(0.02, 20)), standby_w=draw(st.floats(0, 50)))
    capacity_kwh = numbers(10, 100)
    plant = Plant(
        capacity_kwh=capacity_kwh,
        charge_kw=numbers(1.4, 22),
        discharge_kw=numbers(0, 22),
        min_kw=numbers(0, 1.4),
        eta_charge=np.full(cars, ETA),
        eta_discharge=np.full(cars, ETA),
        traits=traits,
    )
    registers_wh = np.floor(numbers(0, 1e7))
    return plant, State(numbers(0, 1) * capacity_kwh, np.zeros(cars), registers_wh, registers_wh)


TOLD = st.lists(st.tuples(st.floats(-30, 30), st.booleans(), st.floats(0.001, 60)), min_size=1, max_size=12)


@UNHURRIED
@given(fleets(), TOLD)
def test_energy_is_conserved_and_stays_in_the_battery(fleet: tuple[Plant, State], told: list) -> None:
    plant, state = fleet
    lowest_kwh = np.minimum(state.energy_kwh, plant.traits.own_floor_soc * plant.capacity_kwh)
    for wanted_kw, plugged, seconds in told:
        here = np.full(state.energy_kwh.shape, plugged)
        after = step(plant, state, np.full(state.energy_kwh.shape, wanted_kw), here, seconds)
        drawn_kwh = (after.import_wh - state.import_wh) / 1000
        given_kwh = (after.export_wh - state.export_wh) / 1000
        standby_kwh = plant.traits.standby_w / 1000 * seconds / 3600
        gained_kwh = after.energy_kwh - state.energy_kwh
        assert np.all(drawn_kwh >= 0)
        assert np.all(given_kwh >= 0)
        # never better than the best efficiency, never worse than the worst, standby apart
        assert np.all(gained_kwh <= drawn_kwh * BEST_ETA - given_kwh / BEST_ETA + SLACK_KWH)
        assert np.all(gained_kwh >= (drawn_kwh - standby_kwh) * ETA - given_kwh / ETA - SLACK_KWH)
        assert np.all(after.energy_kwh <= plant.capacity_kwh)
        assert np.all(after.energy_kwh >= lowest_kwh - SLACK_KWH)
        assert np.all(after.power_kw <= plant.discharge_kw)
        assert np.all(after.power_kw >= -plant.charge_kw)
        state = after


@UNHURRIED
@given(fleets(), TOLD)
def test_registers_never_go_back(fleet: tuple[Plant, State], told: list) -> None:
    plant, state = fleet
    for wanted_kw, plugged, seconds in told:
        here = np.full(state.energy_kwh.shape, plugged)
        after = step(plant, state, np.full(state.energy_kwh.shape, wanted_kw), here, seconds)
        assert np.all(register_wh(after.import_wh) >= register_wh(state.import_wh))
        assert np.all(register_wh(after.export_wh) >= register_wh(state.export_wh))
        state = after


@UNHURRIED
@given(st.floats(-22, 22), st.floats(-22, 22), st.floats(0.01, 50), st.floats(0.001, 60))
def test_a_ramp_holds_the_net_energy_and_overshoots_nothing(
    from_kw: float, to_kw: float, ramp_kw_per_s: float, seconds: float
) -> None:
    reached, drawn, given_kwh = ramp(np.array([from_kw]), np.array([to_kw]), ramp_kw_per_s, seconds)
    moving_s = min(abs(to_kw - from_kw) / ramp_kw_per_s, seconds)
    net_kws = (from_kw + reached[0]) / 2 * moving_s + reached[0] * (seconds - moving_s)
    assert abs((given_kwh - drawn)[0] * 3600 - net_kws) < 1e-6
    assert min(from_kw, to_kw) - 1e-9 <= reached[0] <= max(from_kw, to_kw) + 1e-9


@UNHURRIED
@given(st.floats(0, 1), st.integers(0, 2**31), st.integers(0, 2**31))
def test_a_reported_state_of_charge_is_a_whole_percent_near_the_truth(soc: float, seed: int, at: int) -> None:
    plant = Plant(*(np.full(8, value) for value in (40.0, 7.4, 7.4, 0.0, 0.9, 0.9)), traits=Traits())
    said = reported_soc(plant, np.full(8, soc * 40), float(at), seed, 0.005, 0.01)
    assert np.all((said >= 0) & (said <= 1))
    assert np.allclose(said * 100, np.rint(said * 100), atol=1e-6)
    assert np.all(np.abs(said - soc) < 6.5 * 0.005 + 0.005)


SET_POINTS = st.lists(
    st.tuples(st.integers(0, 240), st.integers(-8000, 8000), st.integers(1, 30)),
    max_size=8,
    unique_by=lambda p: p[0],
)


@settings(max_examples=40, deadline=None)
@given(SET_POINTS, st.integers(0, 290), st.integers(1, 2))
def test_a_charger_left_alone_never_gives_and_charges_only_when_told(
    points: list[tuple[int, int, int]], charge_after: int, cars: int
) -> None:
    """Set-points for the first car only: (minute, watts, minutes); what is not covered is the fallback's."""
    leaves = [a_leaf(f"leaf-{n + 1}") for n in range(cars)]
    world = Watched(leaves, [a_stay(leaf.car_id) for leaf in leaves], starts_at=FIVE_PM - HOUR).world
    charge_from = FIVE_PM + timedelta(minutes=charge_after)
    world.set_fallback(charging_from(charge_from, *(leaf.car_id for leaf in leaves)))
    reports: list[CarReport] = []
    until, told_until = FIVE_PM, []
    for minute, watts, minutes in sorted(points):
        at = FIVE_PM + timedelta(minutes=minute)
        reports += [report for batch in world.advance(at) for report in batch.reports]
        until = at + timedelta(minutes=minutes)
        world.command([PointRow(car_id="leaf-1", export_w=watts, expires_at=until)])
        told_until.append((at, until))
    reports += [report for batch in world.advance(FIVE_PM + 5 * HOUR) for report in batch.reports]
    for report in reports:
        # 15 s after a set-point's end the fastest change is over
        settled = report.measured_at - timedelta(seconds=15)
        told = report.car_id == "leaf-1" and any(
            start <= report.measured_at and settled < end for start, end in told_until
        )
        if told:
            continue
        assert report.export_w <= 0
        if report.measured_at < charge_from:
            assert report.export_w in (0, -8)
        elif report.measured_at > charge_from + timedelta(seconds=60) and (report.soc or 1) < 0.78:
            assert report.export_w == -7400


def instants() -> st.SearchStrategy[datetime]:
    return st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1)).map(lambda at: at.replace(tzinfo=UTC))  # noqa: DTZ001


@UNHURRIED
@given(
    st.lists(
        st.builds(
            CarReport,
            car_id=st.text(min_size=1),
            measured_at=instants(),
            plugged=st.booleans(),
            soc=st.none() | st.floats(0, 1),
            export_w=st.integers(-(2**53), 2**53),
            import_wh=st.integers(0, 2**53),
            export_wh=st.integers(0, 2**53),
            boost=st.booleans(),
            depart_at=st.none() | instants(),
            target_soc=st.none() | st.floats(0, 1),
        ),
        max_size=5,
    )
)
def test_reports_survive_the_wire(reports: list[CarReport]) -> None:
    message = read_from_fleet(write_reports(reports))
    assert [read_report(row) for row in message.cars] == reports  # type: ignore[union-attr]

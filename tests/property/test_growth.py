"""Growth laws: what must not grow with the fleet, and what may grow in step with it."""

import math
import stat
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from time import process_time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aggregator.audit.cars import p3_boost
from aggregator.audit.departures import p2_departure
from aggregator.audit.evidence import Evidence, Finding
from aggregator.config import read_settings
from aggregator.model.fleet import Fleet as HomeFleet
from aggregator.solver import SolverChoice, find_glpsol
from aggregator.store import open_store
from dispatch.split import Cars, Sites, SplitCar, SplitProblem, SplitSite, split
from tests.bench.looping import Zone
from tests.bench.settlement import book_of_the_month, make_past
from tests.builders import NOON, a_car, a_car_report
from tests.property.bid_fleets import Fleet, a_fleet, a_problem, proposed

TIMES_OVER = (1, 10, 1000)
FEW_CARS, MANY_CARS = 1_000, 16_000
FEW_LOOPED, MANY_LOOPED = 100, 1_600
FEW_EVENTS, TIMES_EVENTS, PAST = 3, 8, 5
FEW_REPORTS, MANY_REPORTS = 1_500, 24_000
MOST_EXPONENT = 1.5
RUNS = 4


@pytest.fixture(scope="module")
def glpsol(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A GLPK that notes how many rows each programme has that it is asked to solve."""
    folder = tmp_path_factory.mktemp("glpsol")
    command = folder / "glpsol"
    command.write_text(
        "#!/bin/sh\n"
        'for given in "$@"; do\n'
        f'  case "$given" in *.lp) grep -c "^c_.*:$" "$given" >>"{folder / "rows"}" ;; esac\n'
        "done\n"
        f'exec "{find_glpsol()}" "$@"\n'
    )
    command.chmod(command.stat().st_mode | stat.S_IXUSR)
    return command


def rows_of_the_program(glpsol: Path, fleet: Fleet) -> list[int]:
    """Return the rows of every programme that a bid of this fleet takes, round by round."""
    noted = glpsol.with_name("rows")
    noted.unlink(missing_ok=True)
    slots = fleet.plugged.shape[2]
    needed = np.full(slots, float(fleet.power_kw.sum()))
    proposed(a_problem(fleet, needed_kw=needed, solver=SolverChoice("glpk", glpsol)))
    return [int(line) for line in noted.read_text().split()]


def times_over(fleet: Fleet, times: int) -> Fleet:
    """Return every car ``times`` times."""
    return Fleet(
        np.tile(fleet.energy_kwh, (1, times)),
        np.tile(fleet.power_kw, times),
        np.tile(fleet.plugged, (1, times, 1)),
    )


@given(st.integers(0, 2**32 - 1), st.integers(2, 5), st.integers(1, 4))
@settings(max_examples=5, deadline=None)
def test_the_program_of_a_bid_is_as_large_for_a_thousand_times_the_fleet(
    glpsol: Path, seed: int, slots: int, scenarios: int
) -> None:
    fleet = a_fleet(seed, cars=5, slots=slots, scenarios=scenarios)
    rows = [rows_of_the_program(glpsol, times_over(fleet, times)) for times in TIMES_OVER]
    assert rows[0]
    assert min(rows[0]) > scenarios * slots
    assert rows[1] == rows[0]
    assert rows[2] == rows[0]


@pytest.mark.parametrize("cars", [3, 300, 3000])
def test_the_program_of_a_bid_has_at_most_a_row_for_each_set_of_slots(glpsol: Path, cars: int) -> None:
    slots, scenarios = 5, 3
    rows = rows_of_the_program(glpsol, a_fleet(7, cars=cars, slots=slots, scenarios=scenarios))
    assert max(rows) <= scenarios * (2**slots - 1 + slots)


def a_levelled_problem(count: int) -> SplitProblem:
    draw = np.random.default_rng(11)
    soc, stays = draw.uniform(0.4, 0.9, count).tolist(), draw.integers(2, 9, count).tolist()
    cars = tuple(
        SplitCar(f"car-{n}", f"home-{n}", 60.0, 18.0, 60.0, 60.0 * soc[n], 7.4, 6.0, stays[n], 20.0)
        for n in range(count)
    )
    sites = Sites.of({car.site: SplitSite(7.36, 18.4) for car in cars}, 6)
    return SplitProblem("growth", (0.5,) * 6, 0.92, 0.91, Cars.of(cars, sites), sites, (3.0 * count,) * 6)


def least_seconds(work: Callable[[], object]) -> float:
    """Return the processor time of the fastest of some runs: what others do on the machine only adds."""
    found = []
    for _ in range(RUNS):
        start = process_time()
        work()
        found.append(process_time() - start)
    return min(found)


def exponent(few: Callable[[], object], many: Callable[[], object], times: float) -> float:
    """Return by which power of its size a work's time grows, from a small one to one so many times larger."""
    return math.log(least_seconds(many) / least_seconds(few)) / math.log(times)


def test_a_large_split_takes_time_in_step_with_the_fleet() -> None:
    few, many = (a_levelled_problem(count) for count in (FEW_CARS, MANY_CARS))
    assert {split(problem).method for problem in (few, many)} == {"thresholds"}
    assert exponent(lambda: split(few), lambda: split(many), MANY_CARS / FEW_CARS) <= MOST_EXPONENT


@pytest.mark.parametrize("ordered", [False, True], ids=["planned", "ordered"])
def test_a_cycle_of_the_loop_takes_time_in_step_with_the_fleet(ordered: bool) -> None:
    few, many = (Zone(count, per_home=2) for count in (FEW_LOOPED, MANY_LOOPED))
    few.ordered = many.ordered = ordered
    assert exponent(few.cycle, many.cycle, MANY_LOOPED / FEW_LOOPED) <= MOST_EXPONENT


def a_car_reports(folder: Path, count: int) -> Evidence:
    """Return what a car told once a minute, boosted each second hour."""
    with open_store(f"sqlite:///{folder / f'{count}.db'}", create=True) as store:
        store.fleet.replace(HomeFleet((a_car(),), "growth"), NOON, "fleet.toml")
        minutes = [timedelta(minutes=n) for n in range(count)]
        store.states.add(
            [a_car_report(measured_at=NOON + at, boost=at.seconds // 3600 % 2 == 1) for at in minutes], NOON
        )
        evidence = Evidence(store, read_settings(Path(__file__).parents[2] / "config" / "gateway.toml"))
        assert len(evidence.states["car-1"]) == count
        assert not evidence.points
        assert not evidence.told.words
    return evidence


@pytest.mark.parametrize("promise", [p2_departure, p3_boost])
def test_an_audit_takes_time_in_step_with_what_cars_told(
    promise: Callable[[Evidence], Finding], tmp_path: Path
) -> None:
    few, many = (a_car_reports(tmp_path, count) for count in (FEW_REPORTS, MANY_REPORTS))
    assert exponent(lambda: promise(few), lambda: promise(many), MANY_REPORTS / FEW_REPORTS) <= MOST_EXPONENT


def test_a_month_settles_in_step_with_its_events_and_the_zone_s_past(tmp_path: Path) -> None:
    """Both grow alike: read anew for each event, the past would count as often as there are events."""
    urls = [f"sqlite:///{tmp_path / name}" for name in ("few.db", "many.db")]
    with open_store(urls[0], create=True) as few, open_store(urls[1], create=True) as many:
        for store, events in ((few, FEW_EVENTS), (many, FEW_EVENTS * TIMES_EVENTS)):
            make_past(store, cars=1, past=PAST * events, events=events)
            assert len({row.line.opportunity for row in book_of_the_month(store).rows}) == events
        grown = exponent(lambda: book_of_the_month(few), lambda: book_of_the_month(many), TIMES_EVENTS)
    assert grown <= MOST_EXPONENT

"""What simulated cars really did, as ``flexloop simulate fleet --out DIR`` leaves it for the audit.

``truth.csv`` holds their energies, ``summary.json`` their true capacities: a floor is a part of what a
battery really holds, whatever the registry says.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import AwareDatetime, ConfigDict

from aggregator.files.inputs import (
    Name,
    NotNegative,
    Positive,
    Row,
    Whole,
    YesNo,
    as_text,
    csv_lines,
    parse_json,
    read_text,
    validate,
)
from aggregator.model.errors import MISSING, BadMessage, Fault
from aggregator.store import TrueState

STATES, SUMMARY = "truth.csv", "summary.json"


@dataclass(frozen=True, slots=True)
class Simulated:
    """A simulation that is over.

    Attributes:
        states: True states per car, ascending.
        capacity_kwh: Of each car. [kWh]
    """

    states: Mapping[str, Sequence[TrueState]]
    capacity_kwh: Mapping[str, float]


class _State(Row):
    car_id: Name
    at: AwareDatetime
    plugged: YesNo
    true_energy_kwh: NotNegative
    export_w: Whole
    boundary_w: Whole


class _Summary(Row):
    model_config = ConfigDict(extra="ignore")

    true_capacity_kwh: dict[Name, Positive]


def read_simulated(folder: Path) -> Simulated:
    """Read what a simulation left in a folder.

    Raises:
        BadMessage: If a file is missing or wrong.
    """
    summary = folder / SUMMARY
    found = validate(_Summary, parse_json(read_text(summary), summary.name), summary.name)
    states: dict[str, list[TrueState]] = defaultdict(list)
    for state in sorted(read_true_states(folder / STATES), key=lambda one: one.at):
        states[state.car_id].append(state)
    return Simulated(states, found.true_capacity_kwh)


def read_true_states(path: Path) -> list[TrueState]:
    """Read a ``truth.csv``, in its order.

    Raises:
        BadMessage: If it cannot be read or a line is wrong.
    """
    columns, rows = tuple(_State.model_fields), csv_lines(path)
    if not rows or tuple(rows[0][1]) != columns:
        found = ", ".join(rows[0][1]) if rows else MISSING
        raise BadMessage(Fault(f"{path.name}: header", found, f"the columns {', '.join(columns)}"))
    states = []
    for number, cells in rows[1:]:
        where = f"{path.name}: line {number}"
        if len(cells) != len(columns):
            raise BadMessage(Fault(where, ",".join(cells), f"{len(columns)} fields"))
        row = validate(_State, as_text(dict(zip(columns, cells, strict=True))), where)
        power_w = row.export_w, row.boundary_w
        states.append(TrueState(row.car_id, row.at, row.plugged, row.true_energy_kwh, *power_w))
    return states

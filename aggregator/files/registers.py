"""Registers as Parquet, our own form for many readings.

The columns are ``meter_id``, ``measured_at``, ``import_wh`` and ``export_wh``. Instants bear a zone,
registers are whole Wh that a meter has ever counted. Needs the extra ``parquet``.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from aggregator.model.errors import MISSING, BadMessage, Fault
from aggregator.model.metering import Reading
from aggregator.model.time import utc_text
from aggregator.statement_tables import has_parquet

NAMES = ("meter_id", "measured_at", "import_wh", "export_wh")
LARGEST_WH = 10**12
EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)
MOST_FAULTS = 20
"""Told of each kind: a file has millions of rows."""

IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Registers:
    """Readings of a file by meter and instant, each once.

    Attributes:
        meters: By name.
        first: Where each meter's rows begin, and where the last one's end, shape (meters + 1,).
        at_us: Microseconds since 1970, shape (rows,).
        import_wh: Shape (rows,). [Wh]
        export_wh: Shape (rows,). [Wh]
    """

    meters: tuple[str, ...]
    first: IntArray
    at_us: IntArray
    import_wh: IntArray
    export_wh: IntArray

    def by_meter(self, received_at: datetime) -> Iterator[tuple[str, list[Reading]]]:
        """Yield each meter's readings, ascending by when they were measured."""
        for meter, (start, stop) in zip(self.meters, pairwise(self.first.tolist()), strict=True):
            part = slice(start, stop)
            rows = zip(
                self.at_us[part].astype("datetime64[us]").tolist(),
                self.import_wh[part].tolist(),
                self.export_wh[part].tolist(),
                strict=True,
            )
            yield (
                meter,
                [
                    Reading(meter, at.replace(tzinfo=UTC), received_at, taken, given)
                    for at, taken, given in rows
                ],
            )


def read_registers(path: Path, known: Collection[str], now: datetime) -> Registers:
    """Read a file; a row that stands twice counts once.

    Args:
        path: The file.
        known: Meters of the fleet.
        now: Nothing is measured later.

    Raises:
        BadMessage: With what is wrong, row by row from 1; where pyarrow is missing, how to install it.
    """
    if not has_parquet():
        raise BadMessage(Fault(path.name, "Parquet", "read with pip install 'flexloop[parquet]'"))
    columns = _columns(path)
    meter = np.asarray(columns["meter_id"], dtype=object)
    at_us, taken, given = (np.asarray(columns[name], dtype=np.int64) for name in NAMES[1:])
    faults = list(_faults(path.name, meter, at_us, (taken, given), known, now))
    if faults:
        raise BadMessage(*faults)
    names, code = np.unique(meter.astype(str), return_inverse=True)
    order = np.lexsort((at_us, code))
    code, at_us, taken, given = code[order], at_us[order], taken[order], given[order]
    same = (np.diff(code) == 0) & (np.diff(at_us) == 0)
    other = same & ((np.diff(taken) != 0) | (np.diff(given) != 0))
    if other.any():
        raise BadMessage(*_clashes(path.name, other, order, names[code], at_us))
    kept = np.r_[True, ~same]
    code, at_us, taken, given = code[kept], at_us[kept], taken[kept], given[kept]
    first = np.searchsorted(code, np.arange(len(names) + 1))
    return Registers(tuple(map(str, names)), first, at_us, taken, given)


def _columns(path: Path) -> dict[str, Any]:
    """Return the file's columns as arrays without nulls; instants in microseconds."""
    arrow, parquet = import_module("pyarrow"), import_module("pyarrow.parquet")
    try:
        table = parquet.read_table(path)
    except OSError as error:
        reason = error.strerror or "not Parquet"
        raise BadMessage(Fault(str(path), reason, "a readable Parquet file")) from None
    except arrow.ArrowException as error:
        raise BadMessage(Fault(path.name, str(error).split(".")[0], "a Parquet file")) from None
    if sorted(table.column_names) != sorted(NAMES):
        found = ", ".join(table.column_names) or MISSING
        raise BadMessage(Fault(f"{path.name}: columns", found, f"{', '.join(NAMES)}, each once"))
    if not table.num_rows:
        raise BadMessage(Fault(path.name, "no row", "at least one reading"))
    faults = list(_type_faults(path.name, table, arrow.types)) or list(_null_faults(path.name, table))
    if faults:
        raise BadMessage(*faults)
    try:
        at = table["measured_at"].cast(arrow.timestamp("us", tz="UTC")).cast(arrow.int64())
        registers = {name: table[name].cast(arrow.int64()).to_numpy() for name in NAMES[2:]}
    except arrow.ArrowException as error:
        raise BadMessage(Fault(path.name, str(error).split(".")[0], "microseconds and whole Wh")) from None
    return {"meter_id": table["meter_id"].to_pylist(), "measured_at": at.to_numpy(), **registers}


def _type_faults(name: str, table: Any, types: Any) -> Iterator[Fault]:  # noqa: ANN401 - pyarrow has no types
    for column in NAMES:
        kind = table.schema.field(column).type
        match column:
            case "meter_id":
                fits, allowed = types.is_string(kind) or types.is_large_string(kind), "texts"
            case "measured_at":
                fits, allowed = types.is_timestamp(kind) and kind.tz is not None, "instants with a zone"
            case _:
                fits, allowed = types.is_integer(kind), "integers, in Wh"
        if not fits:
            yield Fault(f"{name}: {column}", str(kind), allowed)


def _null_faults(name: str, table: Any) -> Iterator[Fault]:  # noqa: ANN401
    for column in NAMES:
        empty = np.flatnonzero(table[column].is_null().to_numpy())
        for row in empty[:MOST_FAULTS].tolist():
            yield Fault(f"{name}: row {row + 1}.{column}", MISSING, "a value in every row")


def _faults(
    name: str,
    meter: npt.NDArray[np.object_],
    at_us: IntArray,
    registers: tuple[IntArray, IntArray],
    known: Collection[str],
    now: datetime,
) -> Iterator[Fault]:
    unknown = sorted({*meter.tolist()} - {*known})
    rows = np.flatnonzero(np.isin(meter.astype(str), unknown)) if unknown else np.zeros(0, dtype=np.int64)
    for row in rows[:MOST_FAULTS].tolist():
        yield Fault(f"{name}: row {row + 1}.meter_id", str(meter[row]) or MISSING, "a meter of the fleet")
    bounds = [int(one.timestamp()) * 10**6 + one.microsecond for one in (EARLIEST, now)]
    for row in np.flatnonzero((at_us < bounds[0]) | (at_us > bounds[1]))[:MOST_FAULTS].tolist():
        told, allowed = _stamp(at_us[row]), f"between 2000 and now, {utc_text(now)}"
        yield Fault(f"{name}: row {row + 1}.measured_at", told, allowed)
    for column, wh in zip(NAMES[2:], registers, strict=True):
        for row in np.flatnonzero((wh < 0) | (wh > LARGEST_WH))[:MOST_FAULTS].tolist():
            yield Fault(f"{name}: row {row + 1}.{column}", str(wh[row]), f"Wh from 0 to {LARGEST_WH}")


def _clashes(
    name: str, other: npt.NDArray[np.bool_], order: IntArray, meter: npt.NDArray[np.str_], at_us: IntArray
) -> Iterator[Fault]:
    for row in np.flatnonzero(other)[:MOST_FAULTS].tolist():
        told = f"{meter[row]} at {_stamp(at_us[row])}"
        first, second = sorted((int(order[row]), int(order[row + 1])))
        yield Fault(f"{name}: row {second + 1}", told, f"what row {first + 1} says of the same instant")


def _stamp(at_us: np.int64) -> str:
    """Return an instant as text, whatever year it lies in."""
    return f"{np.datetime64(int(at_us), 'us')}Z"

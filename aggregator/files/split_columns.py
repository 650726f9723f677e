"""Large split files: cars and sites read column by column, where nothing at all is wrong with them.

A hundred thousand cars checked one by one take ten times as long to read as their JSON. So columns are
checked at once, and only what is plainly right is taken; anything else is left to the row by row reading,
which alone knows how to say what is wrong.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aggregator.files.inputs import LARGEST
from dispatch.split_cars import Cars, FloatArray, Sites

AT_MOST = (
    ("floor_kwh", "max_kwh"),
    ("target_kwh", "max_kwh"),
    ("max_kwh", "capacity_kwh"),
    ("energy_kwh", "capacity_kwh"),
    ("arrive_slot", "depart_slot"),
)
"""Of a car: what may not be above what."""

_NEEDED = ("capacity_kwh", "floor_kwh", "max_kwh", "energy_kwh", "charge_kw", "discharge_kw", "target_kwh")
_KEYS = {*_NEEDED, "id", "site", "depart_slot", "arrive_slot", "min_kw"}
_SITE_KEYS = {"export_limit_kw", "import_limit_kw", "base_load_kw"}


class _Unusual(Exception):
    """Something that only the reading row by row can judge."""


def plain_columns(cars: object, sites: object, slots: int) -> tuple[Cars, Sites] | None:
    """Return the cars and sites of unchecked input, None unless they are plainly right."""
    try:
        by_name = _dict(sites)
        homes = _sites(by_name, slots)
        return _cars(_rows(cars, _KEYS), by_name), homes
    except (_Unusual, KeyError, TypeError, OverflowError):
        return None


def _sites(sites: Mapping[str, Any], slots: int) -> Sites:
    rows = _rows(list(sites.values()), _SITE_KEYS)
    limits = {name: _figures([row[name] for row in rows]) for name in ("export_limit_kw", "import_limit_kw")}
    base = None
    if any(row.get("base_load_kw") is not None for row in rows):
        nothing = [0.0] * slots
        loads = [row.get("base_load_kw") or nothing for row in rows]
        _need(set(map(type, loads)) == {list} and set(map(len, loads)) == {slots})
        flat = _figures([kw for load in loads for kw in load], least=-LARGEST)
        base = flat.reshape(len(rows), slots)
        _need(bool((base <= limits["import_limit_kw"][:, None]).all()))
    return Sites(tuple(sites), limits["export_limit_kw"], limits["import_limit_kw"], base)


def _cars(rows: Sequence[Mapping[str, Any]], sites: Mapping[str, Any]) -> Cars:
    ids = [row["id"] for row in rows]
    names = {name: place for place, name in enumerate(sites)}
    _need(set(map(type, ids)) <= {str} and "" not in ids and "".join(ids).isprintable())
    _need(len(set(ids)) == len(ids))
    site = np.array([names[row["site"]] for row in rows], np.intp)
    columns: dict[str, FloatArray | NDArray[np.intp]] = {
        name: _figures([row[name] for row in rows]) for name in _NEEDED
    }
    columns["min_kw"] = _figures([row.get("min_kw", 0.0) for row in rows])
    columns["depart_slot"] = _slots([row["depart_slot"] for row in rows])
    columns["arrive_slot"] = _slots([row.get("arrive_slot", 0) for row in rows])
    _need(all(bool((columns[low] <= columns[high]).all()) for low, high in AT_MOST))
    _need(bool((columns.pop("capacity_kwh") > 0).all()))
    nothing = np.zeros(len(rows))
    return Cars(ids=ids, site=site, guard_kwh=nothing, worn_kwh=nothing, **columns)  # type: ignore[arg-type]


def _rows(raw: object, keys: set[str]) -> list[Mapping[str, Any]]:
    rows: list[Mapping[str, Any]] = raw if isinstance(raw, list) else [{"": raw}]
    _need(set(map(type, rows)) <= {dict} and set().union(*rows) <= keys)
    return rows


def _dict(raw: object) -> Mapping[str, Any]:
    _need(isinstance(raw, dict))
    return raw  # type: ignore[return-value]


def _figures(values: Iterable[object], least: float = 0.0) -> FloatArray:
    column = list(values)
    _need(set(map(type, column)) <= {float, int})
    found = np.array(column, np.float64)
    _need(bool(((found >= least) & (found <= LARGEST)).all()))
    return found


def _slots(values: list[object]) -> NDArray[np.intp]:
    _need(set(map(type, values)) <= {int})
    found = np.array(values, np.intp)
    _need(bool(((found >= 0) & (found <= LARGEST)).all()))
    return found


def _need(right: bool) -> None:
    if not right:
        raise _Unusual

"""A settlement day's readings as one Parquet file: the same readings, the same bytes, and their SHA-256.

A file is written whole under a name that ends in the beginning of its digest, synced, and never changed. Who
reads it reads all its bytes once, checks the digest, and decodes those same bytes: a file that is missing or
another one is said, never taken for a gap. Parquet needs the extra ``parquet`` (pyarrow).
"""

import hashlib
import io
import os
from collections.abc import Iterator, Sequence
from importlib import import_module
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from aggregator.model.errors import BadMessage, Fault

Row = tuple[str, int, int, int, int]
"""Meter, measured and received in microseconds since 1970, import and export register in Wh."""

COLUMNS = ("meter_id", "measured_at", "received_at", "import_wh", "export_wh")
CODE = "rolled_readings"
ROWS_A_GROUP = 20_000
"""Rows that are decoded together: few enough that one zone's meters need not bring all others'."""

_SHOWN = 16


class Day:
    """The readings of some meters from one file, by meter, instant and when we learnt each.

    Attributes:
        measured_at: Microseconds since 1970, ascending within a meter.
    """

    def __init__(
        self, names: Sequence[str], codes: npt.NDArray[np.int32], columns: Sequence[npt.NDArray[np.int64]]
    ) -> None:
        bounds = [*np.searchsorted(codes, range(len(names))).tolist(), len(codes)]
        spans = (slice(low, high) for low, high in pairwise(bounds))
        self._slices = dict(zip(names, spans, strict=True))
        self.measured_at, self._received_at, self._import_wh, self._export_wh = columns

    def nearest(self, meter: str, instant: int, known_at: int) -> tuple[int | None, int | None]:
        """Return when the readings on both sides of an instant were measured, of those learnt by a time."""
        mine = self._slices.get(meter)
        if mine is None:
            return None, None
        measured = self.measured_at[mine][self._received_at[mine] <= known_at]
        before = int(np.searchsorted(measured, instant, side="right"))
        after = int(np.searchsorted(measured, instant, side="left"))
        return (
            int(measured[before - 1]) if before else None,
            int(measured[after]) if after < len(measured) else None,
        )

    def rows(self, meter: str, low: int, high: int, known_at: int) -> Iterator[Row]:
        """Yield a meter's readings measured from ``low``, inclusive, to ``high``, exclusive."""
        mine = self._slices.get(meter)
        if mine is None:
            return
        first, last = np.searchsorted(self.measured_at[mine], (low, high)) + mine.start
        columns = (self.measured_at, self._received_at, self._import_wh, self._export_wh)
        plain = (column[first:last].tolist() for column in columns)
        yield from (
            (meter, at, learnt, *wh) for at, learnt, *wh in zip(*plain, strict=True) if learnt <= known_at
        )


def must_have_parquet(what: str) -> None:
    """Check that Parquet files can be written and read here.

    Raises:
        BadMessage: If not; it says which extra is missing.
    """
    if find_spec("pyarrow") is None:
        raise BadMessage(Fault(what, "no pyarrow", "pip install 'flexloop[parquet]'"), code=CODE)


def to_bytes(rows: Sequence[Row]) -> bytes:
    """Return readings, in their order, as one Parquet file."""
    arrow, parquet = import_module("pyarrow"), import_module("pyarrow.parquet")
    instant = arrow.timestamp("us", tz="UTC")
    kinds = (arrow.string(), instant, instant, arrow.int64(), arrow.int64())
    values = {
        name: arrow.array(column, type=kind)
        for name, kind, column in zip(COLUMNS, kinds, zip(*rows, strict=True), strict=True)
    }
    sink = io.BytesIO()
    parquet.write_table(arrow.table(values), sink, compression="zstd", row_group_size=ROWS_A_GROUP)
    return sink.getvalue()


def digest_of(data: bytes) -> str:
    """Return a file's SHA-256."""
    return hashlib.sha256(data).hexdigest()


def write(folder: Path, stem: str, data: bytes) -> Path:
    """Write a file whole and durable, its digest in its name; return where it is.

    Raises:
        BadMessage: If it cannot be written there.
    """
    path = folder / f"{stem}-{digest_of(data)[:_SHOWN]}.parquet"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _written(path, data)
    except OSError as error:
        allowed = "a folder that can be written, with space left"
        raise BadMessage(Fault(str(folder), error.strerror or str(error), allowed), code=CODE) from None
    return path


def _written(path: Path, data: bytes) -> None:
    half = path.with_suffix(".part")
    with half.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    half.replace(path)
    listed = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(listed)  # the name is durable, too
    finally:
        os.close(listed)


def checked(path: Path, sha256: str) -> bytes:
    """Return a file's bytes.

    Raises:
        BadMessage: If it is missing, or not as it was written.
    """
    wanted = f"the file as it was rolled, SHA-256 {sha256[:_SHOWN]}...: put it back from a copy"
    try:
        data = path.read_bytes()
    except OSError as error:
        raise BadMessage(Fault(str(path), error.strerror or str(error), wanted), code=CODE) from None
    if digest_of(data) != sha256:
        raise BadMessage(Fault(str(path), f"SHA-256 {digest_of(data)[:_SHOWN]}...", wanted), code=CODE)
    return data


def read(path: Path, sha256: str, meters: Sequence[str]) -> Day:
    """Return some meters' readings, maybe others' as well, from a file that was checked.

    Raises:
        BadMessage: As ``checked``; also where pyarrow is not installed.
    """
    must_have_parquet(str(path))
    data = checked(path, sha256)
    arrow, parquet = import_module("pyarrow"), import_module("pyarrow.parquet")
    file = parquet.ParquetFile(arrow.BufferReader(data))
    wanted = sorted(set(meters))
    groups = [n for n in range(file.num_row_groups) if _may_have(file.metadata.row_group(n), wanted)]
    table = file.read_row_groups(groups, use_threads=False)
    ids = table["meter_id"].combine_chunks().dictionary_encode()
    columns = [table[name].cast(arrow.int64()).to_numpy() for name in COLUMNS[1:]]
    return Day(ids.dictionary.to_pylist(), ids.indices.to_numpy(), columns)


def _may_have(group: Any, wanted: Sequence[str]) -> bool:  # noqa: ANN401 - pyarrow is not there for the type check
    shown = group.column(0).statistics
    return shown is None or not shown.has_min_max or any(shown.min <= one <= shown.max for one in wanted)

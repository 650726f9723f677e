"""CSV tables of other people's: broken rows are counted, told and left out, never guessed.

A table is read by the names of its columns, in any order, with others beside them. Without one of the
columns it stands on, or without a single row, it is refused as a whole.
"""

import csv
import io
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from aggregator.files.inputs import read_text
from aggregator.model.errors import MISSING, BadMessage, Fault, short

Read = TypeVar("Read")

MOST_TOLD = 200
"""Rows left out that are told one by one; all of them are counted."""


class Unusable(ValueError):
    """What is wrong with one row: the column, what stands there, and what would have been accepted."""

    def __init__(self, column: str, value: str, allowed: str) -> None:
        super().__init__(allowed)
        self.column = column
        self.value = value
        self.allowed = allowed


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a table.

    Attributes:
        line: Number in the file, from 1; the header is 1.
        cells: Text by column.
    """

    line: int
    cells: dict[str, str]

    def text(self, column: str) -> str:
        """Return a text that is not empty.

        Raises:
            Unusable: If it is.
        """
        value = self.cells.get(column, "").strip()
        if not value or not value.isprintable():
            raise Unusable(column, value or MISSING, "a printable text")
        return value

    def number(self, column: str, least: float, most: float) -> float:
        """Return a finite number within bounds.

        Raises:
            Unusable: If it is none, or outside.
        """
        value = self.cells.get(column, "").strip()
        try:
            number = float(value)
        except ValueError:
            number = math.nan
        if not least <= number <= most:
            raise Unusable(column, value or MISSING, f"a number from {least:g} to {most:g}")
        return number


@dataclass(frozen=True, slots=True)
class LeftOut:
    """What was left out of a file: every row is counted by its reason, the first ones are told."""

    file: str
    counts: dict[str, int] = field(default_factory=dict)
    told: list[dict[str, str | int]] = field(default_factory=list)

    def add(self, line: int, wrong: Unusable) -> None:
        """Count one row, and tell it while there are few."""
        reason = f"{wrong.column}: {wrong.allowed}"
        self.counts[reason] = self.counts.get(reason, 0) + 1
        if len(self.told) < MOST_TOLD:
            self.told.append(
                {
                    "file": self.file,
                    "line": line,
                    "field": wrong.column,
                    "value": short(wrong.value),
                    "why": wrong.allowed,
                }
            )


def rows(path: Path, needed: Sequence[str], left_out: LeftOut) -> Iterator[Row]:
    """Yield the rows of a CSV file with a header.

    Args:
        path: UTF-8, with or without a byte order mark, any line ends.
        needed: Columns without which the table means nothing.
        left_out: Takes the rows that do not have as many fields as the header.

    Raises:
        BadMessage: If the file cannot be read, lacks a column, names one twice, or holds no row at all.
    """
    reader = csv.reader(io.StringIO(read_text(path), newline=""))
    header = [name.strip() for name in next(reader, [])]
    faults = [
        Fault(f"{path.name}: header", MISSING, f"a column {name}") for name in needed if name not in header
    ]
    faults += [
        Fault(f"{path.name}: header", name, "each column once") for name in needed if header.count(name) > 1
    ]
    if faults:
        raise BadMessage(*faults)
    empty = True
    try:
        for cells in reader:
            if not cells:
                continue
            empty = False
            if len(cells) != len(header):
                left_out.add(
                    reader.line_num, Unusable("(row)", f"{len(cells)} fields", "as many fields as the header")
                )
                continue
            yield Row(reader.line_num, dict(zip(header, cells, strict=True)))
    except csv.Error as error:
        raise BadMessage(Fault(f"{path.name}: line {reader.line_num}", str(error), "CSV")) from None
    if empty:
        raise BadMessage(Fault(path.name, "no rows", "a header and at least one row"))


def usable(table: Iterator[Row], read: Callable[[Row], Read], left_out: LeftOut) -> Iterator[Read]:
    """Yield what ``read`` makes of each row; rows it finds unusable go to ``left_out``."""
    for row in table:
        try:
            yield read(row)
        except Unusable as wrong:
            left_out.add(row.line, wrong)

"""Measures speed and memory and keeps the figures: ``python -m tests.bench [--only WORD] [--demo]``.

Without ``--only`` the table is written to ``RESULTS.md`` beside this file. A missed budget is said, not
hidden, and is no error: other work on the machine slows all of it.
"""

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from aggregator.store import Store, open_store
from tests.bench import (
    beside_flexmeasures,
    bidding,
    days,
    demo,
    desk,
    looping,
    messages,
    planning,
    platform,
    reaching,
    records,
    results,
    rolling,
    settlement,
    splitting,
)
from tests.bench.measure import Row
from tests.postgres import running

ON_STORE: dict[str, Callable[[Store], Iterator[Row]]] = {
    "store": records.rows,
    "messages": messages.rows,
    "settlement": settlement.rows,
    "rolling": rolling.rows,
}
SUBJECTS: dict[str, Callable[[], Iterator[Row]]] = {
    "split": splitting.rows,
    "loop": looping.rows,
    "surprises": days.surprise_rows,
    "day": days.rows,
    "forecast": planning.draw_rows,
    "base plan": planning.rows,
    "base plan, flexmeasures": beside_flexmeasures.rows,
    "plan": planning.file_rows,
    "reach": reaching.rows,
    "bid": bidding.rows,
    "bid, growing scenarios": bidding.scenario_rows,
    "bid, many scenarios": bidding.many_rows,
    "platform": platform.rows,
    "desk": desk.rows,
    "store on PostgreSQL": lambda: _with_postgresql(records.rows),
    "rolling on PostgreSQL": lambda: _with_postgresql(rolling.rows),
    **{name: lambda subject=subject: _with_store(subject) for name, subject in ON_STORE.items()},
}


def main(
    only: Annotated[str | None, typer.Option(help="Only subjects with this in their name.")] = None,
    with_demo: Annotated[bool, typer.Option("--demo", help="The demo too, about a minute.")] = False,
) -> None:
    """Measure, show and keep."""
    console, on = Console(), results.machine()
    console.print(on, soft_wrap=True)
    chosen = {name: rows for name, rows in SUBJECTS.items() if only is None or only in name}
    if with_demo:
        chosen["demo"] = demo.rows
    found: list[Row] = []
    with console.status("measuring") as status:
        for name, rows in chosen.items():
            status.update(f"measuring: {name}")
            for row in rows():
                found.append(row)
                line = " · ".join(cell for cell in results.cells(row) if cell)
                console.print(line, highlight=False, soft_wrap=True)
    found.append(results.peak_memory())
    console.print(_table(found))
    if only is None:
        results.write(found, on)
        console.print(f"written to {results.RESULTS.name}")


def _with_store(subject: Callable[[Store], Iterator[Row]]) -> Iterator[Row]:
    with (
        tempfile.TemporaryDirectory(prefix="flexloop-bench-") as folder,
        open_store(f"sqlite:///{Path(folder) / 'bench.db'}", create=True) as store,
    ):
        yield from subject(store)


def _with_postgresql(subject: Callable[[Store, str], Iterator[Row]]) -> Iterator[Row]:
    with running() as server, open_store(server.create(), create=True) as store:
        yield from subject(store, "PostgreSQL")


def _table(rows: list[Row]) -> Table:
    table = Table(*results.COLUMNS)
    for row in rows:
        table.add_row(*results.cells(row), style="red" if row.verdict == "MISSED" else None)
    return table


if __name__ == "__main__":
    typer.run(main)

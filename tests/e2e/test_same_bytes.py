"""The same inputs settle to the same bytes: on either database, in any time zone and locale, each time."""

import os
import subprocess
import sys
from datetime import date, timedelta
from pathlib import Path

from aggregator.model.fleet import Fleet
from aggregator.model.opportunity import (
    Approved,
    Awarded,
    DeliveryEnded,
    DeliveryStarted,
    Instructed,
    Proposed,
    Received,
    Submitted,
)
from aggregator.store import open_store
from tests.builders import (
    EVENING,
    NOON,
    SLOTS,
    a_car,
    a_charger,
    a_draft,
    a_nomination,
    a_reading,
    a_requirement,
    a_site,
    an_award,
    an_instruction,
)

ROOT = Path(__file__).parents[2]
ZONE, PRODUCT = "Hendon Way", "day-ahead"
MINUTE = timedelta(minutes=1)
NAMES = ("Zoë", "zoe", "a-1", "a1", "A 2", "é", "007", "_x", "Ärger", "=1+1")
HERE = {"TZ": "UTC", "LC_ALL": "C"}
ELSEWHERE = {"TZ": "Pacific/Auckland", "LC_ALL": "tr_TR.UTF-8", "PYTHONHASHSEED": "42"}


def filled(url):
    """Put a delivered evening of ten cars into a store, registers late, corrected, missing and uneven."""
    said = {"zone": ZONE, "product_id": PRODUCT}
    draft = a_draft()
    facts = (
        Received(NOON, a_requirement(**said)),
        Proposed(NOON, draft),
        Approved(NOON, draft.digest, "bob"),
        Submitted(NOON, draft.report_id),
        Awarded(NOON, an_award(**said)),
        Instructed(NOON, an_instruction(**said)),
        DeliveryStarted(EVENING.start),
        DeliveryEnded(EVENING.end),
    )
    cars = [
        a_car(
            car_id=f"car {name}",
            charger=a_charger(charger_id=name),
            site=a_site(site_id=f"home {name}", zone=ZONE),
        )
        for name in NAMES
    ]
    with open_store(url, create=True) as store:
        store.fleet.replace(Fleet(tuple(cars), digest="f" * 64), NOON, "fleet.toml")
        for n, fact in enumerate(facts):
            store.journal.append("one", fact, expected_version=n, by="test", recorded_at=fact.at + MINUTE)
        store.nominations.freeze([a_nomination(zone=ZONE, period=slot, export_wh=-777) for slot in SLOTS])
        for number, name in enumerate(NAMES[:-1]):
            for minute in range(-5, 125, 3 + number):
                at = EVENING.start + minute * MINUTE
                wh = 7 * (minute + 5) * (number + 1) // 3
                times = {"measured_at": at, "received_at": at + MINUTE}
                store.readings.add([a_reading(charger_id=name, import_wh=10**7, export_wh=wh, **times)])
        late = EVENING.start + 31 * MINUTE
        store.readings.add([a_reading(charger_id="007", measured_at=late, received_at=EVENING.end)])


def settled(url, out, **environment):
    command = [sys.executable, "-m", "aggregator", "--config", str(ROOT / "config" / "gateway.toml")]
    command += ["--database", url, "settle", "--from", "2025-01-15", "--to", "2025-01-16", "--out", str(out)]
    done = subprocess.run(
        command, check=False, env={**os.environ, **environment}, cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return {file.name: file.read_bytes() for file in sorted(out.iterdir())}


def test_a_statement_has_the_same_bytes_on_both_databases_and_wherever_it_is_made(postgres, tmp_path):
    urls = (f"sqlite:///{tmp_path / 'f.db'}", postgres.create())
    for url in urls:
        filled(url)
    found = [
        settled(url, tmp_path / f"{n}-{m}", **around)
        for n, url in enumerate(urls)
        for m, around in enumerate((HERE, ELSEWHERE))
    ]
    assert set(found[0]) == {f"statement.{kind}" for kind in ("csv", "html", "json", "parquet", "xlsx")}
    assert len(found[0]["statement.csv"].splitlines()) == 5
    assert all(one == found[0] for one in found)


def test_rolled_readings_have_the_same_bytes_on_both_databases(postgres, tmp_path):
    files = []
    for n, url in enumerate((f"sqlite:///{tmp_path / 'f.db'}", postgres.create())):
        filled(url)
        with open_store(url, create=False) as store:
            list(store.rolling.roll(date(2025, 1, 16), tmp_path / str(n)))
        files.append({file.name: file.read_bytes() for file in (tmp_path / str(n)).iterdir()})
    assert files[0] == files[1] != {}

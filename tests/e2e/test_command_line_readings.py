"""``flexloop readings check``: where registers did not count on, and where nothing was told."""

import json

from aggregator.cli import run
from aggregator.store import open_store
from tests.builders import EVENING, a_reading
from tests.e2e.test_same_bytes import MINUTE, NAMES, ROOT, filled


def test_restarts_and_gaps_are_listed(tmp_path, capsys):
    url = f"sqlite:///{tmp_path / 'f.db'}"
    filled(url)
    with open_store(url, create=False) as store:
        at = EVENING.end + 10 * MINUTE
        store.readings.add([a_reading(charger_id="a1", measured_at=at, received_at=at, import_wh=5)])
    shared = ["--config", str(ROOT / "config" / "gateway.toml"), "--database", url, "--json"]
    assert run([*shared, "readings", "check", "--from", "2025-01-15", "--to", "2025-01-16"]) == 0
    said = json.loads(capsys.readouterr().out)
    found = [(one["register"], one["kind"]) for one in said["events"] if one["meter"] == "a1"]
    assert found == [("import_wh", "restart")]
    silent = [gap for gap in said["gaps"] if gap["meter"] == NAMES[-1]]
    day = {"from": "2025-01-15T00:00:00Z", "to": "2025-01-16T00:00:00Z"}
    assert silent == [{"meter": "=1+1", "point": "charger", **day}]
    assert run([*shared, "readings", "check", "--from", "2025-01-16", "--to", "2025-01-15"]) == 2

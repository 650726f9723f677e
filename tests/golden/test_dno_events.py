"""The events of the DNO simulator, byte for byte."""

import re
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from openleadr.messaging import create_message, validate_xml_schema

from market_adapters.dno_simulator.book import Bid, Book, PriceStep
from market_adapters.dno_simulator.edge import checked
from market_adapters.dno_simulator.events import as_event
from market_adapters.dno_simulator.notices import notices
from market_adapters.dno_simulator.scenario import Scenario

FOLDER = Path(__file__).parent / "dno_simulator"
REQUIREMENT = {
    "id": "REQ-0007",
    "zone": "Hendon Way",
    "product": "day-ahead",
    "start": "2025-01-15T17:00:00Z",
    "end": "2025-01-15T19:00:00Z",
    "kw": 36.0,
    "ceiling_gbp_per_mwh": 620.0,
    "publish_at": "2025-01-14T09:00:00Z",
    "gate_closure_at": "2025-01-14T09:30:00Z",
    "award_at": "2025-01-14T09:40:00Z",
    "dispatch_at": "2025-01-14T09:50:00Z",
    "level": [1.0, 1.0, 0.8, 0.4],
    "amend": [{"at": "2025-01-14T09:55:00Z", "kw": [30.0, 20.0]}],
}
PEAK = {
    "id": "2025-01-15",
    "zones": ["Hendon Way"],
    "start": "2025-01-15T16:00:00Z",
    "end": "2025-01-15T19:00:00Z",
    "level": 2,
    "publish_at": "2025-01-14T09:00:00Z",
}
SCENARIO = {
    "vtn_id": "DSO-Example",
    "market_context": "http://dso.example/flex",
    "starts_at": "2025-01-14T08:00:00Z",
    "ends_at": "2025-01-16T08:00:00Z",
    "requirement": [REQUIREMENT],
    "peak": [PEAK],
}
OWN_IDS = {
    "AWD-REQ-0007": "AWD-0007",
    "DSP-REQ-0007": "DSP-0007",
    "PEAK-2025-01-15-Hendon Way": "PEAK-2025-01-15",
}


@pytest.mark.parametrize(
    ("name", "event_id", "published_by"),
    [
        ("requirement", "REQ-0007", "2025-01-14T09:00:00Z"),
        ("award", "AWD-REQ-0007", "2025-01-14T09:40:00Z"),
        ("dispatch", "DSP-REQ-0007", "2025-01-14T09:50:00Z"),
        ("dispatch-amended", "DSP-REQ-0007", "2025-01-14T09:55:00Z"),
        ("peak", "PEAK-2025-01-15-Hendon Way", "2025-01-14T09:00:00Z"),
    ],
)
def test_an_event_is_the_published_example(name: str, event_id: str, published_by: str) -> None:
    scenario = checked(Scenario, SCENARIO, "example")
    received_at = datetime.fromisoformat("2025-01-14T09:10:00Z")
    nothing = (0.0,) * 4
    book = Book(
        scenario,
        bids={"REQ-0007": [Bid("B:1", 1, (PriceStep((30.0,) * 4, (596.0,) * 4, nothing),), received_at)]},
    )
    published = notices(scenario, book, datetime.fromisoformat(published_by))
    (notice,) = [notice for notice in published if notice.id == event_id]
    seen_at = datetime.fromisoformat("2025-01-15T19:10:00Z")
    xml = create_message(
        "oadrDistributeEvent",
        vtn_id=scenario.vtn_id,
        request_id=f"r-{name}",
        events=[as_event(notice, seen_at, timedelta(0))],
    )
    validate_xml_schema(xml)
    assert without_stamps(xml) == without_stamps((FOLDER / f"{name}.xml").read_text())


def without_stamps(xml: str) -> str:
    for own, example in OWN_IDS.items():
        xml = xml.replace(f">{own}<", f">{example}<")
    return re.sub(r"((?:modification|created)DateTime)>[^<]*<", r"\1><", xml).strip()

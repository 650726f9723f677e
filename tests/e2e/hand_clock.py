"""A clock that the test turns: what happens, and in which order, depends on no machine's speed."""

import json
from datetime import datetime
from pathlib import Path

from aggregator.kept_clock import Hands
from aggregator.model.time import utc_text

HOLDERS = ("dno",)
"""The simulated DNO wants to be one; the test does not wait for it."""


def hand_clock(folder: Path, shown: datetime) -> Hands:
    """Write ``clock.json``, and the hands that it names, which stand still until they are moved."""
    clock = {
        "hands": "clock.hands",
        "holders": HOLDERS,
        "starts_at": utc_text(shown),
        "steps": [{"from": utc_text(shown), "factor": 1.0}],
    }
    (folder / "clock.json").write_text(json.dumps(clock))
    return Hands.make(folder / "clock.hands", shown, HOLDERS)

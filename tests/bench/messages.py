"""OpenADR events: read, put into our words, made durable."""

from collections.abc import Iterator
from itertools import count
from pathlib import Path
from time import perf_counter

from aggregator.desk import Desk
from aggregator.intake import take
from aggregator.model.market import Direction
from aggregator.ports import MarketCall, Opt
from aggregator.store import Store
from aggregator.workflow import Workflow
from market_adapters.openadr.profile import Profile
from market_adapters.openadr.translate import to_call
from market_adapters.openadr.wire import parse
from tests.bench.measure import Row, median_ms, percentile_ms
from tests.builders import NOON, VTN, a_product
from tests.fakes.clock import FakeClock

EVENT = Path(__file__).parents[1] / "golden" / "openadr_read" / "requirement.xml"
EVENT_ID, PRODUCT = b"REQ-0007", "day-ahead"
PROFILE = Profile("http://dso.example/flex", ("Hendon Way",), {PRODUCT: Direction.UP})
EVENTS = 300
DURABLE_P99_MS = 250.0


def rows(store: Store) -> Iterator[Row]:
    """Measure reading alone, then an event all the way into the store."""
    raw = EVENT.read_bytes()
    size = f"1 requirement, {len(raw):,} bytes"
    yield median_ms("event read: parse, schema, translate", size, lambda: _call(raw))
    products = {PRODUCT: a_product(product_id=PRODUCT)}
    flow = Workflow(store, FakeClock(NOON), products, Desk(True, frozenset(), frozenset(), ()))
    numbers = count()
    found = [_taken_s(flow, raw.replace(EVENT_ID, b"REQ-%d" % next(numbers))) for _ in range(EVENTS)]
    size = f"{EVENTS} new events, SQLite, without the answer's way back"
    yield Row("event in to durable, median", size, percentile_ms(found, 0.5), "ms", EVENTS)
    yield Row("event in to durable, p99", size, percentile_ms(found, 0.99), "ms", EVENTS, DURABLE_P99_MS)


def _call(raw: bytes) -> MarketCall:
    (event,) = parse(raw).body.events
    return to_call(event, PROFILE, vtn_id=VTN, received_at=NOON, raw=raw)


def _taken_s(flow: Workflow, raw: bytes) -> float:
    start = perf_counter()
    answer = take(flow, _call(raw))
    seconds = perf_counter() - start
    if answer.opt is not Opt.IN:
        raise RuntimeError("the bench's event was refused")
    return seconds

"""Statements of many opportunities, with their versions, as one book for files and pages.

A version that was kept is made again from what was known when it was made, and says whether it still comes
out the same.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal

from aggregator.lookback import histories_behind, known
from aggregator.model.fleet import Fleets
from aggregator.model.market import Product
from aggregator.model.opportunity import Opportunity
from aggregator.model.time import LONDON, Interval
from aggregator.reports import ShownBias, StatementBook, StatementRow, Version, changes
from aggregator.settlement import Statement
from aggregator.settling import NONE_READ, SETTLED_STAGES, Worked, biases_before, versions_kept, work_out
from aggregator.store import Store
from aggregator.zone_past import ZonePast

NONE_YET: Mapping[str, Worked] = {}


def versions_of(
    store: Store,
    opportunity: Opportunity,
    product: Product,
    fleets: Fleets,
    latest: Worked,
    as_known_at: datetime | None = None,
    history: ZonePast | None = None,
) -> Iterator[Version]:
    """Yield each version of a statement, made again from what was known when it was made.

    Args:
        store: Where facts and registers are.
        opportunity: Whose.
        product: Its rules.
        fleets: Whose cars.
        latest: The statement as known now, which the last version mostly is.
        as_known_at: Versions made later are left out.
        history: See ``work_out``.
    """
    name = opportunity.opportunity_id
    reasons = {one.version: one.reason for one in store.statements.all(name)}
    before: Statement | None = None
    for at, fact in versions_kept(store, name):
        if as_known_at is not None and at > as_known_at:
            return
        same = fact.digest == latest.digest
        then = opportunity if same else known(store, opportunity, at)
        worked = latest if same else work_out(store, then, product, fleets, at, history)
        yield Version(
            name,
            fact.statement_version,
            at,
            reasons[fact.statement_version],
            Decimal(fact.amount_gbp),
            fact.digest,
            worked.digest == fact.digest,
            () if before is None else changes(before.lines, worked.statement.lines),
        )
        before = worked.statement


def make_book(
    store: Store,
    products: Mapping[str, Product],
    fleets: Fleets,
    start: date,
    end: date,
    zone: str | None = None,
    as_known_at: datetime | None = None,
    worked_out: Mapping[str, Worked] = NONE_YET,
    watched: Callable[[Sequence[str]], Iterable[str]] = iter,
    histories: Mapping[str, ZonePast] = NONE_READ,
) -> StatementBook:
    """Return the statement of all half-hours whose London date lies in ``start`` to ``end``, end excluded.

    What has been delivered has rows. With ``as_known_at`` they say what was known of it then, its orders,
    award and nomination included: where there was neither an award nor an order yet, there are no rows.
    ``worked_out`` are statements as known now, by opportunity, that need not be worked out again; ``watched``
    yields the opportunities it is given, in their order, and may tell somebody how far it is; ``histories``
    are zones' pasts that need not be read again.
    """
    midnights = (datetime.combine(day, datetime.min.time(), LONDON) for day in (start, end))
    span = Interval(*midnights)
    delivered = store.journal.find(zone=zone, stages=SETTLED_STAGES, overlapping=span, since=as_known_at)
    found = [one if as_known_at is None else known(store, one, as_known_at) for one in delivered]
    ordered = [
        one for one in found if (one.award is not None or one.orders) and one.window.overlap(span) is not None
    ]
    ordered.sort(key=lambda one: (one.zone, one.window, one.opportunity_id))
    by_name = {one.opportunity_id: one for one in ordered}
    histories = histories or histories_behind(store, ordered, products, as_known_at)
    bias_of = biases_before(store, ordered, products, fleets, as_known_at, histories)
    rows: list[StatementRow] = []
    inputs: dict[str, str] = {}
    versions: list[Version] = []
    biases: list[ShownBias] = []
    for name in watched(list(by_name)):
        opportunity = by_name[name]
        product = products[opportunity.product_id]
        done = worked_out.get(opportunity.opportunity_id)
        history = histories.get(opportunity.zone)
        worked = done or work_out(store, opportunity, product, fleets, as_known_at, history)
        versions += versions_of(store, opportunity, product, fleets, worked, as_known_at, history)
        biases.append(ShownBias(name, opportunity.zone, opportunity.window, bias_of[name]))
        rows += [
            StatementRow(line, opportunity.statement_version, worked.cars)
            for line in worked.statement.lines
            if start <= line.settlement_date < end
        ]
        inputs |= {f"{opportunity.opportunity_id} {name}": digest for name, digest in worked.inputs.items()}
    return StatementBook(start, end, zone, tuple(rows), inputs, tuple(versions), tuple(biases))

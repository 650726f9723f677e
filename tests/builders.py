"""Model values for tests: whole and valid; a test changes only what it is about.

All lie around one winter evening, Wednesday 15 January 2025, 17:00 to 19:00 in London (UTC then).
"""

from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from decimal import Decimal

from aggregator.model.explanation import Explanation, Worth
from aggregator.model.fleet import Car, Charger, ExportSource, Fleet, Intent, Site
from aggregator.model.market import (
    Award,
    BidShape,
    Direction,
    Draft,
    EventKey,
    Instruction,
    Nomination,
    OrderMode,
    PeakWindow,
    Plan,
    Product,
    Requirement,
    Step,
)
from aggregator.model.metering import CarReport, Purpose, Reading, SetPoint
from aggregator.model.opportunity import (
    Approved,
    AwardCancelled,
    Awarded,
    AwardValued,
    Checked,
    Closed,
    Declined,
    DeliveryEnded,
    DeliveryStarted,
    DraftLapsed,
    DraftRefused,
    Fact,
    GateClosed,
    Instructed,
    InstructionCancelled,
    NotAwarded,
    Opportunity,
    OptedOut,
    Proposed,
    Received,
    RequirementCancelled,
    Settled,
    SubmissionFailed,
    Submitted,
    Withdrawn,
)
from aggregator.model.time import HALF_HOUR, Interval
from aggregator.ports import CallKind, MarketCall, Opt, Report, ReportRow
from aggregator.store import InboxEntry

NOON = datetime(2025, 1, 15, 12, tzinfo=UTC)
EVENING = Interval(datetime(2025, 1, 15, 17, tzinfo=UTC), datetime(2025, 1, 15, 19, tzinfo=UTC))
SLOTS = EVENING.slots(HALF_HOUR)
ZONE = "EASTGATE"
PRODUCT = "evening-up"
VTN = "dno"


def a_site(**changes):
    site = Site(
        site_id="home-1",
        zone=ZONE,
        export_limit_kw=7.36,
        export_source=ExportSource.G99,
        import_limit_kw=18.4,
    )
    return replace(site, **changes)


def a_charger(**changes):
    charger = Charger("charger-1", charge_kw=7.4, discharge_kw=6.0, eta_charge=0.92, eta_discharge=0.91)
    return replace(charger, **changes)


def an_intent(**changes):
    return replace(Intent(depart_local=time(7, 30), target_soc=0.8), **changes)


def a_car(**changes):
    car = Car(
        car_id="car-1",
        capacity_kwh=60.0,
        floor_soc=0.3,
        default_intent=an_intent(),
        charger=a_charger(),
        site=a_site(),
    )
    return replace(car, **changes)


def a_fleet(count=2, **changes):
    """Return cars ``car-1`` to ``car-<count>``, each alone at home; ``changes`` are those of every car."""
    cars = tuple(
        a_car(
            car_id=f"car-{n}",
            charger=a_charger(charger_id=f"charger-{n}"),
            site=a_site(site_id=f"home-{n}"),
            **changes,
        )
        for n in range(1, count + 1)
    )
    return Fleet(cars, digest="f" * 64)


def a_product(**changes):
    product = Product(
        product_id=PRODUCT,
        direction=Direction.UP,
        bid_shape=BidShape.PER_SLOT,
        slot=HALF_HOUR,
        tick_kw=1.0,
        min_kw=10.0,
        gate_days_before=0,
        gate_local=time(14),
        hold_back=True,
        award_probability=0.8,
        penalty_gbp_per_mwh=Decimal(100),
    )
    return replace(product, **changes)


def an_event_key(**changes):
    return replace(EventKey(VTN, "requirement-1", 0), **changes)


def a_requirement(**changes):
    requirement = Requirement(
        key=an_event_key(),
        zone=ZONE,
        product_id=PRODUCT,
        window=EVENING,
        needed_kw=(40.0, 60.0, 60.0, 20.5),
        utilisation_ceiling=Decimal("350.00"),
        availability_ceiling=Decimal("12.5"),
    )
    return replace(requirement, **changes)


def an_award(**changes):
    award = Award(
        key=an_event_key(event_id="award-1"),
        zone=ZONE,
        product_id=PRODUCT,
        window=EVENING,
        awarded_kw=(30.0, 50.0, 50.0, 20.0),
        utilisation_gbp_per_mwh=Decimal("300.00"),
        availability_gbp_per_mw_h=Decimal("10"),
    )
    return replace(award, **changes)


def some_steps(*values, slots=SLOTS):
    """Return one step a slot; fewer values take fewer slots."""
    return tuple(Step(slot, float(value)) for slot, value in zip(slots, values, strict=False))


def an_instruction(**changes):
    instruction = Instruction(
        key=an_event_key(event_id="dispatch-1"),
        zone=ZONE,
        product_id=PRODUCT,
        mode=OrderMode.DELTA,
        steps=some_steps(30, 50, 50, 20),
        issued_at=NOON,
    )
    return replace(instruction, **changes)


def a_peak_window(**changes):
    return replace(PeakWindow(an_event_key(event_id="peak-1"), ZONE, some_steps(1, 2, 2, 1)), **changes)


def a_plan(**changes):
    plan = Plan(
        zone=ZONE,
        slots=SLOTS,
        base_discharge_kw=(10.0, 10.5, 0.1, 0.0),
        base_charge_kw=(0.0, 0.0, 2.0, 4.0),
        digest="a" * 64,
    )
    return replace(plan, **changes)


def an_explanation(**changes):
    explanation = Explanation(
        binding=("energy in 17:30 to 18:30",),
        bad_scenarios=("2024-12-24: 3.2 kWh",),
        marginal_cost_gbp_per_mwh=182.4,
        held_back_kwh=1.5,
        factor=0.97,
        cars=12,
        scenarios=30,
        solver="glpk optimal 0.0",
        margin_p10_gbp=1.1,
        inputs_digest="b" * 64,
    )
    return replace(explanation, **changes)


def a_draft(**changes):
    """Return a sealed draft: its digest is that of the changed content, unless ``digest`` is given."""
    draft = Draft(
        bid_id="bid-1",
        version=1,
        offered_kw=(30.0, 50.0, 50.0, 20.0),
        utilisation_gbp_per_mwh=Decimal("300.00"),
        availability_gbp_per_mw_h=Decimal("10"),
        base_kw=(10.0, 10.5, 0.1, 0.0),
        kept_kw=(9.0, 10.5, 0.1, 0.0),
        expected_margin_gbp=4.25,
        why=an_explanation(),
        by="model",
    )
    changed = replace(draft, **changes)
    return changed if "digest" in changes else changed.sealed()


def a_nomination(**changes):
    nomination = Nomination(ZONE, SLOTS[0], export_wh=4500, base_wh=5000, kept_wh=4500, frozen_at=NOON)
    return replace(nomination, **changes)


def a_reading(**changes):
    reading = Reading("charger-1", NOON, NOON + timedelta(seconds=2), import_wh=120_000, export_wh=4_000)
    return replace(reading, **changes)


def a_car_report(**changes):
    report = CarReport(
        car_id="car-1",
        measured_at=NOON,
        plugged=True,
        soc=0.55,
        export_w=-7400,
        import_wh=120_000,
        export_wh=4_000,
    )
    return replace(report, **changes)


def a_set_point(**changes):
    point = SetPoint(
        car_id="car-1",
        export_w=6000,
        issued_at=EVENING.start,
        expires_at=EVENING.start + timedelta(seconds=120),
        purpose=Purpose.INSTRUCTION,
        opportunity_id="opportunity-1",
    )
    return replace(point, **changes)


def a_report(**changes):
    report = Report(
        report_id="bid-1:1",
        vtn_id=VTN,
        request_id="requirement-1",
        specifier="bid",
        created_at=NOON,
        rows=tuple(ReportRow(f"{ZONE}/{PRODUCT}/kw/1", slot, 30.0) for slot in SLOTS),
    )
    return replace(report, **changes)


def a_call(**changes):
    """Return the event that brings ``a_requirement``."""
    call = MarketCall(
        key=an_event_key(),
        kind=CallKind.REQUIREMENT,
        content=a_requirement(),
        opportunity_ref=None,
        zones=(ZONE,),
        interval=EVENING,
        cancelled=False,
        test=False,
        wants_answer=True,
        problem=None,
        raw=b"<oadrPayload/>",
        modified_at=NOON,
    )
    return replace(call, **changes)


def an_inbox_entry(**changes):
    entry = InboxEntry(
        key=an_event_key(),
        kind=CallKind.REQUIREMENT,
        zones=(ZONE,),
        raw=b"<oadrPayload/>",
        received_at=NOON,
        decision=Opt.IN,
    )
    return replace(entry, **changes)


def a_peak_entry(**changes):
    """Return the inbox entry of ``a_peak_window``."""
    window = a_peak_window()
    return replace(an_inbox_entry(key=window.key, kind=CallKind.PEAK, content=window), **changes)


def a_next_fact(opportunity: Opportunity, kind: type[Fact], at: datetime = NOON) -> Fact:
    """Return a fact of a kind that fits the opportunity as it stands: the draft there is, the next version.

    Any walk over ``NEXT`` made of these is one that could have happened.
    """
    after = opportunity.version  # versions only grow, so a modification made of one is always newer
    digest = opportunity.draft.digest if opportunity.draft else "none"
    makers = {
        Received: lambda: Received(at, a_requirement(key=an_event_key(modification=after))),
        RequirementCancelled: lambda: RequirementCancelled(at, an_event_key(modification=after)),
        Proposed: lambda: Proposed(at, a_draft(version=after + 1)),
        Checked: lambda: Checked(at, digest, "ann"),
        Approved: lambda: Approved(at, digest, "bob"),
        Declined: lambda: Declined(at, "too few cars", "ann"),
        DraftRefused: lambda: DraftRefused(at, "too little", "ann"),
        Withdrawn: lambda: Withdrawn(at, "a charger recall", "ann"),
        OptedOut: lambda: OptedOut(at, "a charger recall", "ann"),
        Submitted: lambda: Submitted(at, "bid-1:1"),
        SubmissionFailed: lambda: SubmissionFailed(at, "no answer before the gate closed"),
        Awarded: lambda: Awarded(at, an_award(key=an_event_key(event_id="award-1", modification=after))),
        AwardCancelled: lambda: AwardCancelled(at, an_event_key(event_id="award-1", modification=after)),
        AwardValued: lambda: AwardValued(
            at, opportunity.award.key if opportunity.award else an_event_key(), Worth(1.0, 0.5, 2.0, 0.9)
        ),
        Instructed: lambda: Instructed(
            at, an_instruction(key=an_event_key(event_id="dispatch-1", modification=after))
        ),
        InstructionCancelled: lambda: InstructionCancelled(
            at, an_event_key(event_id="dispatch-1", modification=after)
        ),
        Settled: lambda: Settled(at, opportunity.statement_version + 1, "d" * 64, "-0.10"),
    }
    bare = (GateClosed, DraftLapsed, NotAwarded, DeliveryStarted, DeliveryEnded, Closed)
    makers |= {fact: lambda fact=fact: fact(at) for fact in bare}
    return makers[kind]()


def key_of(event_id, modification=0):
    """Return the key of one version of an event of the usual platform."""
    return an_event_key(event_id=event_id, modification=modification)


def a_need_call(modification=0, event_id="requirement-1", **changes):
    key = key_of(event_id, modification)
    return replace(a_call(key=key, content=a_requirement(key=key)), **changes)


def an_award_call(modification=0, **changes):
    key = key_of("award-1", modification)
    award = an_award(key=key)
    return replace(a_call(key=key, kind=CallKind.AWARD, content=award), **changes)


def an_order_call(modification=0, event_id="dispatch-1", product_id=PRODUCT, at=NOON, **changes):
    key = key_of(event_id, modification)
    order = an_instruction(key=key, product_id=product_id, issued_at=at)
    return replace(a_call(key=key, kind=CallKind.DISPATCH, content=order, modified_at=at), **changes)


def a_peak_call(modification=0, **changes):
    key = key_of("peak-1", modification)
    peak = a_peak_window(key=key)
    return replace(a_call(key=key, kind=CallKind.PEAK, content=peak), **changes)


def cancelled(call, modification=1, **changes):
    """Return the version of an event that takes it back; it has no content."""
    key = replace(call.key, modification=modification)
    return replace(call, key=key, content=None, cancelled=True, **changes)


def completed(call, modification=1, **changes):
    """Return the version of an event that says it has ended; it has no content."""
    key = replace(call.key, modification=modification)
    return replace(call, key=key, content=None, completed=True, **changes)

"""What a gateway shows of itself, as Prometheus reads it: made anew for each look, from what workers show."""

import asyncio
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import structlog
from cryptography import x509
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4 as CONTENT_TYPE

from aggregator.clock import RealClock
from aggregator.config import Settings
from aggregator.model.errors import Unavailable
from aggregator.ports import Clock
from aggregator.recorder import Recorder
from aggregator.store import SendState, Store
from dispatch.controller import Controller
from market_adapters.openadr.ven import Ven

__all__ = ["CONTENT_TYPE", "Watched", "metrics_page"]

log = structlog.get_logger()

SECOND, DAY = timedelta(seconds=1), timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Watched:
    """What is looked at: the parts of one gateway."""

    settings: Settings
    store: Store
    clock: Clock
    controller: Controller
    recorder: Recorder
    vens: Mapping[str, Ven]


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A platform's reports by state, and when the oldest was made that it has not acknowledged."""

    counts: Mapping[SendState, int]
    waiting_since: datetime | None


async def metrics_page(watched: Watched) -> bytes:
    """Return all figures in Prometheus' text format; without the outbox's where the database is away."""
    outgoing, days = await asyncio.to_thread(_read, watched)
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Page([*_platforms(watched, days), *_outboxes(watched, outgoing), *_loop(watched)]))
    return generate_latest(registry)


@dataclass(frozen=True, slots=True, eq=False)
class _Page:
    families: list[Metric]

    def collect(self) -> list[Metric]:
        return self.families


def _read(watched: Watched) -> tuple[dict[str, Outgoing], dict[str, float]]:
    """Return what takes files and the database; in a thread."""
    days = {
        market.vtn.vtn_id: left
        for market in watched.settings.market
        if market.vtn.certificate is not None and (left := days_left(market.vtn.certificate)) is not None
    }
    outbox = watched.store.outbox
    try:
        return {
            name: Outgoing(outbox.counts(name), outbox.waiting_since(name)) for name in watched.vens
        }, days
    except Unavailable as error:
        log.warning("metrics_without_database", error=str(error))
        return {}, days


def days_left(file: Path) -> float | None:
    """Return how long a certificate is still valid, below 0 once it is not; None for what is none. [days]"""
    try:
        certificate = x509.load_pem_x509_certificate(file.read_bytes())
    except (OSError, ValueError):
        return None
    return (certificate.not_valid_after_utc - RealClock().now()) / DAY


def _platforms(watched: Watched, days: Mapping[str, float]) -> Iterator[Metric]:
    registered = _gauge("platform_registered", "Whether the platform knows us.", "vtn")
    age = _gauge("platform_poll_age_seconds", "Since a poll was last answered, wall time.", "vtn")
    interval = _gauge("platform_poll_interval_seconds", "Between polls, wall time.", "vtn")
    failures = _gauge("platform_failures", "Failures in a row.", "vtn")
    skew = _gauge("platform_clock_skew_seconds", "The platform's clock ahead of ours, by its Date.", "vtn")
    signed = _gauge("platform_signature_skew_seconds", "The same by its last signature.", "vtn")
    valid = _gauge("platform_certificate_days", "Until our certificate ends.", "vtn")
    answers = CounterMetricFamily(
        "flexloop_event_answers", "Event versions answered.", labels=("vtn", "opt", "code")
    )
    for name, ven in watched.vens.items():
        registered.add_metric([name], float(ven.registered))
        interval.add_metric([name], ven.poll_s)
        failures.add_metric([name], ven.consecutive_failures)
        told = (
            (age, ven.poll_age_s),
            (skew, ven.clock_skew_s),
            (signed, ven.skew_s),
            (valid, days.get(name)),
        )
        for family, value in told:
            if value is not None:
                family.add_metric([name], value)
        for (opt, code), count in sorted(ven.answers.items()):
            answers.add_metric([name, opt.value, str(code)], count)
    yield from (registered, age, interval, failures, skew, signed, valid, answers)


def _outboxes(watched: Watched, outgoing: Mapping[str, Outgoing]) -> Iterator[Metric]:
    reports = _gauge(
        "outbox_reports", "Reports by what became of them; pending is the depth.", "vtn", "state"
    )
    oldest = _gauge("outbox_oldest_seconds", "Age of the oldest pending report, domain time.", "vtn")
    for name, found in outgoing.items():
        for state, count in found.counts.items():
            reports.add_metric([name, state.value], count)
        age = watched.clock.now() - found.waiting_since if found.waiting_since else timedelta(0)
        oldest.add_metric([name], age / SECOND)
    yield from (reports, oldest)


def _loop(watched: Watched) -> Iterator[Metric]:
    controller, now = watched.controller, watched.clock.now()
    stale_after = 2 * timedelta(seconds=watched.settings.dispatch.reporting_interval_s)
    views = controller.view.all()
    cars = _gauge("cars", "Cars by state; plugged ones that are stale count as 0 kW.", "state")
    cars.add_metric(["known"], len(views))
    plugged = [view for view in views if view.is_plugged()]
    cars.add_metric(["plugged"], len(plugged))
    cars.add_metric(["stale"], sum(view.is_stale(now, stale_after) for view in plugged))
    cars.add_metric(
        ["not_following"], sum(not controller.following.follows(view.car.car_id) for view in plugged)
    )
    points = CounterMetricFamily(
        "flexloop_set_points", "Set-points by what became of them.", labels=("outcome",)
    )
    for outcome, count in sorted(watched.recorder.outcomes.items()):
        points.add_metric([outcome.value], count)
    yield from (cars, points)
    yield CounterMetricFamily("flexloop_cycles", "Control cycles begun.", value=controller.cycles)
    yield _single("cycle_seconds", "How long the last control cycle took, wall time.", controller.cycle_s)
    if controller.cycled_at is not None:
        age_s = (now - controller.cycled_at) / SECOND
        yield _single("cycle_age_seconds", "Since the last control cycle began, domain time.", age_s)
    yield _single("stopped_zones", "Zones in which the cars are stopped.", len(controller.orders.stopped()))
    yield _single("recorder_backlog", "Cycles that wait for the disk.", watched.recorder.backlog)


def _gauge(name: str, text: str, *labels: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"flexloop_{name}", text, labels=labels)


def _single(name: str, text: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"flexloop_{name}", text, value=value)

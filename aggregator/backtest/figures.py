"""The figures of a backtest: how often bids were kept, how much was bid, what it earned, where it failed."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import sqrt
from typing import Any

import numpy as np

from aggregator.backtest.story import CLAIRVOYANT, MEAN, MODEL, P10, POLICIES, WHOLE, Result, Story

ENOUGH = 0.95
LEAST_BID_ON = 0.70
LEAST_VOLUME = 0.60
WANTED_COVERAGE = 0.90
Z95 = 1.959963984540054
LEVELS = tuple(n / 20 for n in range(1, 20))
HISTOGRAM = (0.0, 0.5, 0.7, 0.8, 0.85, 0.9, 0.95, 0.99, 1.0)
WORST = 20
SATURDAY = 5
SUMMER = (4, 9)
SMALL, MIDDLE = 30, 80
TOLD_ABSENT = 8


@dataclass(frozen=True, slots=True)
class Share:
    """A share of events with its 95% interval (Wilson's score): ``of`` may be 0."""

    hits: int
    of: int

    @property
    def value(self) -> float | None:
        """The share; None of nothing."""
        return self.hits / self.of if self.of else None

    @property
    def interval(self) -> tuple[float, float] | None:
        """Wilson's score interval at 95%; None of nothing."""
        if not self.of:
            return None
        share, n = self.hits / self.of, self.of
        middle = (share + Z95**2 / (2 * n)) / (1 + Z95**2 / n)
        half = Z95 * sqrt(share * (1 - share) / n + Z95**2 / (4 * n**2)) / (1 + Z95**2 / n)
        return max(0.0, middle - half), min(1.0, middle + half)

    def body(self) -> dict[str, object]:
        """Return it for JSON."""
        interval = self.interval
        return {
            "share": rounded(self.value),
            "interval": None if interval is None else [rounded(bound) for bound in interval],
            "events": self.of,
        }


def rounded(value: float | None, digits: int = 4) -> float | None:
    """Return a figure as it is written down; a negative zero is none."""
    return None if value is None else round(value, digits) + 0.0


def policy_figures(stories: Sequence[Story], policy: str) -> dict[str, object]:
    """Return one policy's figures over events."""
    results = [story.results[policy] for story in stories]
    bids = [result for result in results if result.committed_kwh > 0.0]
    kept = Share(sum(result.ratio >= ENOUGH for result in bids), len(bids))
    whole = Share(sum(result.ratio >= WHOLE for result in bids), len(bids))
    money = {
        "revenue_gbp": _sum(results, lambda one: one.revenue_gbp),
        "penalty_gbp": _sum(results, lambda one: one.penalty_gbp),
        "energy_gbp": _sum(results, lambda one: one.energy_gbp),
        "wear_gbp": _sum(results, lambda one: one.wear_gbp),
    }
    paid = money["penalty_gbp"] + money["energy_gbp"] + money["wear_gbp"]
    return {
        "bid_on": len(bids),
        "committed_kwh": _sum(results, lambda one: one.committed_kwh),
        "delivered_kwh": _sum(results, lambda one: one.delivered_kwh),
        "coverage_95": kept.body(),
        "coverage_100": whole.body(),
        **money,
        "net_gbp": round(money["revenue_gbp"] - paid, 2) + 0.0,
    }


def _sum(results: Iterable[Result], figure: Callable[[Result], float]) -> float:
    return round(sum(map(figure, results)), 2) + 0.0


def feasible(stories: Iterable[Story]) -> list[Story]:
    """Return the events on which who knows the day bids something."""
    return [story for story in stories if story.results[CLAIRVOYANT].committed_kwh > 0.0]


def group_figures(stories: Sequence[Story]) -> dict[str, object]:
    """Return all policies' figures over a group of events, and whether its coverage counts."""
    could = feasible(stories)
    bid_on = Share(sum(story.results[MODEL].committed_kwh > 0.0 for story in could), len(could))
    best_kwh = sum(story.results[CLAIRVOYANT].committed_kwh for story in stories)
    own_kwh = sum(story.results[MODEL].committed_kwh for story in stories)
    volume = own_kwh / best_kwh if best_kwh else None
    counts = (bid_on.value or 0.0) >= LEAST_BID_ON and (volume or 0.0) >= LEAST_VOLUME
    return {
        "events": len(stories),
        "feasible": len(could),
        "bid_on_feasible": bid_on.body(),
        "volume_of_clairvoyant": rounded(volume),
        "coverage_counts": counts,
        "policies": {policy: policy_figures(stories, policy) for policy in POLICIES},
    }


def targets(figures: Mapping[str, Any], broken: int) -> dict[str, bool | None]:
    """Return which aims are met: None where there is no bid to judge by.

    Args:
        figures: Of a group of events.
        broken: Promises broken.
    """
    policies = figures["policies"]
    own = policies[MODEL]["coverage_95"]["share"]
    rivals = [
        policies[name]["net_gbp"]
        for name in (MEAN, P10)
        if (policies[name]["coverage_95"]["share"] or 0.0) >= WANTED_COVERAGE
    ]
    return {
        "95% delivered in 90% of bids": None if own is None else own >= WANTED_COVERAGE,
        "bids on 70% of feasible events": (figures["bid_on_feasible"]["share"] or 0.0) >= LEAST_BID_ON,
        "60% of the clairvoyant's volume": (figures["volume_of_clairvoyant"] or 0.0) >= LEAST_VOLUME,
        "net money of every rival kept in 90%": policies[MODEL]["net_gbp"] >= max(rivals, default=-np.inf),
        "no promise broken": not broken,
    }


def groups(stories: Sequence[Story]) -> dict[str, dict[str, list[Story]]]:
    """Return the events by season, kind of day, zone, size of fleet, and what bounded the bid."""
    keys: dict[str, Callable[[Story], str]] = {
        "season": lambda one: "summer" if SUMMER[0] <= one.day.month <= SUMMER[1] else "winter",
        "day": lambda one: "weekend" if one.day.weekday() >= SATURDAY else "weekday",
        "zone": lambda one: one.zone,
        "fleet": lambda one: _size(one.cars),
        "bound": _bound,
    }
    found: dict[str, dict[str, list[Story]]] = {name: {} for name in keys}
    for story in stories:
        for name, key in keys.items():
            found[name].setdefault(key(story), []).append(story)
    return {name: dict(sorted(parts.items())) for name, parts in found.items()}


def _size(cars: int) -> str:
    return f"under {SMALL} cars" if cars < SMALL else f"{SMALL} to {MIDDLE}" if cars <= MIDDLE else "more"


def _bound(story: Story) -> str:
    bid_kw = story.results[MODEL].bid_kw
    if not bid_kw:
        return "no bid"
    return "the need" if bid_kw > story.event.need_kw - 1.0 else "the cars"


def calibration(stories: Iterable[Story]) -> list[dict[str, float | None]]:
    """Return how often a day could deliver at least what each part of its forecast's days could.

    For a forecast that is right, a share ``level`` of days delivers at least the (1 - level) quantile.
    """
    known = [story for story in stories if story.forecast_kw]
    curve: list[dict[str, float | None]] = []
    for level in LEVELS:
        hits = sum(
            story.true_kw >= float(np.quantile(story.forecast_kw, 1.0 - level)) - 1e-9 for story in known
        )
        curve.append({"promised": level, "kept": rounded(hits / len(known)) if known else None})
    return curve


def histogram(stories: Iterable[Story], policy: str) -> list[dict[str, object]]:
    """Return how many bids delivered which part of what was committed."""
    ratios = [s.results[policy].ratio for s in stories if s.results[policy].committed_kwh > 0.0]
    counts = [
        sum(low <= ratio < high for ratio in ratios)
        for low, high in zip(HISTOGRAM, (*HISTOGRAM[1:-1], WHOLE), strict=False)
    ]
    edges = pairwise(HISTOGRAM)
    bars: list[dict[str, object]] = [
        {"from": low, "below": high, "bids": count} for (low, high), count in zip(edges, counts, strict=True)
    ]
    return [*bars, {"from": 1.0, "below": None, "bids": sum(ratio >= WHOLE for ratio in ratios)}]


def worst(stories: Iterable[Story]) -> list[dict[str, object]]:
    """Return the events of the largest missing share of a bid of ours, and who did not come."""
    missed = [story for story in stories if story.results[MODEL].ratio < ENOUGH]
    return [story_body(story) for story in sorted(missed, key=_misery)[:WORST]]


def _misery(story: Story) -> tuple[float, str, str]:
    return story.results[MODEL].ratio, story.day.isoformat(), story.zone


def story_body(story: Story) -> dict[str, object]:
    """Return one event for JSON."""
    own = story.results[MODEL]
    return {
        "zone": story.zone,
        "day": story.day.isoformat(),
        "start": story.event.window.start.isoformat(),
        "end": story.event.window.end.isoformat(),
        "source": story.event.source,
        "product": story.event.product,
        "need_kw": rounded(story.event.need_kw, 3),
        "utilisation_gbp_per_mwh": rounded(story.event.utilisation_gbp_per_mwh, 2),
        "availability_gbp_per_mw_h": rounded(story.event.availability_gbp_per_mw_h, 2),
        "cars": story.cars,
        "cars_expected": rounded(story.expected_cars, 1),
        "cars_came": story.came,
        "fear": rounded(story.fear),
        "risk": rounded(story.level.miss) if story.level else None,
        "could_kw": rounded(story.true_kw, 1),
        "why": own.why or _reason(story),
        "results": {
            policy: {
                "bid_kw": rounded(result.bid_kw, 3),
                "committed_kwh": rounded(result.committed_kwh, 3),
                "delivered_kwh": rounded(result.delivered_kwh, 3),
                "net_gbp": rounded(result.net_gbp, 2),
            }
            for policy, result in story.results.items()
        },
    }


def _reason(story: Story) -> str:
    """Say why a bid fell short, from who came and what they could give; empty where it did not."""
    own = story.results[MODEL]
    if own.ratio >= ENOUGH:
        return ""
    said = [f"{story.came} cars through the window, {story.expected_cars:.1f} expected"]
    if story.absent:
        names = ", ".join(story.absent[:TOLD_ABSENT])
        more = len(story.absent) - TOLD_ABSENT
        said.append(f"counted on and not there: {names}{f' and {more} more' if more > 0 else ''}")
    below = sum(kw <= story.true_kw for kw in story.forecast_kw)
    said.append(
        f"the day could give {story.true_kw:.0f} kW: {below} of {len(story.forecast_kw)} like days gave less"
    )
    return "; ".join(said)

"""What a car has stored, from what it says and what its meter counts; and how far that can be off.

A car tells its state of charge coarsely, noisily, late, or not at all for a while; its charger's registers
are exact. So the last state of charge is aged to now by the registers' energy, one-way losses paid, and each
new one corrects what that comes to: not at all where the two agree within the step in which cars report, and
else the more, the less sure we were. The doubt grows with the energy that was moved and with time, and is
never less than a step of the report or its noise.

Registers against swings of the state of charge tell how large a battery is, over some days and stays. They
can't tell a larger battery from a better charger: what lies within ``LOSSES`` of the registry, or within what
noise could make of it, is left as it is, and of what lies beyond only the part beyond counts. A car that
never moves teaches nothing, a state of charge that is old but says it is new can't be known for what it is,
and a restart begins from the registry.

While a car says nothing, its registers alone can't tell a battery that is smaller than registered from one
that is not. So what left it since it last spoke is counted as if it was ``LEAST_CAPACITY`` of the registry's:
a quarter more. A car that speaks often pays nothing for it.
"""

from bisect import bisect_right
from collections import deque
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import copysign, sqrt

from aggregator.model.fleet import Car
from aggregator.model.metering import CarReport
from aggregator.model.time import HOUR
from dispatch.counting import counts_on

WH_PER_KWH = 1000.0
OLDEST = timedelta(hours=2)
"""A state of charge that is older when it comes is not used."""

WRONG = 0.10
"""How far a registry's capacity is taken to be off before anything is learnt, one part in ten either way."""

LEAST_CAPACITY = 0.8
"""The least part of a registry's capacity that a battery is taken to have while it says nothing: an old one
has lost a fifth."""

LOSSES = 0.03
"""What efficiencies that change with power leave open of a capacity."""

ODD = 0.02
MOST_WRONG = 0.25
DRIFT_PER_HOUR = 0.002
LEAST_GAIN = 0.1
FIRST_NOISE, LEAST_NOISE = 0.005, 0.002
NOISES = 3.0
"""What lies further off than so many times the noise is no longer taken for noise."""

FORGETS = 0.05
LARGEST_STEP = 0.1
JUMP, JUMP_NOISES = 0.05, 4.0
"""What lies further off is no noise: the car has found out better, and is believed at once."""

SPACING = 0.005
"""Reports nearer to each other than this, in parts of the capacity, say the same twice."""


@dataclass(slots=True)
class _Swings:
    """Sums of what was reported against what was stored, each swing about its own mean.

    A swing goes one way: over a turn a wrong efficiency would add up, and look like a wrong capacity.
    """

    kwh_kwh: float = 0.0
    kwh_soc: float = 0.0
    count: int = 0
    mean_kwh: float = 0.0
    mean_soc: float = 0.0
    last: tuple[float, float] | None = None
    way: float = 0.0

    def begin(self) -> None:
        """Start a swing: how full the car then was says nothing of what it moves."""
        self.count, self.mean_kwh, self.mean_soc, self.last, self.way = 0, 0.0, 0.0, None, 0.0

    def add(self, stored_kwh: float, soc: float, spacing_kwh: float) -> None:
        """Take a report of a state of charge in, with what was stored by then since the car came."""
        last, moved_kwh = self.last, stored_kwh - self.last[0] if self.last else 0.0
        if last is not None:
            if abs(moved_kwh) < spacing_kwh:
                return
            if moved_kwh * self.way < 0:
                self.begin()
                self._weigh(*last)
        self._weigh(stored_kwh, soc)
        self.way = copysign(1.0, moved_kwh) if last is not None else 0.0

    def _weigh(self, stored_kwh: float, soc: float) -> None:
        self.last = stored_kwh, soc
        self.count += 1
        off_kwh = stored_kwh - self.mean_kwh
        self.mean_kwh += off_kwh / self.count
        self.mean_soc += (soc - self.mean_soc) / self.count
        self.kwh_kwh += off_kwh * (stored_kwh - self.mean_kwh)
        self.kwh_soc += off_kwh * (soc - self.mean_soc)


class Battery:
    """One car's state of charge as it is best known.

    Args:
        car: Its registry entry.
        step: In which cars report their state of charge. One whose reports change by larger steps only is
            taken to report in those. [-]

    Attributes:
        soc: At the last report; None while it is not known. [-]
        capacity_kwh: The registry's, or what was learnt.
        wrong: How far ``capacity_kwh`` may be off, in parts of it. [-]
    """

    def __init__(self, car: Car, step: float) -> None:
        self._car, self._finest = car, step
        self._step, self._least_change = step, LARGEST_STEP
        self._said: float | None = None
        self.soc: float | None = None
        self.capacity_kwh, self.wrong = car.capacity_kwh, WRONG
        self._spread, self._noise = step, FIRST_NOISE
        self._swings = _Swings()
        self._stored: deque[tuple[datetime, float]] = deque()
        self._last: CarReport | None = None
        self._said_at: datetime | None = None
        self._said_kwh = 0.0

    @property
    def least_soc(self) -> float | None:
        """What to plan with: ``soc``, but what left since the car spoke counts for the least capacity."""
        if self.soc is None:
            return None
        fell_kwh = max(0.0, self._said_kwh - self._stored[-1][1])
        least_kwh = min(self.capacity_kwh, LEAST_CAPACITY * self._car.capacity_kwh)
        return max(0.0, self.soc - fell_kwh * (1 / least_kwh - 1 / self.capacity_kwh))

    @property
    def doubt(self) -> float:
        """How far ``soc`` may be off either way. [-]"""
        return max(self._step, NOISES * self._noise, self._spread)

    @property
    def taken_kwh(self) -> float:
        """What registers say was stored since the car came, or since they began to count anew. [kWh]"""
        return max(0.0, self._stored[-1][1]) if self._stored else 0.0

    @property
    def is_odd(self) -> bool:
        """Whether the registry's capacity is surely wrong by more than ``ODD``."""
        return abs(self.capacity_kwh / self._car.capacity_kwh - 1) - self.wrong > ODD

    def observe(self, report: CarReport) -> None:
        """Take a report in, newer than the last."""
        before, self._last = self._last, report
        if not report.plugged:
            self._leave()
            return
        if before is None or not before.plugged or not counts_on(self._car.charger, before, report):
            self._leave()
            self._stored.append((report.measured_at, 0.0))
        else:
            self._move(before, report)
        said_at = report.soc_at or report.measured_at
        if report.soc is None or not self._is_news(said_at):
            return
        self._said_at = said_at
        self._look_at_step(report.soc)
        then_kwh = self._said_kwh = self._stored_at(said_at)
        self._correct(report.soc, self._stored[-1][1] - then_kwh)
        self._learn(then_kwh, report.soc)

    def _leave(self) -> None:
        self.soc, self._spread, self._said_at = None, self._step, None
        self._stored.clear()
        self._swings.begin()

    def _move(self, before: CarReport, report: CarReport) -> None:
        charger = self._car.charger
        taken_kwh = (report.import_wh - before.import_wh) / WH_PER_KWH * charger.eta_charge
        given_kwh = (report.export_wh - before.export_wh) / WH_PER_KWH / charger.eta_discharge
        self._stored.append((report.measured_at, self._stored[-1][1] + taken_kwh - given_kwh))
        oldest = max(
            report.measured_at - OLDEST, self._said_at or self._stored[0][0]
        )  # news is newer than that
        while len(self._stored) > 1 and self._stored[1][0] <= oldest:
            self._stored.popleft()
        if self.soc is not None:
            hours = (report.measured_at - before.measured_at) / HOUR
            self.soc = min(1.0, max(0.0, self.soc + (taken_kwh - given_kwh) / self.capacity_kwh))
            self._spread += self.wrong * (taken_kwh + given_kwh) / self.capacity_kwh + DRIFT_PER_HOUR * hours

    def _look_at_step(self, said: float) -> None:
        """Take the least change that a car ever reported for its step, where that is coarser than stated."""
        before, self._said = self._said, said
        change = round(abs(said - before), 6) if before is not None else 0.0
        if 0 < change < LARGEST_STEP:
            self._least_change = min(self._least_change, change)
            self._step = max(self._finest, self._least_change)

    def _is_news(self, said_at: datetime) -> bool:
        """Whether a state of charge is of this stay, none too old, and not the one already told."""
        begun, now = self._stored[0][0], self._stored[-1][0]
        return begun <= said_at <= now and (self._said_at in (None, now) or said_at > self._said_at)

    def _stored_at(self, at: datetime) -> float:
        """Return what was stored since the stay began, between two reports in proportion. [kWh]"""
        place = bisect_right(self._stored, at, key=lambda one: one[0])
        if place == len(self._stored):
            return self._stored[-1][1]
        (start, low), (end, high) = self._stored[place - 1], self._stored[place]
        return low + (high - low) * ((at - start) / (end - start))

    def _correct(self, then: float, moved_kwh: float) -> None:
        """Bring what was told nearer to, of an instant since which so much was stored."""
        said = min(1.0, max(0.0, then + moved_kwh / self.capacity_kwh))
        if self.soc is None:
            self.soc = said
            self._spread = self._step + self.wrong * abs(moved_kwh) / self.capacity_kwh
            return
        miss = said - self.soc
        beyond = copysign(max(0.0, abs(miss) - self._step / 2), miss)
        if abs(beyond) > max(JUMP, JUMP_NOISES * self._noise, self._spread):
            self.soc, self._spread = said, self._step
            self._swings.begin()
            return
        self._noise = max(LEAST_NOISE, sqrt((1 - FORGETS) * self._noise**2 + FORGETS * beyond**2))
        gain = max(LEAST_GAIN, self._spread**2 / (self._spread**2 + self._noise**2 + self._step**2 / 12))
        self.soc = min(1.0, max(0.0, self.soc + gain * beyond))
        self._spread *= sqrt(1 - gain)

    def _learn(self, stored_kwh: float, soc: float) -> None:
        """Weigh the slope of the state of charge over the stored energy against the registry's."""
        registry_kwh = self._car.capacity_kwh
        self._swings.add(stored_kwh, soc, SPACING * registry_kwh)
        error = (self._noise + self._step / 2) ** 2 * max(1.0, (self._noise + self._step) / SPACING)
        known = (registry_kwh / WRONG) ** 2
        weight = self._swings.kwh_kwh / error + known
        per_kwh = (self._swings.kwh_soc / error + known / registry_kwh) / weight
        off = 1 / (max(per_kwh, 1e-9) * registry_kwh) - 1
        self.wrong = max(LOSSES, sqrt(1 / weight) * registry_kwh)
        off = copysign(max(0.0, min(abs(off), MOST_WRONG) - self.wrong), off)
        self.capacity_kwh = registry_kwh * (1 + off)

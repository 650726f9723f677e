"""What is wrong with simulated cars and chargers, by a script: TOML, a ``[[trouble]]`` each; none by default.

A trouble has a kind, the cars it befalls (``car_id``, or ``share``: a part of the fleet drawn from the seed)
and, but for ``capacity``, may have ``starts_at`` and ``ends_at``. Of two of a kind the later one in the file
holds. Kinds, with what each needs:

* ``capacity``, ``by``: the true capacity is so much larger (0.15) or smaller (-0.15) than the registry's.
* ``soc_noise``, ``by``: standard deviation of the error of a reported state of charge.
* ``soc_step``, ``by``: step in which it is reported.
* ``soc_late``, ``late_s``: it is reported so long after it was measured, with the instant of that.
* ``soc_silent``: it is not reported; registers are.
* ``deaf``: the charger accepts set-points and ignores them.
* ``slow``, ``late_s``: it accepts them and follows so much later.
* ``unanswered``, ``late_s``: it follows so much later, and its answer does not come in time.
* ``lost``: its link is lost; nothing is heard of it, and it is told nothing.
"""

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import numpy as np
from pydantic import Field, ValidationError, model_validator

from aggregator.model.errors import BadMessage, Fault
from dispatch.fleet_simulator.physics import BoolArray, FloatArray
from dispatch.fleet_simulator.script import Row, faults_of, text_of
from dispatch.links.messages import Instant, Name


class Kind(StrEnum):
    """What is wrong."""

    CAPACITY = "capacity"
    SOC_NOISE = "soc_noise"
    SOC_STEP = "soc_step"
    SOC_LATE = "soc_late"
    SOC_SILENT = "soc_silent"
    DEAF = "deaf"
    SLOW = "slow"
    UNANSWERED = "unanswered"
    LOST = "lost"


BY = {Kind.CAPACITY: (-0.5, 0.5), Kind.SOC_NOISE: (0.0, 0.2), Kind.SOC_STEP: (0.001, 0.25)}
LATE = frozenset({Kind.SOC_LATE, Kind.SLOW, Kind.UNANSWERED})


class Trouble(Row):
    """One thing that is wrong with some cars, from one instant to another."""

    kind: Kind
    car_id: Name | None = None
    share: Annotated[float, Field(gt=0, le=1)] | None = None
    by: Annotated[float, Field(allow_inf_nan=False)] | None = None
    late_s: Annotated[float, Field(gt=0, le=3600)] | None = None
    starts_at: Instant | None = None
    ends_at: Instant | None = None

    @model_validator(mode="after")
    def _whole(self) -> "Trouble":
        if (self.car_id is None) is (self.share is None):
            raise ValueError("either car_id or share")
        if (self.by is not None) is not (self.kind in BY):
            raise ValueError(f"by with {', '.join(BY)}, and with no other kind")
        if self.by is not None and not BY[self.kind][0] <= self.by <= BY[self.kind][1]:
            raise ValueError(f"by from {BY[self.kind][0]:g} to {BY[self.kind][1]:g} with {self.kind}")
        if (self.late_s is not None) is not (self.kind in LATE):
            raise ValueError(f"late_s with {', '.join(sorted(LATE))}, and with no other kind")
        if self.kind is Kind.CAPACITY and (self.starts_at or self.ends_at):
            raise ValueError("no starts_at or ends_at with capacity: it is wrong all the time")
        if self.starts_at is not None and self.ends_at is not None and self.ends_at <= self.starts_at:
            raise ValueError("ends_at after starts_at")
        return self

    def holds_at(self, at: datetime) -> bool:
        """Whether it is so at an instant."""
        begun = self.starts_at is None or self.starts_at <= at
        return begun and (self.ends_at is None or at < self.ends_at)


class _Troubles(Row):
    trouble: tuple[Trouble, ...] = ()


def read_troubles(path: Path | None, car_ids: Sequence[str]) -> tuple[Trouble, ...]:
    """Read a file of troubles; no file, none.

    Raises:
        BadMessage: With every fault of the file.
    """
    if path is None:
        return ()
    try:
        found = _Troubles.model_validate(tomllib.loads(text_of(path))).trouble
    except ValidationError as error:
        raise BadMessage(*faults_of(error, f"{path.name}: ")) from None
    except (ValueError, RecursionError) as error:
        raise BadMessage(Fault(path.name, str(error), "TOML")) from None
    known = {*car_ids, None}
    unknown = [one.car_id for one in found if one.car_id not in known]
    if unknown:
        allowed = "the car_id of a car in the fleet file"
        raise BadMessage(*(Fault(f"{path.name}: car_id", str(name), allowed) for name in unknown))
    return found


@dataclass(frozen=True, slots=True)
class ChargersNow:
    """How chargers take set-points at an instant; shape (cars,).

    Attributes:
        lost: Whose link is lost.
        deaf: Who accepts them and ignores them.
        slow_s: How much later each follows, 0 for at once. [s]
        unanswered_s: The same of those whose answer does not come in time. [s]
    """

    lost: BoolArray
    deaf: BoolArray
    slow_s: FloatArray
    unanswered_s: FloatArray


class Troubles:
    """Who is in trouble when; arrays have shape (cars,).

    Args:
        found: In the order of the file.
        car_ids: The fleet, in the order of all arrays.
        seed: Of the draws.
    """

    def __init__(self, found: Sequence[Trouble], car_ids: Sequence[str], seed: int) -> None:
        self._size = len(car_ids)
        self._rows = [(one, _befallen(one, car_ids, (seed, row))) for row, one in enumerate(found)]

    def any_of(self, kind: Kind) -> bool:
        """Whether anything of a kind ever happens."""
        return any(one.kind is kind for one, _ in self._rows)

    def those(self, kind: Kind, at: datetime) -> BoolArray:
        """Return which cars have a trouble of a kind at an instant."""
        cars = np.zeros(self._size, np.bool_)
        for one, befallen in self._rows:
            if one.kind is kind and one.holds_at(at):
                cars |= befallen
        return cars

    def chargers(self, at: datetime) -> ChargersNow:
        """Return how chargers take set-points at an instant."""
        lost, deaf = self.those(Kind.LOST, at), self.those(Kind.DEAF, at)
        return ChargersNow(lost, deaf, self.amount(Kind.SLOW, at, 0.0), self.amount(Kind.UNANSWERED, at, 0.0))

    def amount(self, kind: Kind, at: datetime, else_: float) -> FloatArray:
        """Return each car's ``by`` or ``late_s`` of a kind at an instant, ``else_`` where it has none."""
        amounts = np.full(self._size, else_)
        for one, befallen in self._rows:
            if one.kind is kind and one.holds_at(at):
                amounts[befallen] = one.by if one.by is not None else one.late_s
        return amounts


def _befallen(trouble: Trouble, car_ids: Sequence[str], seed: tuple[int, int]) -> BoolArray:
    if trouble.share is None:
        return np.array([name == trouble.car_id for name in car_ids])
    cars = np.zeros(len(car_ids), np.bool_)
    drawn = np.random.default_rng(seed).permutation(len(car_ids))
    cars[drawn[: round(trouble.share * len(car_ids))]] = True
    return cars

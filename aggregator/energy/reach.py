"""What the fleet can do in a window, scenario by scenario, asked in the few ways a bid needs.

A short window has one number for each set of its slots; a long one is asked through the fleet's classes.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import cycle
from typing import Protocol

import numpy as np

from aggregator.energy.capability import MOST_SLOTS, capability_kwh, classes_kwh, turn_down_kwh
from aggregator.energy.cars import BoolArray, FloatArray
from aggregator.energy.tightest import RunSteps, most_beyond
from aggregator.energy.window import FleetWindow

_CHUNK_NUMBERS = 1 << 20
"""So many sets of slots, of all demands and scenarios, are looked at together: more leaves the cache."""


class Reach(Protocol):
    """What the fleet can deliver (up) or take (down) in a window: h_w(S) for scenario w and set of slots S.

    A profile x, positive in the product's direction, can be split over the cars that come in scenario w
    exactly if ``x(S) <= h_w(S)`` for every set S of slots. h is submodular, h of the empty set is 0.
    """

    @property
    def slots(self) -> int:
        """Number of slots of the window."""

    @property
    def scenarios(self) -> int:
        """Number of scenarios."""

    def energy_kwh(self, members: BoolArray) -> FloatArray:
        """Return h_w(S) of given sets.

        Args:
            members: Which slots each set holds, shape (sets, slots).

        Returns:
            Shape (scenarios, sets). [kWh AC]
        """

    def most_kwh(self, demand_kwh: FloatArray) -> FloatArray:
        """Return the most that a demand gets in all: ``min over S of demand(outside S) + h_w(S)``.

        Args:
            demand_kwh: Asked in each slot, of any sign, the same in all scenarios, shape (slots,), or of many
                demands at once, shape (..., scenarios, slots) or (..., 1, slots); -inf leaves a slot out:
                nothing is asked there, and nothing has to be given. [kWh AC]

        Returns:
            Shape (..., scenarios). [kWh AC]
        """

    def tightest(self, asked_kwh: FloatArray) -> tuple[BoolArray, FloatArray]:
        """Return the set of slots that is asked furthest beyond h in each scenario.

        Args:
            asked_kwh: Shape (scenarios, slots). [kWh AC]

        Returns:
            Members of the sets, shape (scenarios, slots), and ``asked(S) - h_w(S)`` of each, shape
            (scenarios,): 0, with the empty set, where all that is asked can be done. [kWh AC]
        """


@dataclass(frozen=True, slots=True, eq=False)
class TableReach:
    """A window of few slots, by its tables.

    Attributes:
        table_kwh: h_w(S), shape (scenarios, 2**slots): bit t of a set's number stands for slot t; the
            entries of the empty set are taken as 0. [kWh AC]
    """

    table_kwh: FloatArray

    def __post_init__(self) -> None:
        """Refuse what is no table.

        Raises:
            ValueError: If there are not 2**slots numbers for each scenario, for 1 slot or more.
        """
        shape = self.table_kwh.shape
        if len(shape) != 2 or shape[1] < 2 or shape[1] & (shape[1] - 1):  # noqa: PLR2004
            raise ValueError(f"a table needs shape (scenarios, 2**slots), not {shape}")

    @property
    def slots(self) -> int:
        """Number of slots of the window."""
        return int(self.table_kwh.shape[1]).bit_length() - 1

    @property
    def scenarios(self) -> int:
        """Number of scenarios."""
        return len(self.table_kwh)

    def energy_kwh(self, members: BoolArray) -> FloatArray:
        """See `Reach.energy_kwh`."""
        number = members @ (1 << np.arange(self.slots))
        return np.where(number > 0, self.table_kwh[:, number], 0.0)

    def most_kwh(self, demand_kwh: FloatArray) -> FloatArray:
        """See `Reach.most_kwh`."""
        demand = np.atleast_2d(demand_kwh)
        wanted_kwh = np.where(np.isneginf(demand), 0.0, demand).sum(axis=-1)
        many = demand.reshape(-1, *demand.shape[-2:])
        size = max(1, _CHUNK_NUMBERS // self.table_kwh.size)
        parts = [many[first : first + size] for first in range(0, len(many), size)]
        excess_kwh = np.concatenate([self._excess_kwh(part).max(axis=-1) for part in parts])
        return np.asarray(wanted_kwh - excess_kwh.reshape(*demand.shape[:-2], self.scenarios))

    def tightest(self, asked_kwh: FloatArray) -> tuple[BoolArray, FloatArray]:
        """See `Reach.tightest`."""
        excess = self._excess_kwh(asked_kwh)
        worst = excess.argmax(axis=1)
        members = (worst[:, None] >> np.arange(self.slots) & 1).astype(bool)
        return members, excess[np.arange(self.scenarios), worst]

    def _excess_kwh(self, asked_kwh: FloatArray) -> FloatArray:
        """Return ``asked(S) - h_w(S)``, shape (..., scenarios, 2**slots), 0 for the empty set. [kWh AC]"""
        asked_of_sets = np.zeros((*asked_kwh.shape[:-1], 1 << self.slots))
        for slot in range(self.slots):
            sets = 1 << slot
            np.add(
                asked_of_sets[..., :sets],
                asked_kwh[..., slot, None],
                out=asked_of_sets[..., sets : 2 * sets],
            )
        excess = asked_of_sets - self.table_kwh
        excess[..., 0] = 0.0
        return excess


@dataclass(frozen=True, slots=True, eq=False)
class ClassReach:
    """A window of any length, by the classes of its cars: as large for a million cars as for a hundred.

    Attributes:
        steps_kwh: What one more slot adds to what the cars of a run of slots can do, by how many of the
            run's slots are in the set before it: shape (scenarios, runs, slots), runs in the order of
            ``np.triu_indices(slots + 1, 1)``. [kWh AC]
        runs: The same, scenario by scenario, without runs of no car.
    """

    steps_kwh: FloatArray
    runs: tuple[RunSteps, ...] = field(init=False)

    def __post_init__(self) -> None:
        """Look once for the runs that have cars: in a small fleet these are few."""
        object.__setattr__(self, "runs", tuple(map(RunSteps.of, self.steps_kwh)))

    @classmethod
    def of(cls, tables: Iterable[FloatArray]) -> "ClassReach":
        """Return the reach of each scenario's table of classes: see `capability.classes_kwh`."""
        return cls(np.array([np.diff(table[np.triu_indices(len(table), 1)], axis=1) for table in tables]))

    @property
    def slots(self) -> int:
        """Number of slots of the window."""
        return int(self.steps_kwh.shape[2])

    @property
    def scenarios(self) -> int:
        """Number of scenarios."""
        return len(self.steps_kwh)

    def energy_kwh(self, members: BoolArray) -> FloatArray:
        """See `Reach.energy_kwh`."""
        start, stop = np.triu_indices(self.slots + 1, 1)
        runs = np.arange(len(start))
        energy_kwh = np.zeros((self.scenarios, len(members)))
        reached_kwh = np.concatenate(
            [np.zeros((self.scenarios, len(runs), 1)), np.cumsum(self.steps_kwh, axis=2)], axis=2
        )
        for column, chosen in enumerate(members):
            counted = np.concatenate([[0], np.cumsum(chosen)])
            energy_kwh[:, column] = reached_kwh[:, runs, counted[stop] - counted[start]].sum(axis=1)
        return energy_kwh

    def most_kwh(self, demand_kwh: FloatArray) -> FloatArray:
        """See `Reach.most_kwh`."""
        demand = np.atleast_2d(demand_kwh)
        demand = np.broadcast_to(demand, (*demand.shape[:-2], self.scenarios, self.slots))
        many = demand.reshape(-1, self.slots)
        excess_kwh = np.array([most_beyond(*one)[2] for one in zip(cycle(self.runs), many, strict=False)])
        wanted_kwh = np.where(np.isneginf(demand), 0.0, demand).sum(axis=-1)
        return np.asarray(wanted_kwh - excess_kwh.reshape(wanted_kwh.shape))

    def tightest(self, asked_kwh: FloatArray) -> tuple[BoolArray, FloatArray]:
        """See `Reach.tightest`."""
        found = [most_beyond(*one) for one in zip(self.runs, asked_kwh, strict=True)]
        return np.array([members for members, *_ in found]), np.array([excess for _, excess, _ in found])


def reach(windows: Sequence[FleetWindow], slot_hours: float, *, up: bool) -> Reach:
    """Return what the fleet can do in a window of any length, from its cars in each scenario.

    Args:
        windows: The same window in each scenario, at least one.
        slot_hours: Length of a slot. [h]
        up: Whether more export is asked for, else more import.

    Raises:
        ValueError: If there are no scenarios, or ``slot_hours`` is not the windows'.
    """
    if not windows:
        raise ValueError("what a fleet can do needs at least one scenario")
    if windows[0].slots > MOST_SLOTS:
        return ClassReach.of(classes_kwh(window, slot_hours, up=up) for window in windows)
    table_kwh = capability_kwh if up else turn_down_kwh
    return TableReach(np.array([table_kwh(window, slot_hours) for window in windows]))

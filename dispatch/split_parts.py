"""A large fleet in the parts that its split treats each in its own way."""

from dataclasses import dataclass

import numpy as np

from dispatch.split_bound import Sharing, sharing_of
from dispatch.split_cars import BoolArray, FloatArray, IntArray, summed
from dispatch.split_duty import Duty, duty_of
from dispatch.split_flows import Flows
from dispatch.split_must import Takers
from dispatch.split_problem import SplitProblem
from dispatch.split_shared import Shared
from dispatch.split_table import Movers, Table, edges_of, table_of

_SETS_UP_TO = 8
"""Slots up to which homes are looked at in every set of slots."""


@dataclass(frozen=True, slots=True, eq=False)
class Moves:
    """What each car moves; energies in kWh.

    Attributes:
        free: Of the free cars, 0 for all others, shape (slots, cars).
        takers: Rows of the must-charge cars.
        taken: Of those, shape (slots, takers).
    """

    free: FloatArray
    takers: IntArray
    taken: FloatArray

    def taken_of(self, rows: IntArray, cars: int) -> FloatArray:
        """Return what some of the must-charge cars of a fleet of so many take, shape (slots, rows)."""
        place = np.zeros(cars, np.intp)
        place[self.takers] = np.arange(self.takers.size)
        return self.taken[:, place[rows]]


@dataclass(frozen=True, slots=True, eq=False)
class Charging:
    """The must-charge cars; energies in kWh.

    Attributes:
        rows: First those that nothing but their own power bounds; then those that share a home's import,
            first who has a part of it of its own.
        alone: How many the first are.
        takers: All but the last: those that choose when.
        first_kwh: What those that share take up to their floors, shape (slots, some rows).
        fixed_kwh: What the last take in all, shape (slots, some rows).
    """

    rows: IntArray
    alone: int
    takers: Takers
    first_kwh: FloatArray
    fixed_kwh: FloatArray

    @property
    def first_own_kwh(self) -> FloatArray:
        """What those that have a part of their own take before they choose, shape (slots, some rows)."""
        return self.first_kwh[:, : self.takers.power_kw.size - self.alone]

    def with_flexible(self, flexible_kwh: FloatArray) -> FloatArray:
        """Return what all take, where takers choose this; used up."""
        flexible_kwh[:, self.alone :] += self.first_own_kwh
        return np.concatenate((flexible_kwh, self.fixed_kwh), axis=1)


@dataclass(frozen=True, slots=True, eq=False)
class Crowd:
    """Cars that share rooms.

    Attributes:
        rows: First the free cars; down, then those that must charge.
        homes: Rows of their sites.
        home: Place of each car's site in ``homes``.
    """

    rows: IntArray
    homes: IntArray
    home: IntArray

    @classmethod
    def of(cls, problem: SplitProblem, sharing: Sharing) -> "Crowd":
        """Return the cars of a fleet whose rooms bind."""
        rows = sharing.bound_free
        if problem.way < 0:
            rows = np.concatenate((rows, sharing.bound_must))
        homes, home = np.unique(problem.cars.site[rows], return_inverse=True)
        return cls(rows, homes, home.reshape(-1))


@dataclass(frozen=True, slots=True, eq=False)
class LargeFleet:
    """A problem's cars.

    Attributes:
        problem: What is asked.
        duty: What each car may and must do.
        sharing: What bounds it.
        crowd: Which of them share a room that binds.
        hours: Length of each slot.
        least_kw: Least each free car can move unless it is nothing.
    """

    problem: SplitProblem
    duty: Duty
    sharing: Sharing
    crowd: Crowd
    hours: FloatArray
    least_kw: FloatArray

    @classmethod
    def of(cls, problem: SplitProblem) -> "LargeFleet":
        """Return a problem's fleet."""
        duty = duty_of(problem)
        least_kw = problem.cars.min_kw if problem.way > 0 else np.zeros(problem.cars.count)
        sharing = sharing_of(problem, duty)
        crowd = Crowd.of(problem, sharing)
        return cls(problem, duty, sharing, crowd, np.asarray(problem.slot_hours), least_kw)

    @property
    def energy_kwh(self) -> FloatArray:
        """What each free car can move in the event, shape (cars,)."""
        return self.duty.exportable_kwh if self.problem.way > 0 else self.duty.headroom_kwh

    @property
    def rated_kw(self) -> FloatArray:
        """What each free car's charger can move, shape (cars,)."""
        return self.problem.cars.discharge_kw if self.problem.way > 0 else self.problem.cars.charge_kw

    @property
    def moves_freely(self) -> BoolArray:
        """Which cars are free and can move anything, shape (cars,)."""
        free = self.sharing.free_kw > 0
        free[self.sharing.bound_free] = True
        return free

    def sharing_cars(self) -> int:
        """Return how many cars share a room that binds."""
        cars, rows = self.problem.cars, self.sharing.bound_free
        count = self.sharing.bound_must.size
        if rows.size:
            here = summed(cars.site, self.duty.end > self.duty.start, self.problem.sites.count)
            count += int(np.count_nonzero(here[cars.site[rows]] > 1))
        return count

    def only_leave(self) -> bool:
        """Return whether no car that shares a room arrives in the event, or must charge."""
        return not (self.sharing.bound_must.size or self.duty.start[self.sharing.bound_free].any())

    def sunny_cars(self) -> int:
        """Return how many cars must charge at homes that generate more than they may export."""
        return self._beside_sun(self.duty.must)

    def soaking_cars(self) -> int:
        """Return how many free cars may charge at homes that generate more than they may export."""
        return self._beside_sun(self.moves_freely) if self.problem.way < 0 else 0

    def _beside_sun(self, cars: BoolArray) -> int:
        if self.problem.sites.base_load_kw is None:
            return 0
        site = self.problem.cars.site[cars]
        return int(np.count_nonzero(np.any(self.problem.export_room_kw(site) < 0, axis=1)))

    def plain_movers(self) -> Movers:
        """Return the free cars that nothing else bounds."""
        edges, power = edges_of(self.hours), self.sharing.free_kw
        to_go = np.divide(self.energy_kwh, power, out=np.zeros_like(power), where=power > 0)
        stays_h, from_h = edges[self.duty.end], None
        if self.duty.start.any():
            from_h = edges[self.duty.start]
            stays_h -= from_h
        return Movers(power, np.minimum(to_go, stays_h, out=to_go), from_h, self.duty.end)

    def shared(self, moves: Moves | None = None) -> Shared:
        """Return the cars that share a room, which others' charging makes larger or smaller.

        Down, must-charge cars are among them with what they could take beyond what they do.

        Args:
            moves: What must-charge cars take; None where that is not known yet.
        """
        rows = self.crowd.rows
        energy, most = self.energy_kwh[rows], self.most_kwh(rows)
        free = self.sharing.bound_free.size
        if moves is None:
            most[:, free:] = 0.0
        elif rows.size > free:
            taken = moves.taken_of(rows[free:], self.problem.cars.count)
            most[:, free:] = np.maximum(0.0, most[:, free:] - taken)
            energy[free:] = np.maximum(0.0, energy[free:] - taken.sum(axis=0))
        return Shared(most, energy, self.crowd.home, self._room_kwh(moves), self.hours)

    def table(self, movers: Movers, shared: Shared | None) -> Table:
        """Return the free cars' table; those that share a room have the power that is theirs on average."""
        table, rows = table_of(movers, self.hours), self.crowd.rows
        if shared is None:
            return table
        edges = edges_of(self.hours)
        from_h = edges[self.duty.start[rows]]
        length = edges[self.duty.end[rows]] - from_h
        power = np.divide(shared.reach_kwh(), length, out=np.zeros_like(length), where=length > 0)
        to_go = np.divide(shared.left_kwh, power, out=np.zeros_like(power), where=power > 0)
        movers = Movers(power, np.minimum(to_go, length), from_h, self.duty.end[rows])
        bound = table_of(movers, self.hours)
        if self.table_is_exact:
            bound = bound.known_by_sets(shared.over_sets_kwh)
        return table.joined(bound)

    @property
    def table_is_exact(self) -> bool:
        """Whether the table knows what the free cars can do, where none must charge."""
        alike = bool((self.hours == self.hours[0]).all())
        return alike and (not self.crowd.rows.size or self.hours.size <= _SETS_UP_TO)

    def flows(self, moves: Moves) -> Flows:
        """Return what the free cars move, and what each and each shared room could."""
        rows, power = self.crowd.rows, self.sharing.free_kw.copy()
        free = self.sharing.bound_free
        power[free] = self.rated_kw[free]
        slots = np.arange(self.hours.size)[:, None]
        here = (self.duty.start <= slots) & (slots < self.duty.end)
        most = here * (power * self.hours[:, None])
        left = np.where(power > 0, self.energy_kwh, 0.0) - moves.free.sum(axis=0)
        site, room = np.zeros(power.size, np.intp), np.full((slots.size, 1), np.inf)
        if rows.size:
            site[rows] = 1 + self.crowd.home
            room = np.concatenate((room, self._room_kwh(moves)), axis=1)
        if rows.size > free.size:
            also = rows[free.size :]
            taken = moves.taken_of(also, power.size)
            most[:, also] = np.maximum(0.0, self.most_kwh(also) - taken)
            left[also] += self.energy_kwh[also] - taken.sum(axis=0)
        return Flows(moves.free, np.maximum(0.0, left), most, site, room)

    def most_kwh(self, rows: IntArray) -> FloatArray:
        """Return the most that each car's charger moves in each slot, shape (slots, rows)."""
        slots = np.arange(self.hours.size)[:, None]
        here = (self.duty.start[rows] <= slots) & (slots < self.duty.end[rows])
        return np.asarray(here * (self.rated_kw[rows] * self.hours[:, None]))

    def _room_kwh(self, moves: Moves | None) -> FloatArray:
        """Return what each shared room leaves to those that are not bound to take, shape (slots, homes)."""
        problem, homes = self.problem, self.crowd.homes
        room = problem.export_room_kw(homes) if problem.way > 0 else problem.import_room_kw(homes)
        room_kwh = room.T * self.hours[:, None]
        if moves is not None and moves.takers.size:
            site = problem.cars.site[moves.takers]
            taken = [summed(site, kwh, problem.sites.count)[homes] for kwh in moves.taken]
            room_kwh = room_kwh + problem.way * np.array(taken)
        return np.asarray(np.maximum(0.0, room_kwh))

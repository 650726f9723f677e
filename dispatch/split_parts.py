"""A large fleet in the parts that its split treats each in its own way."""

from dataclasses import dataclass

import numpy as np

from dispatch.split_bound import Sharing, sharing_of
from dispatch.split_cars import BoolArray, FloatArray, IntArray, summed
from dispatch.split_duty import Duty, duty_of
from dispatch.split_pass import Bound
from dispatch.split_problem import SplitProblem
from dispatch.split_repair import Flows
from dispatch.split_table import Movers, Table, edges_of, table_of


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


@dataclass(frozen=True, slots=True, eq=False)
class LargeFleet:
    """A problem's cars.

    Attributes:
        problem: What is asked.
        duty: What each car may and must do.
        sharing: What bounds it.
        hours: Length of each slot.
        least_kw: Least each free car can move unless it is nothing.
    """

    problem: SplitProblem
    duty: Duty
    sharing: Sharing
    hours: FloatArray
    least_kw: FloatArray

    @classmethod
    def of(cls, problem: SplitProblem) -> "LargeFleet":
        """Return a problem's fleet."""
        duty = duty_of(problem)
        least_kw = problem.cars.min_kw if problem.way > 0 else np.zeros(problem.cars.count)
        return cls(problem, duty, sharing_of(problem, duty), np.asarray(problem.slot_hours), least_kw)

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

    def entangled(self) -> int:
        """Return how many cars share a room that binds, or must charge where it does or is below 0."""
        cars, rows, must = self.problem.cars, self.sharing.bound_free, self.duty.must
        count = self.sharing.bound_must.size
        if rows.size:
            here = summed(cars.site, self.duty.end > self.duty.start, self.problem.sites.count)
            count += int(np.count_nonzero(here[cars.site[rows]] > 1))
        if self.problem.sites.base_load_kw is not None and self.problem.way > 0:
            sunny = np.any(self.problem.export_room_kw(cars.site[must]) < 0, axis=1)
            count += int(np.count_nonzero(sunny))
        return count

    def plain_movers(self) -> Movers:
        """Return the free cars that nothing else bounds."""
        edges, power = edges_of(self.hours), self.sharing.free_kw
        to_go = np.divide(self.energy_kwh, power, out=np.zeros_like(power), where=power > 0)
        stays_h, from_h = edges[self.duty.end], None
        if self.duty.start.any():
            from_h = edges[self.duty.start]
            stays_h -= from_h
        return Movers(power, np.minimum(to_go, stays_h, out=to_go), from_h, self.duty.end)

    def bound_part(self, taken_kw: FloatArray) -> Bound:
        """Return the free cars that share a room, which others' charging makes larger or smaller.

        Args:
            taken_kw: What must-charge cars take at each site, shape (sites, slots), or (sites, 1).
        """
        rows, problem = self.sharing.bound_free, self.problem
        places, site = np.unique(problem.cars.site[rows], return_inverse=True)
        room = problem.export_room_kw(places) if problem.way > 0 else problem.import_room_kw(places)
        room = np.maximum(0.0, room + problem.way * taken_kw[places])
        return Bound(
            power_kw=self.rated_kw[rows],
            energy_kwh=self.energy_kwh[rows],
            window=(self.duty.start[rows], self.duty.end[rows]),
            site=site.reshape(-1),
            room_kw=np.broadcast_to(room, (places.size, self.hours.size)),
            hours=self.hours,
        )

    def table(self, movers: Movers) -> Table:
        """Return the free cars' table; those that share a room have the power that is theirs on average."""
        table, rows = table_of(movers, self.hours), self.sharing.bound_free
        if not rows.size:
            return table
        part, edges = self.bound_part(np.zeros((self.problem.sites.count, 1))), edges_of(self.hours)
        from_h, length = (
            edges[self.duty.start[rows]],
            edges[self.duty.end[rows]] - edges[self.duty.start[rows]],
        )
        power = part.ahead_kwh[-1] / length
        to_go = np.divide(part.left_kwh, power, out=np.zeros_like(power), where=power > 0)
        bound = Movers(power, np.minimum(to_go, length), from_h, self.duty.end[rows])
        return table.joined(table_of(bound, self.hours))

    def taken_kw(self, takers: IntArray, taken_kwh: FloatArray) -> FloatArray:
        """Return what must-charge cars take at each site, shape (sites, slots)."""
        taken_kw = np.zeros((self.problem.sites.count, self.hours.size))
        np.add.at(taken_kw, self.problem.cars.site[takers], (taken_kwh / self.hours[:, None]).T)
        return taken_kw

    def flows(self, moves: Moves) -> Flows:
        """Return what the free cars move, and what each and each shared room could."""
        slots, rows = np.arange(self.hours.size)[:, None], self.sharing.bound_free
        power = self.sharing.free_kw.copy()
        power[rows] = self.rated_kw[rows]
        here = (self.duty.start <= slots) & (slots < self.duty.end)
        site, room = np.zeros(power.size, np.intp), np.full((slots.size, 1), np.inf)
        if rows.size:
            bound = self.bound_part(self.taken_kw(moves.takers, moves.taken))
            site[rows] = 1 + bound.site
            room = np.concatenate((room, bound.room_kw.T * self.hours[:, None]), axis=1)
        left = np.maximum(0.0, np.where(power > 0, self.energy_kwh, 0.0) - moves.free.sum(axis=0))
        return Flows(moves.free, left, here * (power * self.hours[:, None]), site, room)

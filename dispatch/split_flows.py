"""What the cars of a fleet move, slot by slot, and what of it could move elsewhere: the ground of repairs."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import numpy as np

from dispatch.split_cars import BoolArray, FloatArray, IntArray, ranked, summed

_NOTHING_KWH = 1e-12


@dataclass(frozen=True, slots=True, eq=False)
class Least:
    """What some cars of a home must move together; energies in kWh.

    Attributes:
        rows: The cars.
        home: Place of each one's home.
        kwh: Shape (slots, homes).
    """

    rows: IntArray
    home: IntArray
    kwh: FloatArray


@dataclass(slots=True, eq=False)
class Flows:
    """What cars move, changed in place; energies in kWh.

    Attributes:
        moved: Shape (slots, cars).
        left: What each car could move beside, shape (cars,).
        most: Most in each slot, shape (slots, cars).
        site: Row of each car in ``room``; row 0 is that of cars that share none.
        room: Most that the cars of a site may move together, shape (slots, sites).
        least: What some cars must move together.
    """

    moved: FloatArray
    left: FloatArray
    most: FloatArray
    site: IntArray
    room: FloatArray
    least: Least | None = None
    _sharing: IntArray = field(init=False)
    _spare: dict[int, FloatArray] = field(default_factory=dict, init=False)
    _through: dict[tuple[int, int], float] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        self._sharing = np.flatnonzero(self.site)

    def of(self, chosen: BoolArray) -> "Flows":
        """Return the flows of some cars, of a home all that move or could; ``put`` brings them back."""
        rows = np.flatnonzero(chosen)
        sites, site = ranked(self.site[rows], self.room.shape[1], 0)
        least = self.least
        if least is not None:
            here = chosen[least.rows]
            place = np.cumsum(chosen) - 1
            least = Least(place[least.rows[here]], least.home[here], least.kwh)
        part = (self.moved[:, rows], self.left[rows], self.most[:, rows], site)
        return Flows(*part, self.room[:, sites], least)

    def put(self, chosen: BoolArray, part: "Flows") -> None:
        """Take over what some cars move now."""
        self.moved[:, chosen], self.left[chosen] = part.moved, part.left
        self.forget()

    @contextmanager
    def beyond(self, least_kwh: FloatArray) -> Iterator["Flows"]:
        """Give what cars that run move beyond their least, for one use; then take over what it is now."""
        held = np.where(self.moved > 0, least_kwh, 0.0)
        beyond = replace(
            self,
            moved=self.moved - held,
            most=np.where(self.moved > 0, self.most - held, 0.0),
            room=self.room - [summed(self.site, row, self.room.shape[1]) for row in held],
        )
        yield beyond
        self.moved[:], self.left[:] = beyond.moved + held, beyond.left
        self.forget()

    def forget(self) -> None:
        """Forget what was worked out before something was changed from outside."""
        self._spare.clear()
        self._through.clear()

    def spare(self, slot: int) -> FloatArray:
        """Return what each site's room has left in a slot, shape (sites,)."""
        if slot not in self._spare:
            used = summed(self.site, self.moved[slot], self.room.shape[1])
            self._spare[slot] = np.maximum(0.0, self.room[slot] - used)
        return self._spare[slot]

    def raised(self, slot: int, source: FloatArray) -> FloatArray:
        """Return what each car could move more in a slot out of ``source``, within its site's room."""
        more = self._asked(slot, source)
        rows = self._sharing
        if rows.size:
            asked = summed(self.site[rows], more[rows], self.room.shape[1])
            part = np.minimum(1.0, self.spare(slot) / np.maximum(asked, _NOTHING_KWH))
            more[rows] *= part[self.site[rows]]
        return more

    def given(self, slot: int) -> FloatArray:
        """Return what each car could move less in a slot, shape (cars,)."""
        if self.least is None:
            return np.asarray(self.moved[slot])
        given: FloatArray = self.moved[slot].copy()
        rows, home = self.least.rows, self.least.home
        total = summed(home, given[rows], self.least.kwh.shape[1])
        part = np.clip(1.0 - self.least.kwh[slot] / np.maximum(total, _NOTHING_KWH), 0.0, 1.0)
        given[rows] *= part[home]
        return given

    def through(self, giver: int, taker: int) -> float:
        """Return what could go from one slot to another; from a slot to itself, of energy left. [kWh]"""
        if (giver, taker) not in self._through:
            more = self._asked(taker, self.left if giver == taker else self.given(giver))
            rows = self._sharing
            asked = summed(self.site[rows], more[rows], self.room.shape[1])
            over = np.maximum(0.0, asked - self.spare(taker)).sum() if rows.size else 0.0
            self._through[giver, taker] = float(more.sum() - over)
        return self._through[giver, taker]

    def _asked(self, slot: int, source: FloatArray) -> FloatArray:
        """Return what each car could move more in a slot out of ``source``, whatever its site's room."""
        more: FloatArray = self.most[slot] - self.moved[slot]
        np.minimum(more, source, out=more)
        return np.maximum(more, 0.0, out=more)

    def push(self, giver: int, taker: int, kwh: float) -> None:
        """Move up to some energy from one slot to another, all cars alike; to itself, of energy left."""
        more = self.raised(taker, self.left if giver == taker else self.given(giver))
        more *= min(1.0, kwh / max(float(more.sum()), _NOTHING_KWH))
        source = self.left if giver == taker else self.moved[giver]
        self.moved[taker] += more
        np.maximum(0.0, source - more, out=source)
        self._changed(giver, taker, left=giver == taker)

    def swap(self, giver: int, taker: int, kwh: float) -> float:
        """Move energy between slots where others of the home take over in the first, of energy left.

        A home whose room is full in the first slot gains by that, which no path through slots would find.

        Args:
            giver: Slot that some of a home's cars move less in, and others as much more.
            taker: Slot that the first move more in.
            kwh: Most to move.

        Returns:
            What was moved. [kWh]
        """
        gives = np.minimum(self.given(giver), np.maximum(0.0, self.most[taker] - self.moved[taker]))
        takes = np.minimum(self.left, np.maximum(0.0, self.most[giver] - self.moved[giver]))
        given, taken = (summed(self.site, some, self.room.shape[1]) for some in (gives, takes))
        amount = np.minimum(np.minimum(given, taken), self.spare(taker))
        amount[0] = 0.0
        total = float(amount.sum())
        if total <= _NOTHING_KWH:
            return 0.0
        amount *= min(1.0, kwh / total)
        gives *= (amount / np.maximum(given, _NOTHING_KWH))[self.site]
        takes *= (amount / np.maximum(taken, _NOTHING_KWH))[self.site]
        self.moved[giver] = np.maximum(0.0, self.moved[giver] + takes - gives)
        self.moved[taker] += gives
        self.left = np.maximum(0.0, self.left - takes)
        self._changed(giver, taker, left=True)
        return float(amount.sum())

    def _changed(self, *slots: int, left: bool) -> None:
        for slot in slots:
            self._spare.pop(slot, None)
        for pair in list(self._through):
            if not set(slots).isdisjoint(pair) or (left and pair[0] == pair[1]):
                del self._through[pair]

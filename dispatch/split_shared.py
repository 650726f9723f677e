"""Cars that share a room that binds: a home's cars as one, at each slot of the walk backwards.

Seen from a slot, all cars of a home that are plugged in have the slots before it in common. What the room
leaves each of them now, and before, follows from the energy it has: cars with one window and one room then
have a time-to-go in common, (sum of energy) / room, and the walk is exact for them. Cars that leave before
the slot can use only slots before it, so that room is theirs first: for those the others keep energy only
for what the room has beside them, or once they are empty. That is exact, too, where one car of two leaves.
The shares of a home's cars never add up to more than its room, whatever the threshold.
"""

from dataclasses import dataclass

import numpy as np

from aggregator.energy.sharing import cut
from dispatch.split_cars import BoolArray, FloatArray, IntArray, summed
from dispatch.split_table import edges_of

_NOTHING_KWH = 1e-12
_HOMES = 1 << 11
"""Looked at at once where each has a number for every set of slots."""


@dataclass(frozen=True, slots=True, eq=False)
class _Left:
    """Cars whose neighbours leave before a slot; figures in hours at what each may move in it.

    Attributes:
        rows: The cars.
        beside: What the room has, in an hour before the others leave, beside these at full power.
        room: What it has in all in such an hour.
        own: What those that stay can move in such an hour by their own power.
        theirs: What those that leave can move in all.
    """

    rows: IntArray
    beside: FloatArray
    room: FloatArray
    own: FloatArray
    theirs: FloatArray

    def kept(self, hours: FloatArray) -> FloatArray:
        """Return what each keeps for so many hours before its neighbours leave."""
        kept = np.maximum(self.beside * hours, self.room * hours - self.theirs)
        return np.minimum(kept, self.own * hours, out=kept)


_NOBODY = _Left(np.zeros(0, np.intp), *np.zeros((4, 0)))


class Shared:
    """Cars that share rooms, walked backwards through the slots.

    Attributes:
        left_kwh: What each car can still move, shape (cars,).
        moved_kwh: Shape (slots, cars).
        lowest_h: A threshold at which all move all they can.
    """

    def __init__(
        self,
        most_kwh: FloatArray,
        energy_kwh: FloatArray,
        site: IntArray,
        room_kwh: FloatArray,
        hours: FloatArray,
    ) -> None:
        """Begin behind the last slot.

        Args:
            most_kwh: Most of each car by itself in each slot, 0 where it is not there, shape (slots, cars).
            energy_kwh: What each can move in all, shape (cars,).
            site: Row of each car in the room.
            room_kwh: Shape (slots, sites).
            hours: Length of each slot.
        """
        self._most, self._site, self._room, self._hours = most_kwh, site, room_kwh, hours
        self._edges, slots = edges_of(hours), hours.size
        self._before = np.concatenate((np.zeros((1, site.size)), np.cumsum(most_kwh, axis=0)))
        self._power_kw = (most_kwh / hours[:, None]).max(axis=0)
        self._room_before = np.concatenate((np.zeros((1, room_kwh.shape[1])), np.cumsum(room_kwh, axis=0)))
        self._end = np.where(self._before[-1] > 0, slots - (most_kwh[::-1] > 0).argmax(axis=0), 0)
        self.left_kwh, self.moved_kwh = energy_kwh, np.zeros_like(most_kwh)
        self._slot, self.lowest_h = slots, 0.0
        self._share_kw = self._left_h = self._limit_h = self._offer_h = np.zeros(0)
        self._from_h = self._near_h = np.zeros(0)
        self._left = _NOBODY

    def reach_kwh(self) -> FloatArray:
        """Return what each car could move in all if every slot wanted all, shape (cars,)."""
        both = zip(self._most, self._room, strict=True)
        return np.asarray(
            np.sum([self._shares(most, self.left_kwh * (most > 0), room) for most, room in both], axis=0)
        )

    def over_sets_kwh(self) -> FloatArray:
        """Return what the cars can move in every set of slots, exactly, shape (2**slots,)."""
        slots, size = len(self._room), np.bincount(self._site, minlength=self._room.shape[1])
        by_home, begin = np.argsort(self._site, kind="stable"), np.cumsum(size) - size
        homes, total = np.argsort(-size, kind="stable"), np.zeros(1 << slots)
        for some in (homes[first : first + _HOMES] for first in range(0, homes.size, _HOMES)):
            able = np.zeros((1 << slots, some.size))
            for turn in range(int(size[some[0]])):
                here = some[size[some] > turn]
                able[:, : here.size] += self._car_over_sets(by_home[begin[here] + turn])
            cut(able, self._room[:, some])
            total += able.sum(axis=1)
        return total

    def _car_over_sets(self, rows: IntArray) -> FloatArray:
        """Return what each of some cars can move by itself in every set of slots, shape (2**slots, rows)."""
        slots, most = len(self._most), self._most[:, rows]
        able = np.zeros((1 << slots, rows.size))
        for slot in range(slots):
            np.add(able[: 1 << slot], most[slot], out=able[1 << slot : 2 << slot])
        return np.minimum(able, self.left_kwh[rows], out=able)

    def beyond_kwh(self, short: BoolArray) -> float:
        """Return a bound on what the cars could move more in some slots, and less in others. [kWh]"""
        sites, there, moved = self._room.shape[1], self._most[short], self.moved_kwh[short]
        had = self.left_kwh + self.moved_kwh[~short].sum(axis=0)
        own = np.minimum(there.sum(axis=0) - moved.sum(axis=0), had)
        room = self._room[short].sum(axis=0) - summed(self._site, moved.sum(axis=0), sites)
        at_home = summed(self._site, np.maximum(0.0, own), sites)
        return float(np.minimum(at_home, np.maximum(0.0, room)).sum())

    def begin(self, slot: int) -> None:
        """Go to a slot."""
        most, before = self._most[slot], self._before[slot]
        per_kwh = self.left_kwh * (most > 0) / np.maximum(most + before, _NOTHING_KWH)
        share = self._shares(most, per_kwh * most, self._room[slot])
        ahead = self._shares(before * (most > 0), per_kwh * before, self._room_before[slot])
        per_h = np.where(share > _NOTHING_KWH, self._hours[slot] / np.maximum(share, _NOTHING_KWH), 0.0)
        self._share_kw, self._left_h = share / self._hours[slot], self.left_kwh * per_h
        self._limit_h = np.minimum(self._left_h, self._hours[slot])
        self._from_h, self._near_h = self._edges[slot] - ahead * per_h, np.full(share.size, np.inf)
        self._left = self._who_left(slot, ahead * per_h, share)
        longest_h = self._left_h + self._from_h
        self.lowest_h = min(0.0, float(np.min(longest_h, initial=0.0)) - float(self._hours[slot]))
        self._slot = slot

    def _who_left(self, slot: int, ahead_h: FloatArray, share_kwh: FloatArray) -> _Left:
        """Return the cars whose neighbours leave before the slot: those serve the time before first."""
        gone = np.flatnonzero((self._end <= slot) & (self.left_kwh > _NOTHING_KWH))
        if not gone.size:
            return _NOBODY
        site, sites = self._site[gone], self._room.shape[1]
        until = np.zeros(sites, np.intp)
        np.maximum.at(until, site, self._end[gone])
        rows = np.flatnonzero((self._most[slot] > 0) & (until[self._site] > 0))
        home = self._site[rows]
        until_h = self._edges[until[home]]
        self._from_h[rows], self._near_h[rows] = 0.0, np.minimum(self._edges[slot] - until_h, ahead_h[rows])
        room_kw = self._room_before[until[home], home] / until_h
        gone_kw = summed(site, self._power_kw[gone], sites)[home]
        here_kwh = summed(home, share_kwh[rows], sites)[home]
        per_kw = self._hours[slot] / np.maximum(here_kwh, _NOTHING_KWH)
        theirs = summed(site, self.left_kwh[gone], sites)[home] * per_kw
        own_kw = summed(home, self._most[slot, rows], sites)[home] / self._hours[slot]
        beside = np.maximum(0.0, room_kw - gone_kw) * per_kw
        return _Left(rows, beside, room_kw * per_kw, own_kw * per_kw, theirs)

    def offer_kwh(self, z_h: float) -> float:
        """Return what the cars move in the slot at a threshold. [kWh]"""
        kept_h, rows = np.minimum(z_h - self._from_h, self._near_h), self._left.rows
        if rows.size:
            kept_h[rows] += self._left.kept(np.maximum(0.0, z_h - self._near_h[rows]))
        self._offer_h = np.clip(self._left_h - kept_h, 0.0, self._limit_h)
        return float(np.einsum("i,i->", self._offer_h, self._share_kw))

    def keep(self, share: float) -> None:
        """Move that share of the last offer."""
        moved = self._offer_h * self._share_kw * share
        self.left_kwh = np.maximum(0.0, self.left_kwh - moved)
        self.moved_kwh[self._slot] = moved

    def skip(self) -> None:
        """Move nothing."""

    def _shares(self, most: FloatArray, weight: FloatArray, room: FloatArray) -> FloatArray:
        """Return the part of its site's room that is each car's: by weight, and what then is over. [kWh]"""
        if room.size == most.size:
            return np.minimum(most, room[self._site])
        per_weight = room / np.maximum(summed(self._site, weight, room.size), _NOTHING_KWH)
        share = np.minimum(most, weight * per_weight[self._site])
        spare = room - summed(self._site, share, room.size)
        slack = summed(self._site, most - share, room.size)
        filled = np.clip(spare / np.maximum(slack, _NOTHING_KWH), 0.0, 1.0)
        return np.asarray(share + (most - share) * filled[self._site])

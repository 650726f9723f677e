"""How a battery slows down near full, learnt from what it takes of what its charger is told.

A registry states from where on a car charges ever more slowly; a car that does so earlier is not ready in
time by it. So what a car took is noted, percent by percent of its charge, where that was clearly less than
told; a line through that is its taper, once it is long enough to be told from noise. What does not fall as
the car fills is no taper but a charger that can do less, and teaches nothing here. A restart begins from the
registry.
"""

import numpy as np

from aggregator.model.fleet import Car, Taper

LEAST_SOC = 0.5
"""What slows down below this is no battery near full."""

LESS = 0.95
"""A battery that takes less than this part of what was told is at its limit."""

NOTHING = 0.05
"""One that takes less than this part of full power is full, or its charger deaf."""

STEPS = 100
LEAST_STEPS = 5
"""Percents of charge in which it must have been seen at its limit."""

FALLS = 0.5
"""A share of full power that falls by less over all of the charge is no taper."""

LATEST_FROM, LEAST_SHARE = 0.99, 0.05


class Slowing:
    """One car's taper as it is best known.

    Args:
        car: Its registry entry.

    Attributes:
        taper: The registry's, or what was learnt.
    """

    def __init__(self, car: Car) -> None:
        self._full_kw, self._registered = car.charger.charge_kw, car.taper
        self._taken: dict[int, float] = {}
        self.taper = car.taper

    def note(self, soc: float, told_kw: float, took_kw: float) -> None:
        """Take in what it took while it was told the same.

        Args:
            soc: How full it then was. [-]
            told_kw: What its charger was told to draw, above 0. [kW AC]
            took_kw: What it drew by its registers. [kW AC]
        """
        step = int(soc * STEPS)
        if soc < LEAST_SOC or took_kw < NOTHING * self._full_kw:
            return
        if took_kw < LESS * told_kw:
            self._taken[step] = took_kw / self._full_kw
        elif step in self._taken and took_kw > self._taken[step] * self._full_kw:
            del self._taken[step]  # it takes more now than it did
        else:
            return
        self.taper = self._learnt()

    def _learnt(self) -> Taper:
        if len(self._taken) < LEAST_STEPS:
            return self._registered
        steps = np.array(list(self._taken))
        fall, at_empty = np.polyfit((steps + 0.5) / STEPS, np.array(list(self._taken.values())), 1)
        if -fall < FALLS:
            return self._registered
        from_soc = (1.0 - at_empty) / fall
        return Taper(
            float(np.clip(from_soc, LEAST_SOC, LATEST_FROM)),
            float(np.clip(at_empty + fall, LEAST_SHARE, 1.0)),
        )

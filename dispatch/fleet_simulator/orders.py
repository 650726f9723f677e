"""What each charger has been told, and what it does about it.

A charger obeys its last set-point until that expires, on its own clock. Left alone it draws and gives
nothing until its ``charge_from``, then charges until the battery is full; it never gives energy by itself. A
driver's boost charges at once; from then on only a set-point that charges is obeyed (a home's fuse may need
it), and any other is refused. By itself, boosted or not, a charger never draws more than its part of the
home's fuse: what it was told last, or what was set when it was installed. Nor does it while it waits for a
neighbour, which may still draw more than its own part.
"""

from dataclasses import dataclass

import numpy as np

from aggregator.model.metering import SafeDefault
from dispatch.fleet_simulator.physics import BoolArray, FloatArray

NEVER_S = np.inf
W_PER_KW = 1000.0


@dataclass(frozen=True, slots=True)
class Orders:
    """Told to the chargers; arrays of shape (cars,), changed in place.

    Attributes:
        set_kw: The last set-point, positive from car to grid. [kW]
        expires_s: When it ends; in the past where none holds. [s since 1970]
        charge_from_s: When the charger starts by itself; NaN where it was not told. [s since 1970]
        waits_until_s: Before this it draws nothing by itself. [s since 1970]
        most_kw: Most that it draws by itself. [kW AC]
        boost: Whether the driver has switched V2G off.
        plugged: Whether a car is there.
    """

    set_kw: FloatArray
    expires_s: FloatArray
    charge_from_s: FloatArray
    waits_until_s: FloatArray
    most_kw: FloatArray
    boost: BoolArray
    plugged: BoolArray

    @classmethod
    def none(cls, installed_kw: FloatArray) -> "Orders":
        """Return the orders of chargers with no car and nothing told.

        Args:
            installed_kw: Most that each draws by itself, as installed. [kW AC]
        """
        cars = installed_kw.size
        return cls(
            set_kw=np.zeros(cars),
            expires_s=np.full(cars, -np.inf),
            charge_from_s=np.full(cars, np.nan),
            waits_until_s=np.full(cars, -np.inf),
            most_kw=installed_kw.copy(),
            boost=np.zeros(cars, dtype=np.bool_),
            plugged=np.zeros(cars, dtype=np.bool_),
        )

    def wanted_kw(self, now_s: float, charge_kw: FloatArray) -> FloatArray:
        """Return the power that each charger is after from ``now_s`` on, positive from car to grid. [kW]"""
        held = now_s < self.expires_s
        begun = (self.boost | (now_s >= self.charge_from_s)) & (now_s >= self.waits_until_s)
        alone_kw = np.where(begun, -np.minimum(charge_kw, self.most_kw), 0.0)
        return np.where(self.plugged, np.where(held, self.set_kw, alone_kw), 0.0)

    def here(self) -> list[int]:
        """Return which cars are plugged in."""
        return [int(car) for car in self.plugged.nonzero()[0]]

    def next_change_s(self, now_s: float) -> float:
        """Return when the first set-point expires or the first charger starts by itself. [s since 1970]"""
        instants_s = np.concatenate((self.expires_s, self.charge_from_s, self.waits_until_s))
        return float(np.min(instants_s, where=instants_s > now_s, initial=NEVER_S))

    def obeys(self, car: int, export_w: int, expires_s: float, now_s: float) -> bool:
        """Return whether the charger takes this set-point."""
        takes = self.plugged[car] and expires_s > now_s and not (self.boost[car] and export_w >= 0)
        return bool(takes)

    def plug(self, car: int, charge_from_s: float) -> None:
        """A car arrives; ``charge_from_s`` holds unless the charger was told another instant meanwhile."""
        self.plugged[car] = True
        if np.isnan(self.charge_from_s[car]):
            self.charge_from_s[car] = charge_from_s

    def tell(self, car: int, default: SafeDefault) -> None:
        """Tell a charger, with a car or without, what to do by itself."""
        self.most_kw[car] = default.most_w / W_PER_KW
        self.waits_until_s[car] = -np.inf if default.waits_until is None else default.waits_until.timestamp()
        if default.charge_from is not None:
            self.charge_from_s[car] = default.charge_from.timestamp()

    def unplug(self, car: int) -> None:
        """The car leaves, and with it all that was told for it; the charger's part of the fuse stays."""
        self.plugged[car] = False
        self.boost[car] = False
        self.charge_from_s[car] = np.nan
        self.drop(car)

    def press_boost(self, car: int, *, on: bool) -> None:
        """The driver switches V2G off or on again; either way the present set-point is void."""
        self.boost[car] = on
        self.drop(car)

    def drop(self, car: int) -> None:
        """Forget the set-point."""
        self.expires_s[car] = -np.inf

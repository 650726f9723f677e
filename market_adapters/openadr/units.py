"""What a number on the wire is worth: kW export-positive, GBP/MWh, GBP/MW/h or a level.

Every kW and kWh on the wire counts load (or, by profile, export); the sign flips in ``from_wire`` and
``to_wire`` and nowhere else.
"""

import math
from collections.abc import Mapping

from aggregator.model.errors import BadMessage, Fault
from market_adapters.openadr.wire_events import Unit, WireSignal

POWERS: Mapping[str, int] = {
    "p": -12,
    "n": -9,
    "micro": -6,
    "m": -3,
    "c": -2,
    "d": -1,
    "none": 0,
    "k": 3,
    "M": 6,
    "G": 9,
    "T": 12,
}
KILO = 3
_CUSTOM_POWER = {"W": 0, "kW": 3, "MW": 6}
_PRICE_TYPES = ("price", "priceRelative")
_POWER_TYPES = ("setpoint", "delta", "x-loadControlSetpoint")
_AVAILABILITY = "GBP/MW/h"
_ENERGY_PRICE = "GBP/MWh"
ALLOWED_UNITS = (
    "powerReal in W, currencyPerKWh in GBP, customUnit in GBP/MW/h, or a SIMPLE level without a unit"
)
FLIPPED = ("export_kw", "export_kwh", "nominated_kwh", "metered_kwh")
KEPT = ("delivered_kwh", "status")
BID_FLIPPED = "kw"
BID_KEPT = ("util", "avail")


def from_wire(signal: WireSignal, value: float, load_sign: int = 1) -> float | None:
    """Return a signal's number in our units; None where unit, type or size have no meaning here.

    Args:
        signal: Says type and unit.
        value: As sent.
        load_sign: +1 where power on the wire counts load, -1 where it counts export.

    Returns:
        Power in kW, export positive; prices in GBP/MWh or GBP/MW/h; SIMPLE levels as they are.
    """
    unit = signal.unit
    if unit is None:
        return value if signal.name.upper() == "SIMPLE" else None
    kw_power, price_power = _kw_power(unit), _price_power(unit)
    if kw_power is not None and signal.type in _POWER_TYPES:
        return _finite(0.0 - load_sign * _scaled(value, kw_power))
    if price_power is not None and signal.type in _PRICE_TYPES:
        return _finite(_scaled(value, price_power))
    return None


def to_wire(r_id: str, value: float, load_sign: int = 1) -> float:
    """Return a report's number as it goes out; r_ids are those of ``messages``.

    Args:
        r_id: Which number; what stands after the zone says whether it counts power.
        value: kW or kWh export-positive, a price, or a quantity of service.
        load_sign: As in ``from_wire``.

    Raises:
        BadMessage: If the r_id is none of ours, or the value is not finite.
    """
    last = r_id.rsplit("/", 1)[-1]
    quantity = r_id.rsplit("/", 2)[-2] if last.isdecimal() and r_id.count("/") > 1 else last
    if not math.isfinite(value):
        raise BadMessage(Fault(r_id, str(value), "a finite number"))
    if quantity in FLIPPED or (last.isdecimal() and quantity == BID_FLIPPED):
        return 0.0 - load_sign * value
    if quantity in KEPT or (last.isdecimal() and quantity in BID_KEPT):
        return value + 0.0
    raise BadMessage(
        Fault("r_id", r_id, f"one that ends in {', '.join((*FLIPPED, *KEPT))}, kw/n, util/n, avail/n")
    )


def unit_text(unit: Unit | None) -> str:
    """Return a unit as people write it, for faults."""
    return "no unit" if unit is None else f"{unit.item} in {unit.units}, scale {unit.scale}"


def _kw_power(unit: Unit) -> int | None:
    """Return the power of ten that turns the number into kW, None where it counts no active power."""
    scale = POWERS.get(unit.scale or "none")
    if scale is None:
        return None
    if unit.item == "powerReal" and unit.units == "W":
        return scale - KILO
    if unit.item == "customUnit" and unit.units in _CUSTOM_POWER:
        return scale + _CUSTOM_POWER[unit.units] - KILO
    return None


def _price_power(unit: Unit) -> int | None:
    """Return the power of ten that turns the number into GBP/MWh or GBP/MW/h."""
    scale = POWERS.get(unit.scale or "none")
    if scale is None:
        return None
    if unit.item == "currencyPerKWh" and unit.units == "GBP":
        return scale + KILO
    if unit.item == "customUnit" and unit.units in {_AVAILABILITY, _ENERGY_PRICE}:
        return scale
    return None


def _scaled(value: float, power: int) -> float:
    # dividing by a whole power of ten keeps -30000 W at exactly -30 kW
    return value * 10.0**power if power >= 0 else value / 10.0**-power


def _finite(value: float) -> float | None:
    """A finite number can become infinite when it is scaled."""
    return value if math.isfinite(value) else None

"""How figures are written in words that people read; what programs read has them in full.

In sentences a power or an energy has at most one digit after its point and no zero for want of another:
``12.4 kWh``, ``0 kWh``. Columns of a table have as many digits in each row, so that they line up; what is
settled, or refused for the sake of a watt-hour, is told to the watt-hour.
"""

from math import isclose


def figure(value: float, digits: int = 3) -> str:
    """Return a figure rounded to at most so many digits after its point: ``39.689``, ``20``, never ``-0``."""
    text = f"{value:z.{digits}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def kw(value: float) -> str:
    """Return a power in a sentence: ``12.4 kW``. [kW]"""
    return f"{figure(value, 1)} kW"


def kwh(value: float) -> str:
    """Return an energy in a sentence: ``12.4 kWh``. [kWh]"""
    return f"{figure(value, 1)} kWh"


def stated(share: float) -> str:
    """Return a share that somebody stated, a floor or target, as it is kept: ``50.5%``, ``80%``.

    To a hundredth of a percent, as the drivers' door tells it: one said in miles has no end of digits.
    """
    return f"{percent_of(share)}%"


def percent_of(share: float) -> str:
    """Return only its figure, as a form takes it: ``50.5``."""
    return figure(100 * share, 2)


def is_of_percent(share: float) -> bool:
    """Whether a share is whole hundredths of a percent: one that was stated in miles hardly ever is."""
    return isclose(100 * share, round(100 * share, 2))

"""Plug-in history to scenarios: who may be at home tomorrow, from when to when, with how much.

A scenario is one whole past day of the whole fleet, so that what makes drivers act alike (weather, holidays,
football) stays in it: coin flips per car would make a large fleet look far surer than it is. Only what was
known at the time asked for counts. Which past days do is in ``days``, what of them is taken in ``draw``,
what a zone can count on in ``outlook``.
"""

from aggregator.forecast.days import ENGLAND, Calendar, Horizon
from aggregator.forecast.draw import Scenario, StatedIntent, scenarios
from aggregator.forecast.history import History, Session
from aggregator.forecast.stated import as_stated

__all__ = [
    "ENGLAND",
    "Calendar",
    "History",
    "Horizon",
    "Scenario",
    "Session",
    "StatedIntent",
    "as_stated",
    "scenarios",
]

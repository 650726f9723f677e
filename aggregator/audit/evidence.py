"""What the audit looks at, read once, and how it says what it found.

The past is judged by the fleet of its time: each set-point, state and reading by the one in force just
then, a driver's word by the one in force when it was first heard, a draft by the one it was made from.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property

from aggregator.audit.truth import Simulated
from aggregator.config import Settings
from aggregator.model.drivers import Told, Words, latest
from aggregator.model.errors import RuleViolation
from aggregator.model.fleet import Car, Fleets
from aggregator.model.metering import Outcome
from aggregator.model.opportunity import Fact, Opportunity, replay
from aggregator.model.time import Interval
from aggregator.store import CarState, Recorded, SentPoint, Store, TrueState
from aggregator.workflow import fleets_of

ALWAYS = Interval(datetime(2000, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC))
MOST_SHOWN = 20


@dataclass(frozen=True, slots=True)
class Finding:
    """What one promise's check found.

    Attributes:
        promise: Its number.
        what: What was looked at, in words.
        checked: How many facts, set-points or readings.
        breaches: Each with its figures.
        unchecked: The part of the promise that has no check yet; empty where there is none.
    """

    promise: str
    what: str
    checked: int
    breaches: tuple[str, ...]
    unchecked: str = ""

    @property
    def verdict(self) -> str:
        """``kept``, ``BROKEN``, or ``nothing to check``."""
        if self.breaches:
            return "BROKEN"
        return "kept" if self.checked else "nothing to check"


class Evidence:
    """A database with its configuration, each part read when first asked for.

    Args:
        store: The database.
        settings: Its configuration.
        during: When what cars and chargers told was so.
        cars: Whose states count; None for all.
        simulated: What simulated cars really did, where the database does not hold it.
    """

    def __init__(
        self,
        store: Store,
        settings: Settings,
        during: Interval = ALWAYS,
        cars: Sequence[str] | None = None,
        simulated: Simulated | None = None,
    ) -> None:
        self.store = store
        self.settings = settings
        self._during = during
        self._cars = cars
        self._simulated = simulated

    def about(self, car_id: str, during: Interval) -> "Evidence":
        """Return what there is about one car in an interval."""
        part = Evidence(self.store, self.settings, during, (car_id,), self._simulated)
        part.__dict__ |= {"fleets": self.fleets, "told": self.told}  # read once for all cars
        return part

    @cached_property
    def fleets(self) -> Fleets:
        """Every fleet that was ever in force.

        Raises:
            BadMessage: If none was imported yet.
        """
        return fleets_of(self.store)

    @property
    def _car_ids(self) -> Sequence[str]:
        return self.fleets.car_ids if self._cars is None else self._cars

    @cached_property
    def points(self) -> Sequence[SentPoint]:
        """Every set-point, oldest first."""
        return self.store.set_points.between(self._during)

    @cached_property
    def accepted(self) -> Sequence[SentPoint]:
        """The set-points that chargers took, oldest first."""
        return [one for one in self.points if one.outcome is Outcome.ACCEPTED]

    @cached_property
    def states(self) -> Mapping[str, Sequence[CarState]]:
        """Reported states per car, ascending."""
        found: dict[str, list[CarState]] = defaultdict(list)
        for state in self.store.states.between(self._car_ids, self._during):
            found[state.car_id].append(state)
        return found

    @cached_property
    def truth(self) -> Mapping[str, Sequence[TrueState]]:
        """True states per simulated car, ascending; empty outside a simulation."""
        if self._simulated is not None:
            return self._simulated.states
        found: dict[str, list[TrueState]] = defaultdict(list)
        for state in self.store.truth.between(self._car_ids, self._during):
            found[state.car_id].append(state)
        return found

    def true_capacity_kwh(self, car: Car) -> float:
        """Return what a car's battery really holds, as far as is known; else what the registry says. [kWh]"""
        known = self._simulated.capacity_kwh if self._simulated is not None else {}
        return known.get(car.car_id, car.capacity_kwh)

    @cached_property
    def told(self) -> Told:
        """Every word of a driver's at the door."""
        return Told(self.store.drivers.all())

    def said_by(self, at: datetime) -> Mapping[str, Words]:
        """Return the latest words of drivers that were told by an instant."""
        return latest(self.told.words, at)

    @cached_property
    def journal(self) -> Mapping[str, Sequence[Recorded]]:
        """Every opportunity's facts as they were recorded, oldest first."""
        found: dict[str, list[Recorded]] = defaultdict(list)
        for opportunity_id, recorded in self.store.journal.all_facts():
            found[opportunity_id].append(recorded)
        return found

    @cached_property
    def facts(self) -> Mapping[str, Sequence[Fact]]:
        """Every opportunity's facts, oldest first."""
        return {name: [recorded.fact for recorded in rows] for name, rows in self.journal.items()}

    @property
    def opportunities(self) -> Sequence[Opportunity]:
        """Every opportunity that its facts leave; those that cannot have happened so are in ``torn``."""
        return self._replayed[0]

    @property
    def torn(self) -> Mapping[str, str]:
        """Why the facts of an opportunity cannot be all that happened, by its id."""
        return self._replayed[1]

    @cached_property
    def _replayed(self) -> tuple[Sequence[Opportunity], Mapping[str, str]]:
        whole: list[Opportunity] = []
        torn: dict[str, str] = {}
        for name, facts in self.facts.items():
            try:
                whole.append(replay(name, facts))
            except RuleViolation as impossible:
                torn[name] = str(impossible)
        return whole, torn

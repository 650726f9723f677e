"""A form that came back: what was typed in it, and what is wrong, to be told beside each field."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from aggregator.model.errors import Fault

TYPED = "typed"
"""Where a request keeps the form that came back."""

BESIDE_WHAT_IS_TYPED = ("csrf", "key", "draft", "bids", "alarms")
"""Fields of forms that no person fills in."""


@dataclass(frozen=True, slots=True)
class Typed:
    """A form that came back.

    Attributes:
        topic: What it was about; None where none came back.
        fields: As they were typed.
        faults: What is wrong, by field.
    """

    topic: str | None = None
    fields: Mapping[str, str] = field(default_factory=dict)
    faults: Mapping[str, Fault] = field(default_factory=dict)

    def value(self, topic: str, name: str, usual: object) -> object:
        """Return what stands in a field."""
        return self.fields.get(name, usual) if self.topic == topic else usual

    def fault(self, topic: str, name: str) -> Fault | None:
        """Return what is wrong with a field."""
        return self.faults.get(name) if self.topic == topic else None

    def rest(self, topic: str, *names: str) -> list[Fault]:
        """Return what is wrong with a form besides some of its fields."""
        return [one for name, one in self.faults.items() if self.topic == topic and name not in names]


NOTHING_TYPED = Typed()


def by_people(fields: Iterable[tuple[str, object]]) -> dict[str, str]:
    """Return of a form's fields what people filled in."""
    stated = ((name, value) for name, value in fields if isinstance(value, str) and value)
    return {name: value for name, value in stated if name not in BESIDE_WHAT_IS_TYPED}

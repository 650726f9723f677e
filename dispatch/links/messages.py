"""The words on the wire between the gateway and a fleet controller: JSON objects, one a WebSocket message.

To the fleet: ``set_points`` and ``fallback``, each with a ``ref``. From the fleet: ``ack`` with the same
``ref`` and one outcome per car in the order asked, ``reports``, a batch of car reports, and, where chargers
have secrets, ``proofs`` before all else. Power is positive from car to grid, here as in the core; instants
are domain time, ISO 8601, UTC.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Literal, TypeVar

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    TypeAdapter,
    ValidationError,
    model_validator,
)

from aggregator.model.metering import Boundary, CarReport, Outcome, SafeDefault, SetPoint
from aggregator.model.time import parse_instant, utc_text

T = TypeVar("T")

LONGEST_MESSAGE_BYTES = 64 * 2**20
"""A message for half a million cars; a longer one closes the link."""

LARGEST_INTEGER = 2**53
"""What every JSON reader keeps exactly."""


def _instant(value: object) -> datetime:
    if isinstance(value, datetime):
        value = value.isoformat()
    if not isinstance(value, str):
        raise ValueError("an instant such as 2025-01-08T17:00:00Z")  # noqa: TRY004 - pydantic wants ValueError
    try:
        return parse_instant(value)
    except (ValueError, OverflowError):
        raise ValueError("an instant with its zone, such as 2025-01-08T17:00:00Z") from None


Instant = Annotated[datetime, BeforeValidator(_instant), PlainSerializer(utc_text, return_type=str)]
Name = Annotated[str, Field(min_length=1)]
Fraction = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Watts = Annotated[int, Field(strict=True, ge=-LARGEST_INTEGER, le=LARGEST_INTEGER)]
WattHours = Annotated[int, Field(strict=True, ge=0, le=LARGEST_INTEGER)]
Flag = Annotated[bool, Field(strict=True)]


class Wire(BaseModel):
    """A JSON object of the link: frozen, and a key nobody knows is a fault."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class PointRow(Wire):
    """One set-point: all a charger needs to know of it."""

    car_id: Name
    export_w: Watts
    expires_at: Instant


class SetPoints(Wire):
    """Set-points for many cars; the last one for a car holds."""

    type: Literal["set_points"] = "set_points"
    ref: int
    points: tuple[PointRow, ...]


class DefaultRow(Wire):
    """What one charger does by itself, checked."""

    most_w: Annotated[Watts, Field(ge=0)]
    charge_from: Instant | None = None
    waits_until: Instant | None = None


class Fallback(Wire):
    """What each car's charger does by itself once no set-point holds."""

    type: Literal["fallback"] = "fallback"
    ref: int
    cars: dict[Name, DefaultRow]


class Ack(Wire):
    """What became of each car of a message, in its order."""

    type: Literal["ack"] = "ack"
    ref: int
    outcomes: tuple[Outcome, ...]


class BoundaryRow(Wire):
    """A home's boundary meter, checked."""

    export_w: Watts
    import_wh: WattHours
    export_wh: WattHours


class Proofs(Wire):
    """That each car's charger is what it says it is: see ``credentials``."""

    type: Literal["proofs"] = "proofs"
    proofs: dict[Name, str]


class ReportRow(Wire):
    """One car's report, checked."""

    car_id: Name
    measured_at: Instant
    plugged: Flag
    soc: Annotated[Fraction, Field(strict=True)] | None
    export_w: Watts
    import_wh: WattHours
    export_wh: WattHours
    boost: Flag = False
    depart_at: Instant | None = None
    target_soc: Annotated[Fraction, Field(strict=True)] | None = None
    boundary: BoundaryRow | None = None
    soc_at: Instant | None = None

    @model_validator(mode="after")
    def _soc_is_known_by_then(self) -> "ReportRow":
        if self.soc_at is not None and self.soc_at > self.measured_at:
            raise ValueError("soc_at not after measured_at")
        return self


class Reports(Wire):
    """A batch of reports, not yet checked: one bad car must not hide the others."""

    type: Literal["reports"] = "reports"
    cars: tuple[object, ...]


@dataclass(frozen=True, slots=True)
class _OutgoingReports:
    cars: tuple[CarReport, ...]
    type: str = "reports"


ToFleet = Annotated[SetPoints | Fallback, Field(discriminator="type")]
FromFleet = Annotated[Reports | Ack | Proofs, Field(discriminator="type")]
_TO_FLEET: TypeAdapter[SetPoints | Fallback] = TypeAdapter(ToFleet)
_FROM_FLEET: TypeAdapter[Reports | Ack | Proofs] = TypeAdapter(FromFleet)
_OUTGOING = TypeAdapter(_OutgoingReports)


def write_set_points(ref: int, points: Sequence[SetPoint]) -> str:
    """Return the message that carries ``points``."""
    rows = tuple(
        PointRow(car_id=point.car_id, export_w=point.export_w, expires_at=point.expires_at)
        for point in points
    )
    return SetPoints(ref=ref, points=rows).model_dump_json()


def write_fallback(ref: int, defaults: Mapping[str, SafeDefault]) -> str:
    """Return the message that tells chargers what to do by themselves."""
    rows = {
        car_id: DefaultRow(most_w=one.most_w, charge_from=one.charge_from, waits_until=one.waits_until)
        for car_id, one in defaults.items()
    }
    return Fallback(ref=ref, cars=rows).model_dump_json()


def write_reports(reports: Sequence[CarReport]) -> str:
    """Return the message that carries ``reports``."""
    return _OUTGOING.dump_json(_OutgoingReports(tuple(reports))).decode()


def read_to_fleet(text: str) -> SetPoints | Fallback:
    """Read what a gateway says.

    Raises:
        ValueError: If it is not one of its messages, with every fault in the text.
    """
    return _read(_TO_FLEET, text)


def read_from_fleet(text: str) -> Reports | Ack | Proofs:
    """Read what a fleet controller says; the reports in it are still to be read.

    Raises:
        ValueError: If it is not one of its messages, with every fault in the text.
    """
    return _read(_FROM_FLEET, text)


def read_report(row: object) -> CarReport:
    """Read one car's report.

    Raises:
        ValueError: If a field is missing, unknown, not finite or out of range.
    """
    try:
        said = vars(ReportRow.model_validate(row))
        boundary = None if said["boundary"] is None else Boundary(**vars(said["boundary"]))
        return CarReport(**(said | {"boundary": boundary}))
    except ValidationError as error:
        raise ValueError(_faults(error)) from None


def _read(adapter: TypeAdapter[T], text: str) -> T:
    try:
        return adapter.validate_json(text)
    except ValidationError as error:
        raise ValueError(_faults(error)) from None


def _faults(error: ValidationError) -> str:
    return "; ".join(
        f"{'.'.join(map(str, fault['loc']))}: {fault['input']!r:.60}: {fault['msg']}"
        for fault in error.errors(include_url=False)
    )

"""Files from outside: checked once, every fault named at once, frozen values inside."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, NamedTuple, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
)
from pydantic_core import ErrorDetails, PydanticCustomError


class Refusal(NamedTuple):
    """One thing wrong: file and field, what was found there, what is allowed."""

    where: str
    value: str
    allowed: str

    def __str__(self) -> str:
        return f"{self.where}: {self.value!r} is not allowed; {self.allowed}"


class BadFile(Exception):
    """A file or an argument that cannot be used; nothing was started.

    Attributes:
        refusals: Every fault found.
        faults: The same as one line each.
    """

    def __init__(self, *refusals: Refusal) -> None:
        self.refusals = refusals
        self.faults = tuple(map(str, refusals))
        super().__init__("\n".join(self.faults))


class Problem(NamedTuple):
    """One fault among the fields of a table that are each valid by themselves."""

    field: str
    value: object
    allowed: str


class Table(BaseModel):
    """A table of a file: frozen, and a key that it does not know is a fault."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


TableT = TypeVar("TableT", bound=Table)


def _instant(value: object) -> datetime:
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            raise ValueError("a time such as 2025-01-07T13:00:00Z") from None
    if not isinstance(value, datetime):
        raise ValueError("a time such as 2025-01-07T13:00:00Z")  # noqa: TRY004 - pydantic collects ValueError only
    if value.tzinfo is None:
        raise ValueError("a time with its zone, such as 2025-01-07T13:00:00Z")
    return value.astimezone(UTC)


def _listed(value: object) -> object:
    return value if isinstance(value, list | tuple) else (value,)


def _not_empty(value: tuple[Any, ...]) -> tuple[Any, ...]:
    if not value:
        raise ValueError("at least one value")
    return value


def _file(value: object, info: ValidationInfo) -> Path:
    if not isinstance(value, str):
        raise ValueError("the name of a file")  # noqa: TRY004 - pydantic collects ValueError only
    path = Path((info.context or {}).get("folder", "."), value)
    try:
        path.open("rb").close()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ValueError(f"a file that can be read ({reason})") from None
    return path


# min_length would also count the items that have a fault of their own, as missing.
NOT_EMPTY = AfterValidator(_not_empty)

File = Annotated[Path, BeforeValidator(_file)]
Instant = Annotated[datetime, BeforeValidator(_instant)]
Word = Annotated[str, Field(strict=True, pattern=r"^[^\x00-\x20](?:[^\x00-\x1f]*[^\x00-\x20])?$")]
Number = Annotated[float, Field(strict=True, allow_inf_nan=False)]
NotNegative = Annotated[Number, Field(ge=0)]
Positive = Annotated[Number, Field(gt=0)]
Fraction = Annotated[Number, Field(ge=0, le=1)]
PerSlot = Annotated[tuple[NotNegative, ...], BeforeValidator(_listed), NOT_EMPTY]
FractionPerSlot = Annotated[tuple[Fraction, ...], BeforeValidator(_listed), NOT_EMPTY]


def refuse(problems: Iterable[Problem]) -> None:
    """Raise all problems of one table as one error, if there are any."""
    found = [tuple(problem) for problem in problems]
    if found:
        raise PydanticCustomError("problems", "not allowed together", {"problems": found})


def checked(table: type[TableT], data: Mapping[str, Any], file: str, folder: Path | None = None) -> TableT:
    """Turn raw data into a table.

    Args:
        table: The type to make.
        data: What was read, keys as in the file.
        file: Name of the file, for the faults.
        folder: Where the files are that it names; without one, where the process runs.

    Raises:
        BadFile: If anything is not allowed, with every fault found.
    """
    try:
        return table.model_validate(data, context={"folder": folder or Path()})
    except ValidationError as error:
        raise BadFile(*(line for detail in error.errors() for line in _lines(detail, file))) from None


def _lines(detail: ErrorDetails, file: str) -> list[Refusal]:
    place = _place(detail["loc"])
    if detail["type"] == "problems":
        inner = detail["ctx"]["problems"]
        return [
            _line(file, f"{place}.{field}".lstrip("."), value, allowed) for field, value, allowed in inner
        ]
    allowed = {
        "missing": "the field must be there",
        "extra_forbidden": "there is no such field",
    }.get(detail["type"], detail["msg"].removeprefix("Value error, "))
    value = "(missing)" if detail["type"] == "missing" else detail["input"]
    return [_line(file, place, value, allowed)]


def _line(file: str, field: str, value: object, allowed: str) -> Refusal:
    shown = value.isoformat() if isinstance(value, datetime) else value
    return Refusal(f"{file}: {field}", str(shown), allowed)


def _place(loc: tuple[int | str, ...]) -> str:
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in loc).lstrip(".")

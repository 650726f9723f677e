"""What all input files share: finite numbers, no unknown keys, and faults in one line each.

pydantic finds what is wrong; here its findings become ``Fault`` values that name the file and field,
the value found and what is allowed.
"""

import csv
import io
import json
import math
import re
import tomllib
import types
from collections.abc import Iterable, Iterator, Mapping
from datetime import date, datetime, time
from decimal import Decimal
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin

from pydantic import (
    AfterValidator,
    AnyHttpUrl,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    UrlConstraints,
    ValidationError,
)
from pydantic_core import ErrorDetails

from aggregator.model.errors import MISSING, BadMessage, Fault, short

LARGEST = 1e9
"""No figure of this trade is larger; sums of figures stay finite."""
LAST_PORT = 65535


Figure = TypeVar("Figure", float, Decimal)


class Text(str):
    """A value from a source that knows only text, a CSV field or a variable: it may stand for a number."""

    __slots__ = ()


class Clash(ValueError):
    """What is wrong between the fields of one table; ``field`` is the one that is told, "" for the whole."""

    def __init__(self, field: str, value: object, allowed: str) -> None:
        super().__init__(allowed)
        self.field = field
        self.value = value


def as_text(data: object) -> Any:  # noqa: ANN401
    """Return data whose texts may stand for numbers."""
    if isinstance(data, dict):
        return {key: as_text(value) for key, value in data.items()}
    if isinstance(data, list | tuple):
        return [as_text(value) for value in data]
    return Text(data) if isinstance(data, str) else data


def _number(value: object) -> object:
    if isinstance(value, bool):
        raise ValueError("a number, not true or false")  # noqa: TRY004 - pydantic wants this
    if isinstance(value, str) and not isinstance(value, Text):
        raise ValueError("a number, without quotes")  # noqa: TRY004
    if isinstance(value, str | float | Decimal) and not _finite(value):
        raise ValueError("a finite number")
    return value


def _finite(value: str | float | Decimal) -> bool:
    try:
        return math.isfinite(float(value))
    except ValueError:
        return True  # no number at all: pydantic says so
    except OverflowError:
        return False


def _yes_or_no(value: object) -> object:
    if not isinstance(value, bool | Text):
        raise ValueError("true or false, without quotes")  # noqa: TRY004
    return value


def _printable(value: str) -> str:
    if not value.isprintable():
        raise ValueError("text without control characters")
    return value


def _bounded(value: Figure) -> Figure:
    if abs(value) > LARGEST:
        raise ValueError(f"input should be at most {LARGEST:g}")
    return value


def _local_time(value: object) -> object:
    naive = isinstance(value, time) and value.tzinfo is None
    if not naive and not (isinstance(value, str) and re.fullmatch(r"\d\d:\d\d(:\d\d)?", value)):
        raise ValueError("a local time of day, 07:30, without a zone")
    return value


def _local_date(value: object) -> object:
    plain = isinstance(value, date) and not isinstance(value, datetime)
    if not plain and not (isinstance(value, str) and re.fullmatch(r"\d{4}-\d\d-\d\d", value)):
        raise ValueError("a local date, 2025-01-15")
    return value


def host_and_port(address: str) -> tuple[str, int]:
    """Return the host and port of ``HOST:PORT``, the host as an IP address.

    Raises:
        ValueError: If it is something else; the text says what is allowed.
    """
    host, _, port = address.rpartition(":")
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    try:
        ip = ip_address("127.0.0.1" if host == "localhost" else bare)
    except ValueError:
        ip = None
    bracketed = bare != host
    valid_port = re.fullmatch(r"[0-9]{1,5}", port) is not None and int(port) <= LAST_PORT
    if ip is None or (ip.version == 6) != bracketed or not valid_port:  # noqa: PLR2004 - IP's own numbers
        raise ValueError("an IP address and a port, such as 127.0.0.1:8080 or [::1]:8080")
    return str(ip), int(port)


def is_loopback(address: str) -> bool:
    """Whether nobody outside this machine reaches ``HOST:PORT``; so it is where there is none."""
    return not address or ip_address(host_and_port(address)[0]).is_loopback


def _listen(value: str) -> str:
    if value:
        host_and_port(value)
    return value


Number = Annotated[float, BeforeValidator(_number)]
Bounded = AfterValidator(_bounded)
Finite = Annotated[Number, Field(allow_inf_nan=False), Bounded]
Positive = Annotated[Number, Field(gt=0, allow_inf_nan=False), Bounded]
NotNegative = Annotated[Number, Field(ge=0, allow_inf_nan=False), Bounded]
Whole = Annotated[int, BeforeValidator(_number)]
YesNo = Annotated[bool, BeforeValidator(_yes_or_no)]
Fraction = Annotated[Number, Field(ge=0, le=1, allow_inf_nan=False)]
Efficiency = Annotated[Number, Field(gt=0, le=1, allow_inf_nan=False)]
Money = Annotated[Decimal, BeforeValidator(_number), Field(allow_inf_nan=False), Bounded]
LocalTime = Annotated[time, BeforeValidator(_local_time)]
LocalDate = Annotated[date, BeforeValidator(_local_date)]
HttpUrl = Annotated[AnyHttpUrl, UrlConstraints(allowed_schemes=["http", "https"])]
Name = Annotated[str, Field(min_length=1), AfterValidator(_printable)]
Listen = Annotated[str, AfterValidator(_listen)]

T = TypeVar("T", bound="BaseModel")


class Row(BaseModel):
    """A table of an input file: frozen, and an unknown key is a fault."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=False)


class StrictRow(Row):
    """An object of a JSON file: a number in quotes is a fault; its lists take ``Field(strict=False)``."""

    model_config = ConfigDict(strict=True)


def tables(data: object, name: str) -> list[dict[str, object]]:
    """Return the tables under ``[[name]]`` of unchecked input, an empty one for each that is no table."""
    found = data.get(name) if isinstance(data, dict) else None
    return [row if isinstance(row, dict) else {} for row in found] if isinstance(found, list | tuple) else []


def listed(raw: object) -> list[Any]:
    """Return a list of unchecked input; none of what is no list."""
    return raw if isinstance(raw, list) else []


def read_text(path: Path) -> str:
    """Return a file's text.

    Raises:
        BadMessage: If there is no such file, or it is not UTF-8.
    """
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise BadMessage(Fault(str(path), reason, "a readable UTF-8 text file")) from None


def csv_lines(path: Path) -> list[tuple[int, list[str]]]:
    """Return a CSV file's lines that are not empty, each with its number from 1.

    Raises:
        BadMessage: If the file cannot be read, or is not CSV.
    """
    reader = csv.reader(io.StringIO(read_text(path)), strict=True)
    try:
        return [(reader.line_num, cells) for cells in reader if cells]
    except csv.Error as error:
        raise BadMessage(Fault(f"{path.name}: line {reader.line_num}", str(error), "CSV")) from None


def read_toml(path: Path) -> dict[str, Any]:
    """Return a TOML file's content.

    Raises:
        BadMessage: If the file cannot be read, or is not TOML.
    """
    text = read_text(path)
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise BadMessage(Fault(path.name, str(error), "TOML")) from None


def parse_json(text: bytes | str, source: str) -> object:
    """Return a JSON text's content; a repeated key is refused, NaN is left to the field that holds it.

    Raises:
        BadMessage: If it is not JSON.
    """

    def once(pairs: list[tuple[str, object]]) -> dict[str, object]:
        seen = dict(pairs)
        if len(seen) < len(pairs):
            keys = [key for key, _ in pairs]
            twice = next(key for place, key in enumerate(keys) if key in keys[:place])
            raise BadMessage(Fault(f"{source}: {twice}", "stands twice", "each key once in its object"))
        return seen

    try:
        text = text.decode("utf-8-sig") if isinstance(text, bytes) else text
        return json.loads(text, object_pairs_hook=once)
    except (ValueError, RecursionError) as error:
        raise BadMessage(Fault(source, str(error), "JSON text")) from None


def validate(model: type[T], data: object, source: str) -> T:
    """Return ``data`` as ``model``.

    Raises:
        BadMessage: With every fault found.
    """
    try:
        return model.model_validate(data)
    except ValidationError as error:
        raise BadMessage(*faults_of(error, model, source)) from None


def validate_with(model: type[T], data: object, source: str, more: Iterable[Fault]) -> T:
    """Return ``data`` as ``model``; ``more`` are faults found by other means.

    Raises:
        BadMessage: With every fault of both kinds.
    """
    others = list(more)
    try:
        valid = validate(model, data, source)
    except BadMessage as bad:
        raise BadMessage(*bad.faults, *others) from None
    if others:
        raise BadMessage(*others)
    return valid


def faults_of(error: ValidationError, model: type[BaseModel], source: str) -> Iterator[Fault]:
    """Yield one fault for each finding of pydantic, in the order of the input."""
    findings = error.errors(include_url=False)
    wrong_within = {finding["loc"][:depth] for finding in findings for depth in range(len(finding["loc"]))}
    for finding in findings:
        if finding["type"] == "too_short" and finding["loc"] in wrong_within:
            continue  # pydantic counts the right items only: the wrong ones are told each by itself
        where, value = finding["loc"], MISSING if finding["type"] == "missing" else shown(finding["input"])
        clash = finding.get("ctx", {}).get("error")
        if isinstance(clash, Clash):
            where, value = (*where, *filter(None, [clash.field])), shown(clash.value)
        path = field_path(where)
        yield Fault(f"{source}: {path}" if path else source, value, _allowed(finding, model))


def field_path(loc: Iterable[str | int]) -> str:
    """Write a location as ``cars[3].target_kwh``."""
    text = ""
    for part in loc:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return text


def shown(value: object) -> str:
    """Return a value as text that fits on a line."""
    if value is None:
        return "null"
    return short(value if isinstance(value, str) else _repr(value))


def _repr(value: object) -> str:
    try:
        return repr(value)
    except ValueError:  # an integer of thousands of digits
        return "a number too large to show"


def _allowed(finding: ErrorDetails, model: type[BaseModel]) -> str:
    loc = finding["loc"]
    match finding["type"]:
        case "missing":
            return "a value must be stated, there is no default"
        case "extra_forbidden":
            return f"unknown key; known here: {', '.join(sorted(_known_keys(model, loc[:-1])))}"
        case "model_type" | "model_attributes_type":
            return f"a table with the keys {', '.join(_known_keys(model, loc))}"
        case "too_short":
            return f"at least {finding['ctx']['min_length']} of them"
    if finding["type"] in OUR_WORDS:
        return OUR_WORDS[finding["type"]]
    message = finding["msg"].removeprefix("Value error, ")
    return message if message[1:2].isupper() else message[:1].lower() + message[1:]


OUR_WORDS = {
    "tuple_type": "a list",
    "list_type": "a list",
    "dict_type": "a table",
    "string_type": "a text in quotes",
    "path_type": "a path in quotes",
    "float_type": "a number",
    "float_parsing": "a number",
    "decimal_type": "a number",
    "decimal_parsing": "a number",
    "finite_number": "a finite number",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "int_parsing_size": "a number of fewer digits",
    "date_from_datetime_parsing": "a date of the calendar, 2025-01-15",
    "bool_type": "true or false, without quotes",
    "bool_parsing": "true or false",
}
"""What pydantic says in the words of a program, said in those of a file."""


def _known_keys(model: type[BaseModel], loc: Iterable[str | int]) -> Iterable[str]:
    here: object = model
    for part in loc:
        if isinstance(part, int):
            continue
        if not (isinstance(here, type) and issubclass(here, BaseModel)) or part not in here.model_fields:
            break  # a key of a mapping: its values are what stands inside
        here = _model_in(here.model_fields[part].annotation)
    if not (isinstance(here, type) and issubclass(here, BaseModel)):
        return ()
    return [field.alias or name for name, field in here.model_fields.items()]


def _model_in(annotation: object) -> object:
    """Return the table type inside ``tuple[Row, ...]``, ``dict[str, Row]`` or ``Row | None``."""
    if get_origin(annotation) in (tuple, list, Union, types.UnionType, Annotated, dict, Mapping):
        inner = [_model_in(part) for part in get_args(annotation)]
        return next((part for part in inner if isinstance(part, type) and issubclass(part, BaseModel)), None)
    return annotation

"""What all input files share: finite numbers, no unknown keys, and faults in one line each.

pydantic finds what is wrong; here its findings become ``Fault`` values that name the file and field,
the value found and what is allowed.
"""

import json
import re
import types
from collections.abc import Iterable, Iterator, Mapping
from datetime import time
from decimal import Decimal
from pathlib import Path
from typing import Annotated, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from aggregator.model.errors import BadMessage, Fault


def _number(value: object) -> object:
    if isinstance(value, bool):
        raise ValueError("input should be a number, not true or false")  # noqa: TRY004 - pydantic wants this
    return value


def _local_time(value: object) -> object:
    naive = isinstance(value, time) and value.tzinfo is None
    if not naive and not (isinstance(value, str) and re.fullmatch(r"\d\d:\d\d(:\d\d)?", value)):
        raise ValueError("a local time of day, 07:30, without a zone")
    return value


Number = Annotated[float, BeforeValidator(_number)]
Finite = Annotated[Number, Field(allow_inf_nan=False)]
Positive = Annotated[Number, Field(gt=0, allow_inf_nan=False)]
NotNegative = Annotated[Number, Field(ge=0, allow_inf_nan=False)]
Fraction = Annotated[Number, Field(ge=0, le=1, allow_inf_nan=False)]
Efficiency = Annotated[Number, Field(gt=0, le=1, allow_inf_nan=False)]
Money = Annotated[Decimal, BeforeValidator(_number), Field(allow_inf_nan=False)]
LocalTime = Annotated[time, BeforeValidator(_local_time)]
Name = Annotated[str, Field(min_length=1)]

LONGEST_VALUE = 60

T = TypeVar("T", bound="BaseModel")


class Row(BaseModel):
    """A table of an input file: frozen, and an unknown key is a fault."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=False)


def tables(data: object, name: str) -> list[dict[str, object]]:
    """Return the tables under ``[[name]]`` of unchecked input, an empty one for each that is no table."""
    found = data.get(name) if isinstance(data, dict) else None
    return [row if isinstance(row, dict) else {} for row in found] if isinstance(found, list | tuple) else []


def read_text(path: Path) -> str:
    """Return a file's text.

    Raises:
        BadMessage: If there is no such file, or it is not UTF-8.
    """
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise BadMessage(Fault(str(path), reason, "a readable UTF-8 text file")) from None


def read_json(path: Path) -> object:
    """Return a JSON file's content; NaN, infinity and repeated keys are refused.

    Raises:
        BadMessage: If the file cannot be read, or is not JSON.
    """

    def no_constant(name: str) -> float:
        raise ValueError(f"{name} is not a finite number")

    def no_repeats(pairs: list[tuple[str, object]]) -> dict[str, object]:
        seen: dict[str, object] = {}
        for key, value in pairs:
            if key in seen:
                raise ValueError(f"key {key!r} stands twice")
            seen[key] = value
        return seen

    try:
        return json.loads(read_text(path), parse_constant=no_constant, object_pairs_hook=no_repeats)
    except (ValueError, RecursionError) as error:
        raise BadMessage(Fault(path.name, str(error) or "nested too deep", "one JSON object")) from None


def validate(model: type[T], data: object, source: str) -> T:
    """Return ``data`` as ``model``.

    Raises:
        BadMessage: With every fault found.
    """
    try:
        return model.model_validate(data)
    except ValidationError as error:
        raise BadMessage(*faults_of(error, model, source)) from None


def faults_of(error: ValidationError, model: type[BaseModel], source: str) -> Iterator[Fault]:
    """Yield one fault for each finding of pydantic, in the order of the input."""
    findings = error.errors(include_url=False)
    wrong_within = {finding["loc"][:depth] for finding in findings for depth in range(len(finding["loc"]))}
    for finding in findings:
        where = field_path(finding["loc"])
        if finding["type"] == "too_short" and finding["loc"] in wrong_within:
            continue  # pydantic counts the right items only: the wrong ones are told each by itself
        if finding["type"] == "extra_forbidden":
            known = ", ".join(sorted(_known_keys(model, finding["loc"][:-1])))
            yield Fault(f"{source}: {where}", _short(finding["input"]), f"unknown key; known here: {known}")
        elif finding["type"] == "missing":
            yield Fault(f"{source}: {where}", "nothing", "a value must be stated, there is no default")
        else:
            message = finding["msg"].removeprefix("Value error, ")
            yield Fault(
                f"{source}: {where}" if where else source,
                _short(finding["input"]),
                message[:1].lower() + message[1:],
            )


def field_path(loc: Iterable[str | int]) -> str:
    """Write a location as ``cars[3].target_kwh``."""
    text = ""
    for part in loc:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return text


def _short(value: object) -> str:
    text = value if isinstance(value, str) else repr(value)
    return text if len(text) <= LONGEST_VALUE else f"{text[: LONGEST_VALUE - 1]}…"


def _known_keys(model: type[BaseModel], loc: Iterable[str | int]) -> Iterable[str]:
    here: object = model
    for part in loc:
        if isinstance(part, int):
            continue
        if not (isinstance(here, type) and issubclass(here, BaseModel)) or part not in here.model_fields:
            return ()
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

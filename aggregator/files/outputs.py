"""Writing what a command makes: each file appears whole or not at all."""

import hashlib
import json
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path


def write_files(out: Path, files: Mapping[str, str | bytes]) -> dict[str, str]:
    """Write texts and bytes, by file name, into a folder that is made if need be.

    Returns:
        File name to SHA-256 of its bytes.
    """
    out.mkdir(parents=True, exist_ok=True)
    digests = {}
    for name, body in files.items():
        data = body.encode() if isinstance(body, str) else body
        partial = out / f".{name}.partial"
        partial.write_bytes(data)
        partial.replace(out / name)
        digests[name] = hashlib.sha256(data).hexdigest()
    return digests


def to_json(body: Mapping[str, object]) -> str:
    """Return one JSON object; decimals keep every digit as numbers would not."""
    text = json.dumps(body, indent=1, default=_plain, ensure_ascii=False, allow_nan=False)
    return text.encode("utf-8", "backslashreplace").decode()  # half a surrogate pair has no other form


def _plain(value: object) -> object:
    if isinstance(value, Decimal):
        return str(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")

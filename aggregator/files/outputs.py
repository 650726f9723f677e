"""Writing what a command makes: each file appears whole or not at all."""

import hashlib
from collections.abc import Mapping
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

"""Writing what a command makes: each file appears whole or not at all."""

import hashlib
from collections.abc import Mapping
from pathlib import Path


def write_files(out: Path, files: Mapping[str, str]) -> dict[str, str]:
    """Write texts, by file name, into a folder that is made if need be.

    Returns:
        File name to SHA-256 of its bytes.
    """
    out.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        partial = out / f".{name}.partial"
        partial.write_text(text, encoding="utf-8", newline="")
        partial.replace(out / name)
    return {name: hashlib.sha256(text.encode()).hexdigest() for name, text in files.items()}

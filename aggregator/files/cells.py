"""Text cells of files that people open in a spreadsheet: none is taken for a formula, or for two."""

from collections.abc import Mapping

FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


def guarded(cells: Mapping[str, object]) -> dict[str, object]:
    """Return cells whose texts stay one cell, and texts, in any spreadsheet."""
    return {name: plain(value) if isinstance(value, str) else value for name, value in cells.items()}


def plain(text: str) -> str:
    """Return text that stays one cell, and text."""
    kept = f"'{text}" if text.startswith(FORMULA_STARTS) else text
    return kept.replace("\r", " ").replace("\n", " ")

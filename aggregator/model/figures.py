"""How figures are written in words that people read; what programs read has them in full."""


def figure(value: float, digits: int = 3) -> str:
    """Return a figure rounded to at most so many digits after its point: ``39.689``, ``20``, never ``-0``."""
    text = f"{value:z.{digits}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text

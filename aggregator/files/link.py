"""What a market file must state for a link that can be trusted; whether certificate and key are a pair."""

import re
import ssl
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator

from aggregator.model.errors import MISSING, Fault

SECURE = ("certificate", "key", "vtn_fingerprint")
PAIR = ("certificate", "key")
_PAIRS = re.compile(r"(?:[0-9A-F]{2}:){9}(?:(?:[0-9A-F]{2}:){22})?[0-9A-F]{2}")


def _fingerprint(text: str) -> str:
    if _PAIRS.fullmatch(text.upper()) is None:
        raise ValueError("10 or 32 pairs of hex digits, 00:11:..., the end of a certificate's SHA-256 or all")
    return text.upper()


Fingerprint = Annotated[str, AfterValidator(_fingerprint)]


def unstated(stated: Mapping[str, object], source: str, *, https: bool) -> Iterator[Fault]:
    """Yield a fault for each key that a link lacks: half of a secure link would look like all of one."""
    in_part = any(stated[name] is not None for name in PAIR)
    why = "stated, as url is https" if https else "stated, as a certificate and its key go together"
    for name in SECURE if https else PAIR if in_part else ():
        if stated[name] is None:
            yield Fault(f"{source}: vtn.{name}", MISSING, why)


def not_a_pair(certificate: Path, key: Path, source: str) -> Iterator[Fault]:
    """Yield a fault if the files are not a certificate and its key, or the key wants a passphrase."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        # with no passphrase offered, OpenSSL would ask for one on the terminal
        context.load_cert_chain(certificate, key, password="")
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", None) or str(error)
        allowed = "the certificate's own key, both in PEM, without a passphrase"
        yield Fault(f"{source}: vtn.key", f"{key.name} ({reason})", allowed)

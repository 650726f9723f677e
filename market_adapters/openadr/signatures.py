"""Who signed a message, and when: openleadr's form of signature, checked with signxml.

openleadr's own check takes the first certificate, time and nonce found anywhere in the message, whether or
not they are what was signed, and asks for two signed parts without asking which. Here the signature must be
the message's own, by the certificate that is pinned, over exactly the message that is read and over the one
stamp of time and nonce; the time must lie within the certificate's own dates.
"""

import re
from base64 import b64decode
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from lxml import etree
from signxml import DigestAlgorithm, SignatureConfiguration, SignatureMethod, XMLVerifier
from signxml.verifier import VerifyResult

from aggregator.model.errors import BadMessage, Fault
from market_adapters.openadr.values import INSTANT, read_instant

DS = "{http://www.w3.org/2000/09/xmldsig#}"
SIGNATURE = f"{DS}Signature"
DSP = "{http://openadr.org/oadr-2.0b/2012/07/xmldsig-properties}"
FINGERPRINT = (
    "10 or 32 pairs of hex digits with colons between: the end of a certificate's SHA-256, or all of it"
)
LONGEST_NONCE = 256
# a usual one has 3 kB; what a stranger's costs is bounded before any of it is believed
MOST_SIGNATURE_BYTES = 32 * 1024
_FINGERPRINT = re.compile(r"(?:[0-9A-F]{2}:){9}(?:(?:[0-9A-F]{2}:){22})?[0-9A-F]{2}")
_STRENGTHS = ("SHA256", "SHA384", "SHA512")
_EXPECTED = SignatureConfiguration(
    location="./",
    expect_references=2,
    signature_methods=frozenset(
        SignatureMethod[f"{kind}_{bits}"] for kind in ("RSA", "ECDSA") for bits in _STRENGTHS
    ),
    digest_algorithms=frozenset(DigestAlgorithm[bits] for bits in _STRENGTHS),
)


@dataclass(frozen=True, slots=True)
class Stamp:
    """What a signer says of the moment of signing; with its nonce it is there once.

    Attributes:
        at: When the message was signed.
        nonce: The signer's own mark of this one message.
    """

    at: datetime
    nonce: str


class _Unproven(Exception):
    """The message is not proven to come from the signer; the text says why."""


def fingerprint_of(text: str, where: str) -> str:
    """Return a fingerprint as it is compared.

    Raises:
        BadMessage: If the text is none.
    """
    if _FINGERPRINT.fullmatch(text.upper()) is None:
        raise BadMessage(Fault(where, text, FINGERPRINT))
    return text.upper()


def fingerprint_of_file(path: Path, where: str) -> str:
    """Return the whole fingerprint of the first certificate in a PEM file.

    Raises:
        BadMessage: If there is none.
    """
    try:
        certificate = x509.load_pem_x509_certificate(path.read_bytes())
    except OSError as error:
        raise BadMessage(
            Fault(where, f"{path}: {error.strerror or error}", "a file that can be read")
        ) from None
    except ValueError:
        raise BadMessage(Fault(where, str(path), "a PEM file with a certificate")) from None
    return _whole_fingerprint(certificate)


def check_signature(root: etree._Element, source: str, fingerprint: str) -> Stamp:
    """Return when a message was signed, once it is certain who signed it.

    Args:
        root: The whole message, as it is then read.
        source: What to call it in faults.
        fingerprint: Of the one certificate that is believed.

    Raises:
        BadMessage: If it is not signed, not by that certificate or not in its time, or not what was signed.
    """
    try:
        return _proven(root, fingerprint)
    except _Unproven as unproven:
        reason = str(unproven)
    except Exception as error:
        # signxml and cryptography raise what they please on hostile input; all of it means no
        reason = " ".join(f"{type(error).__name__} {error}".split())
    raise BadMessage(Fault(f"{source}: Signature", reason[:200], f"a signature by {fingerprint}"))


def _proven(root: etree._Element, fingerprint: str) -> Stamp:
    signature, message = _parts(root)
    certificate = _certificate(signature, fingerprint)
    parts: list[VerifyResult] = XMLVerifier().verify(root, x509_cert=certificate, expect_config=_EXPECTED)
    read = _canonical(message)
    others = [part.signed_xml for part in parts if _canonical(part.signed_xml) != read]
    if len(others) != len(parts) - 1:
        raise _Unproven("the message is not what was signed")
    stamp = _stamp(others[0])
    if not certificate.not_valid_before_utc <= stamp.at <= certificate.not_valid_after_utc:
        raise _Unproven(f"signed at {stamp.at.isoformat()}, outside the certificate's own dates")
    return stamp


def _parts(root: etree._Element) -> tuple[etree._Element, etree._Element]:
    """Return the one signature and the one message beside it."""
    children = list(root.iterchildren(tag=etree.Element))
    signatures = [child for child in children if child.tag == SIGNATURE]
    if not signatures:
        raise _Unproven("missing")
    if len(root.findall(f".//{SIGNATURE}")) != 1 or len(children) != len(("signature", "message")):
        raise _Unproven("not exactly one signature beside one message")
    if len(etree.tostring(signatures[0])) > MOST_SIGNATURE_BYTES:
        raise _Unproven(f"more than {MOST_SIGNATURE_BYTES} bytes")
    return signatures[0], next(child for child in children if child.tag != SIGNATURE)


def _certificate(signature: etree._Element, fingerprint: str) -> x509.Certificate:
    """Return the certificate that is pinned; others that come with it are a chain that nobody needs."""
    found = []
    for element in signature.iterfind(f"{DS}KeyInfo/{DS}X509Data/{DS}X509Certificate"):
        certificate = x509.load_der_x509_certificate(b64decode(element.text or ""))
        found.append(_whole_fingerprint(certificate))
        if found[-1].endswith(fingerprint):
            return certificate
    raise _Unproven(f"by {', '.join(name[-len(fingerprint) :] for name in found) or 'no certificate'}")


def _whole_fingerprint(certificate: x509.Certificate) -> str:
    return sha256(certificate.public_bytes(Encoding.DER)).digest().hex(":").upper()


def _canonical(element: etree._Element | None) -> bytes:
    """Return what an element says, wherever it stands and whichever prefixes are in scope there."""
    if element is None:
        return b""
    return etree.tostring(element, method="c14n", exclusive=True, with_comments=False)


def _stamp(part: etree._Element | None) -> Stamp:
    found = None if part is None else part.find(f".//{DSP}ReplayProtect")
    if found is None:
        raise _Unproven("no ReplayProtect is signed")
    nonce = (found.findtext(f"{DSP}nonce") or "").strip()
    if not 0 < len(nonce) <= LONGEST_NONCE:
        raise _Unproven(f"a nonce of {len(nonce)} characters; 1 to {LONGEST_NONCE} are allowed")
    text = (found.findtext(f"{DSP}timestamp") or "").strip()
    try:
        return Stamp(read_instant(text), nonce)
    except ValueError:
        raise _Unproven(f"signed at {text[:40]!r}, which is not {INSTANT}") from None

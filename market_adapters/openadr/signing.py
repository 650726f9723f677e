"""Our own signature, in openleadr's form; the key is read and checked once, not for each message.

openleadr takes the key as PEM with every message: reading an RSA key and checking it takes 0.1 s each time.
"""

from pathlib import Path
from uuid import uuid4

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from lxml import etree
from openleadr.utils import datetimeformat
from signxml import CanonicalizationMethod, SignatureMethod, XMLSigner, methods

from aggregator.model.errors import BadMessage, Fault
from market_adapters.openadr.replay import wall_now
from market_adapters.openadr.signatures import DSP

_OADR = "http://openadr.org/oadr-2.0b/2012/07"
_KEY = "an RSA or EC key in PEM, without a passphrase"


class Signer:
    """Signs messages; may be shared between threads.

    Args:
        cert: Our certificate, maybe followed by its chain; PEM.
        key: Its key; PEM.

    Raises:
        BadMessage: If one of them cannot be read, or they do not belong together.
    """

    def __init__(self, cert: Path, key: Path) -> None:
        self._chain = _certificates(cert)
        self._key, algorithm = _private_key(key)
        if self._key.public_key() != self._chain[0].public_key():
            raise BadMessage(Fault(str(key), "another key", f"the key of {cert}"))
        self._xml = XMLSigner(
            methods.detached, algorithm, c14n_algorithm=CanonicalizationMethod.CANONICAL_XML_1_0
        )
        self._xml.namespaces["oadr"] = _OADR

    def sign(self, message: bytes) -> bytes:
        """Return a message of ours in ``oadrPayload`` with its signature, stamped with the wall time."""
        payload = etree.fromstring(message)
        (content,) = payload
        signature = self._xml.sign(
            content,
            key=self._key,
            cert=self._chain,
            reference_uri="#oadrSignedObject",
            signature_properties=_stamp(),
        )
        payload.insert(0, signature)
        return etree.tostring(payload, xml_declaration=True, encoding="utf-8")


def _certificates(path: Path) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(_bytes(path))
    except ValueError:
        raise BadMessage(
            Fault(str(path), "no certificate", "a PEM file with our certificate first")
        ) from None


def _private_key(path: Path) -> tuple[RSAPrivateKey | EllipticCurvePrivateKey, SignatureMethod]:
    try:
        key = load_pem_private_key(_bytes(path), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise BadMessage(Fault(str(path), "no key that can be read", _KEY)) from None
    if isinstance(key, RSAPrivateKey):
        return key, SignatureMethod.RSA_SHA256
    if isinstance(key, EllipticCurvePrivateKey):
        return key, SignatureMethod.ECDSA_SHA256
    raise BadMessage(Fault(str(path), type(key).__name__, _KEY))


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise BadMessage(Fault(str(path), error.strerror or str(error), "a file that can be read")) from None


def _stamp() -> etree._Element:
    stamp = etree.Element(
        f"{DSP}ReplayProtect", nsmap={"dsp": DSP[1:-1]}, attrib={"Id": "myid", "Target": "#mytarget"}
    )
    etree.SubElement(stamp, f"{DSP}timestamp").text = datetimeformat(wall_now())
    etree.SubElement(stamp, f"{DSP}nonce").text = uuid4().hex
    return stamp

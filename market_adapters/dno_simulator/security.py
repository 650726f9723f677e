"""TLS and XML signatures of the platform, with openleadr's checks and a clock that may be off."""

import ssl
from datetime import datetime, timedelta
from typing import Annotated, Any, Self

from lxml import etree
from openleadr import messaging, utils
from openleadr.errors import FingerprintMismatch
from pydantic import Field, model_validator
from signxml import XMLSigner, methods
from signxml.algorithms import SignatureMethod

from .clock import WALL_CLOCK
from .edge import File, Problem, Table, refuse

_PROPERTIES = "http://openadr.org/oadr-2.0b/2012/07/xmldsig-properties"
_OADR = "http://openadr.org/oadr-2.0b/2012/07"
_C14N = "http://www.w3.org/TR/2001/REC-xml-c14n-20010315"
OLDEST_SIGNATURE = timedelta(seconds=60)

Fingerprint = Annotated[str, Field(strict=True, pattern=r"^([0-9A-F]{2}:){9}[0-9A-F]{2}$")]


class Tls(Table):
    """What the platform serves https with; a client must show a certificate that ``ca`` signed."""

    cert: File
    key: File
    ca: File

    def context(self) -> ssl.SSLContext:
        """A server context of TLS 1.2 or later."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.load_cert_chain(self.cert, self.key)
        context.load_verify_locations(self.ca)
        context.verify_mode = ssl.CERT_REQUIRED
        return context

    @model_validator(mode="after")
    def _usable(self) -> Self:
        try:
            self.context()
        except (ssl.SSLError, OSError) as error:
            refuse([Problem("cert", self.cert, f"a certificate, its key and a CA, as PEM ({error})")])
        return self


class Signing(Table):
    """Signs every message, and takes none that the VEN of this fingerprint did not sign."""

    cert: File
    key: File
    ven_fingerprint: Fingerprint

    @model_validator(mode="after")
    def _usable(self) -> Self:
        try:
            text = self.render("oadrPoll", {"ven_id": "x"}, timedelta(0))
            messaging.validate_xml_signature(etree.fromstring(text.encode()))
        except Exception as error:
            # cryptography and signxml raise what they please on a file that is no key
            refuse([Problem("key", self.key, f"the certificate's key, both as PEM ({error})")])
        return self

    def render(self, message: str, payload: dict[str, Any], offset: timedelta) -> str:
        """One message, signed at wall time plus an offset."""
        cert, key = self.cert.read_bytes(), self.key.read_bytes()
        text: str = messaging.create_message(message, **payload)
        payload_tree = etree.fromstring(text.encode())
        inner = etree.fromstring(etree.tostring(payload_tree[-1]))
        signer = XMLSigner(method=methods.detached, c14n_algorithm=_C14N)
        signer.namespaces |= {"oadr": _OADR}  # as the envelope will have it in scope
        algorithm = messaging.get_signature_algorithm_from_private_key(key)
        signer.sign_alg = SignatureMethod.from_fragment(algorithm)
        signature = signer.sign(
            inner,
            key=key,
            cert=cert.decode(),
            reference_uri="#oadrSignedObject",
            signature_properties=_replay_protect(WALL_CLOCK.now() + offset),
        )
        payload_tree.insert(0, signature)
        return etree.tostring(payload_tree, encoding="unicode")

    def check(self, body: bytes) -> None:
        """Take a message as the VEN's.

        Raises:
            NotSigned: If it is not signed, not by that VEN, altered, too old, or seen before.
        """
        if b"X509Certificate" not in body:
            raise NotSigned("there is no signature with a certificate")
        try:
            messaging.validate_xml_signature(messaging.validate_xml_schema(body), self.ven_fingerprint)
        except FingerprintMismatch as error:
            raise NotSigned(str(error)) from None
        except Exception as error:
            # signxml, cryptography and openleadr raise what they please on hostile input; all of it means no
            raise NotSigned(f"{type(error).__name__} {error}".strip()) from None


class NotSigned(Exception):
    """A message that the VEN did not sign; it says why."""


def _replay_protect(at: datetime) -> etree._Element:
    protect = etree.Element(
        f"{{{_PROPERTIES}}}ReplayProtect", {"Id": "myid", "Target": "#mytarget"}, nsmap={"dsp": _PROPERTIES}
    )
    etree.SubElement(protect, f"{{{_PROPERTIES}}}timestamp").text = utils.datetimeformat(at)
    etree.SubElement(protect, f"{{{_PROPERTIES}}}nonce").text = utils.generate_id()
    return protect

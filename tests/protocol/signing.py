"""Keys, certificates and signatures for tests; signs in ways that ours never would."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from ipaddress import ip_address
from itertools import count

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID
from lxml import etree
from openleadr.utils import certificate_fingerprint
from signxml import CanonicalizationMethod, DigestAlgorithm, SignatureMethod, XMLSigner, methods

from market_adapters.openadr.replay import wall_now

OADR = "http://openadr.org/oadr-2.0b/2012/07"
DSP = "http://openadr.org/oadr-2.0b/2012/07/xmldsig-properties"
BEGIN = datetime(2020, 1, 1, tzinfo=UTC)
END = datetime(2120, 1, 1, tzinfo=UTC)
_PEM = serialization.Encoding.PEM
_NUMBERS = count(1)


@dataclass(frozen=True)
class Identity:
    """A key and a certificate of its own for it, both PEM."""

    cert: bytes
    key: bytes

    @property
    def fingerprint(self):
        return certificate_fingerprint(self.cert.decode())

    def files(self, folder):
        """Write both; return the two paths."""
        number = next(_NUMBERS)
        cert, key = folder / f"{number}.pem", folder / f"{number}.key"
        cert.write_bytes(self.cert)
        key.write_bytes(self.key)
        return cert, key


@cache
def an_identity(name="vtn", *, kind="ec", begin=BEGIN, end=END):
    """Make an identity; the same arguments give the same one."""
    key = ec.generate_private_key(ec.SECP256R1()) if kind == "ec" else rsa.generate_private_key(65537, 2048)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(begin)
        .not_valid_after(end)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    secret = key.private_bytes(_PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return Identity(made.public_bytes(_PEM), secret)


class AnySigner(XMLSigner):
    """Signs with algorithms that nobody should take any more, too."""

    def check_deprecated_methods(self):
        pass


def a_stamp(at=None, nonce=None):
    """A ReplayProtect element; ``at`` is an instant or any text, an empty text leaves a part out."""
    stamp = etree.Element(f"{{{DSP}}}ReplayProtect", nsmap={"dsp": DSP})
    text = at if isinstance(at, str) else (at or wall_now()).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    nonce = f"nonce-{next(_NUMBERS)}" if nonce is None else nonce
    for name, value in (("timestamp", text), ("nonce", nonce)):
        if value:
            etree.SubElement(stamp, f"{{{DSP}}}{name}").text = value
    return stamp


def signed(
    message, who, *, at=None, nonce=None, cert=None, algorithm=None, digest="SHA256", canonical=None, **how
):
    """Return a message with its signature.

    Args:
        message: In ``oadrPayload``, unsigned.
        who: Whose key it is.
        at: When it says it was signed; now if None.
        nonce: Its nonce; a new one if None.
        cert: The certificates that go with it; the signer's own if None.
        algorithm: As signxml names it.
        digest: As signxml names it.
        canonical: A canonical form as signxml has it.
        how: What else signxml's ``sign`` takes.
    """
    payload = etree.fromstring(message)
    kind = "RSA_SHA256" if b"RSA" in who.key or len(who.key) > 1000 else "ECDSA_SHA256"
    signer = AnySigner(
        methods.detached,
        SignatureMethod[algorithm or kind],
        DigestAlgorithm[digest],
        canonical or CanonicalizationMethod.CANONICAL_XML_1_0,
    )
    signer.namespaces["oadr"] = OADR
    how = {"reference_uri": "#oadrSignedObject", "signature_properties": a_stamp(at, nonce), **how}
    signature = signer.sign(payload[0], key=who.key, cert=(cert or who.cert).decode(), **how)
    payload.insert(0, signature)
    return etree.tostring(payload)


def ago(seconds):
    """Return the wall instant so many seconds ago."""
    return wall_now() - timedelta(seconds=seconds)

"""Our own signature: in openleadr's form, with a key that is read once."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from cryptography.hazmat.primitives import serialization
from lxml import etree
from openleadr.messaging import validate_xml_schema, validate_xml_signature

from aggregator.model.errors import BadMessage
from market_adapters.openadr.messages import poll, render
from market_adapters.openadr.signing import Signer
from market_adapters.openadr.wire import parse
from tests.protocol.signing import an_identity


@pytest.mark.parametrize("kind", ["ec", "rsa"])
def test_what_we_sign_is_good_for_openleadr_and_for_us(kind, tmp_path):
    who = an_identity(kind=kind)
    cert, key = who.files(tmp_path)
    signer = Signer(cert, key)
    cert.unlink()
    key.unlink()
    with ThreadPoolExecutor(4) as pool:
        sent = list(pool.map(lambda number: render(poll(f"A & B {number}"), signer), range(8)))
    stamps = {parse(data, fingerprint=who.fingerprint).stamp for data in sent}
    assert len(stamps) == 8
    assert parse(sent[3]).fields["venID"] == "A & B 3"
    assert etree.tostring(validate_xml_schema(sent[0]))
    validate_xml_signature(etree.fromstring(render(poll("v"), signer)), who.fingerprint)


def test_a_chain_goes_along_and_our_own_certificate_is_the_one_that_counts(tmp_path):
    who, issuer = an_identity(), an_identity("issuer")
    cert, key = who.files(tmp_path)
    cert.write_bytes(who.cert + issuer.cert)
    data = render(poll("v"), Signer(cert, key))
    assert parse(data, fingerprint=who.fingerprint).stamp
    with pytest.raises(BadMessage):
        parse(data, fingerprint=issuer.fingerprint)


def _with_a_passphrase(pem):
    key = serialization.load_pem_private_key(pem, None)
    locked = serialization.BestAvailableEncryption(b"secret")
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, locked)


@pytest.mark.parametrize(
    ("of_cert", "of_key", "said"),
    [
        (None, an_identity("x").key, "the key of"),
        (None, _with_a_passphrase(an_identity().key), "without a passphrase"),
        (None, b"", "an RSA or EC key in PEM"),
        (None, an_identity().cert, "an RSA or EC key in PEM"),
        (b"", None, "our certificate first"),
        (b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", None, "our certificate first"),
    ],
    ids=["another key", "a key with a passphrase", "no key", "no key but a certificate", "none", "garbage"],
)
def test_what_is_no_pair_is_one_fault(of_cert, of_key, said, tmp_path):
    cert, key = an_identity().files(tmp_path)
    for path, data in ((cert, of_cert), (key, of_key)):
        if data is not None:
            path.write_bytes(data)
    with pytest.raises(BadMessage, match=said) as refusal:
        Signer(cert, key)
    assert len(refusal.value.faults) == 1


def test_a_file_that_is_not_there_is_one_fault(tmp_path):
    cert, key = an_identity().files(tmp_path)
    key.unlink()
    with pytest.raises(BadMessage, match="No such file"):
        Signer(cert, key)

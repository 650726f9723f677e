"""Messages whose signature proves nothing: by somebody else, of something else, of another time."""

import re
from base64 import b64encode
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass
from datetime import timedelta

from lxml import etree
from signxml import CanonicalizationMethod, SignatureReference

from tests.protocol.hostile.case import ID, SOUND, Fate, inside
from tests.protocol.signing import a_stamp, ago, an_identity, signed
from tests.protocol.vtn import an_event, distribute

DS = "http://www.w3.org/2000/09/xmldsig#"
EVIL = distribute(an_event("DSP-1", modification=9, kw=(-900.0,))).encode()
OTHER_ID = b'oadr:Id="other"'
VTN, OTHER = an_identity("vtn"), an_identity("vtn", kind="rsa")
LAPSED = an_identity("lapsed", end=ago(3600).replace(microsecond=0))
TO_COME = an_identity("to come", begin=ago(-3600).replace(microsecond=0))


@dataclass(frozen=True)
class SignedCase:
    """One message, made when it is needed, as it is stamped with the time.

    Attributes:
        name: What is wrong with it.
        make: Returns its bytes.
        trusted: Whose signature is believed.
        in_file: What becomes of it in a file, which has no time of arrival.
        times: How often it is delivered; the last time it is refused.
    """

    name: str
    make: Callable[[], bytes]
    trusted: str = VTN.fingerprint
    in_file: Fate = Fate.REFUSED
    times: int = 1


def signed_cases() -> Iterator[SignedCase]:
    """Yield all of them."""
    yield from _not_by_them()
    yield from _not_what_they_signed()
    yield from _wrapped()
    yield from _at_another_time()
    yield from _of_another_kind()
    yield from _garbage()


def _sound(**how: object) -> bytes:
    return signed(SOUND, VTN, **how)


def _edited(edit: Callable[[etree._Element], object], data: bytes | None = None) -> bytes:
    """Return a signed message after something was done to its tree."""
    root = etree.fromstring(data or _sound())
    edit(root)
    return etree.tostring(root)


def _at(root: etree._Element, name: str) -> etree._Element:
    found = root.find(f".//{{*}}{name}")
    assert found is not None, name
    return found


def _text(name: str, text: str) -> Callable[[], bytes]:
    return lambda: _edited(lambda root: setattr(_at(root, name), "text", text))


def _attribute(name: str, key: str, value: str) -> Callable[[], bytes]:
    return lambda: _edited(lambda root: _at(root, name).set(key, value))


def _not_by_them() -> Iterator[SignedCase]:
    yield SignedCase("signature-missing", lambda: SOUND)
    yield SignedCase("signed-by-another-certificate", lambda: signed(SOUND, OTHER))
    yield SignedCase("signed-by-another-key", lambda: signed(SOUND, an_identity("x"), cert=VTN.cert))
    yield SignedCase("signed-by-another-kind-of-key", lambda: signed(SOUND, OTHER, cert=VTN.cert))
    yield SignedCase(
        "their-certificate-beside-another", lambda: signed(SOUND, OTHER, cert=OTHER.cert + VTN.cert)
    )
    yield SignedCase("certificate-missing", lambda: _edited(lambda root: _drop(_at(root, "X509Data"))))
    yield SignedCase("key-info-missing", lambda: _edited(lambda root: _drop(_at(root, "KeyInfo"))))
    yield SignedCase("key-in-key-info-not-theirs", _with_a_strange_key)
    yield SignedCase("only-a-key-in-key-info", _with_only_a_key)
    yield SignedCase("certificate-lapsed", lambda: signed(SOUND, LAPSED), LAPSED.fingerprint)
    yield SignedCase("certificate-to-come", lambda: signed(SOUND, TO_COME), TO_COME.fingerprint)


def _with_a_strange_key() -> bytes:
    strange = etree.fromstring(signed(SOUND, an_identity("x"), always_add_key_value=True))
    return _edited(lambda root: _at(root, "KeyInfo").insert(0, _at(strange, "KeyValue")))


def _with_only_a_key() -> bytes:
    data = signed(SOUND, OTHER, always_add_key_value=True)
    return _edited(lambda root: _drop(_at(root, "X509Data")), data)


def _drop(element: etree._Element) -> None:
    parent = element.getparent()
    assert parent is not None
    parent.remove(element)


def _not_what_they_signed() -> Iterator[SignedCase]:
    for name, old, new in (
        ("id", ID, inside("DSP-2")),
        ("number", "-30.0", "-31.0"),
        ("sign", "-30.0", "30.0"),
        ("space", "</ei:eventID>", "</ei:eventID> "),
        ("attribute", '"2.0b"', '"2.0b" x="y"'),
        ("prefix", "<oadr:oadrSignedObject", '<oadr:oadrSignedObject xmlns:x="u:x"'),
    ):
        yield SignedCase(
            f"tampered-{name}", lambda old=old, new=new: _sound().replace(old.encode(), new.encode(), 1)
        )
    yield SignedCase("tampered-nonce", _text("nonce", "another"))
    yield SignedCase("tampered-time", _text("timestamp", "2120-01-01T00:00:00Z"))
    yield SignedCase("tampered-digest", _text("DigestValue", b64encode(bytes(32)).decode()))
    yield SignedCase("reference-removed", lambda: _edited(lambda root: _drop(_at(root, "Reference"))))
    yield SignedCase("stamp-removed", lambda: _edited(lambda root: _drop(_at(root, "Object"))))
    yield SignedCase("stamp-not-signed", _without_a_signed_stamp)
    yield SignedCase("signed-twice-without-a-stamp", _the_message_twice)
    yield SignedCase(
        "signed-as-a-whole-only", lambda: signed(SOUND, VTN, reference_uri=[SignatureReference("")])
    )


def _without_a_signed_stamp() -> bytes:
    root = etree.fromstring(signed(SOUND, VTN, signature_properties=None))
    holder = etree.SubElement(_at(root, "Signature"), f"{{{DS}}}Object", Id="prop")
    holder.append(a_stamp())
    return etree.tostring(root)


def _the_message_twice() -> bytes:
    message = SignatureReference("#oadrSignedObject")
    root = etree.fromstring(signed(SOUND, VTN, reference_uri=[message, message], signature_properties=None))
    etree.SubElement(_at(root, "Signature"), f"{{{DS}}}Object").append(a_stamp())
    return etree.tostring(root)


def _wrapped() -> Iterator[SignedCase]:
    """Yield what shows one message to who checks the signature, and another to who reads."""
    yield SignedCase("wrapped-in-the-signature", lambda: _moved("ds:Signature", OTHER_ID))
    yield SignedCase("wrapped-in-the-signature-evil-without-an-Id", lambda: _moved("ds:Signature", b""))
    yield SignedCase("wrapped-beside", lambda: _moved("oadr:oadrPayload", OTHER_ID))
    yield SignedCase("wrapped-inside-the-evil-one", lambda: _moved("oadr:oadrDistributeEvent", OTHER_ID))
    yield SignedCase(
        "wrapped-with-the-Id-twice", lambda: _moved("ds:Signature", b'oadr:Id="oadrSignedObject"')
    )
    yield SignedCase(
        "wrapped-with-the-Id-in-another-attribute",
        lambda: _moved("ds:Signature", b'ID="oadrSignedObject"'),
    )
    yield SignedCase("wrapped-and-signed-exclusively", _exclusively_wrapped)
    yield SignedCase("two-signatures", lambda: _edited(lambda root: root.insert(0, deepcopy(root[0]))))
    yield SignedCase("a-foreign-signature-first", _after_a_foreign_one)
    yield SignedCase("signature-inside-the-message", lambda: _edited(lambda root: root[1].append(root[0])))
    yield SignedCase("signature-around-the-message", lambda: _edited(lambda root: root[0].append(root[1])))
    yield SignedCase(
        "Id-twice", lambda: _edited(lambda root: _at(root, "eiEvent").set("Id", "oadrSignedObject"))
    )


def _moved(where: str, evil_id: bytes, data: bytes | None = None) -> bytes:
    """Put another message where the signed one was, and that one, byte for byte, at the end of an element."""
    data = data or _sound()
    good, evil = _signed_object(data), _signed_object(EVIL).replace(b'oadr:Id="oadrSignedObject"', evil_id)
    if where == "oadr:oadrDistributeEvent":
        return data.replace(good, _ending_in(where, evil, good))
    holder = b"<ds:Object>%s</ds:Object>" % good if where == "ds:Signature" else good
    return _ending_in(where, data.replace(good, evil), holder)


def _signed_object(data: bytes) -> bytes:
    end = b"</oadr:oadrSignedObject>"
    return data[data.index(b"<oadr:oadrSignedObject") : data.index(end) + len(end)]


def _ending_in(name: str, data: bytes, more: bytes) -> bytes:
    end = f"</{name}>".encode()
    assert end in data
    return data.replace(end, more + end, 1)


def _exclusively_wrapped() -> bytes:
    exclusive = CanonicalizationMethod.EXCLUSIVE_XML_CANONICALIZATION_1_0
    return _moved("ds:Signature", OTHER_ID, _sound(canonical=exclusive))


def _after_a_foreign_one() -> bytes:
    foreign = etree.fromstring(signed(SOUND, OTHER))[0]
    return _edited(lambda root: root.insert(0, foreign))


def _at_another_time() -> Iterator[SignedCase]:
    yield SignedCase("signed-too-long-ago", lambda: _sound(at=ago(90)), in_file=Fate.READ)
    yield SignedCase("signed-last-year", lambda: _sound(at=ago(365 * 86_400)), in_file=Fate.READ)
    yield SignedCase("signed-in-the-future", lambda: _sound(at=ago(-90)), in_file=Fate.READ)
    yield SignedCase("signed-in-a-hundred-years", lambda: _sound(at=ago(-100 * 366 * 86_400)))
    yield SignedCase("signed-before-its-certificate", lambda: _sound(at="1999-01-01T00:00:00Z"))
    yield SignedCase("replayed", _once(_sound), in_file=Fate.READ, times=2)
    yield SignedCase("replayed-with-a-fresh-stamp-before-the-signed-one", _freshened, in_file=Fate.READ)
    for name, text in (
        ("naive", "2026-01-01T00:00:00"),
        ("no-time", "soon"),
        ("year-0", "0000-01-01T00:00:00Z"),
    ):
        yield SignedCase(f"stamp-{name}", lambda text=text: _sound(at=text))
    yield SignedCase("stamp-without-a-time", lambda: _sound(at=""))
    yield SignedCase("stamp-without-a-nonce", lambda: _sound(nonce=""))
    yield SignedCase("stamp-with-a-huge-nonce", lambda: _sound(nonce="n" * 300))


def _once(make: Callable[[], bytes]) -> Callable[[], bytes]:
    kept: list[bytes] = []

    def same() -> bytes:
        if not kept:
            kept.append(make())
        return kept[0]

    return same


def _freshened() -> bytes:
    """An old message that carries a new stamp, which is not signed, where openleadr looks first."""
    root = etree.fromstring(_sound(at=ago(timedelta(days=1).total_seconds())))
    fresh = etree.Element(f"{{{DS}}}Object")
    fresh.append(a_stamp())
    _at(root, "Object").addprevious(fresh)
    return etree.tostring(root)


def _of_another_kind() -> Iterator[SignedCase]:
    yield SignedCase("signed-with-SHA1", lambda: signed(SOUND, VTN, algorithm="ECDSA_SHA1"))
    yield SignedCase("digested-with-SHA1", lambda: signed(SOUND, VTN, digest="SHA1"))
    yield SignedCase(
        "signed-with-RSA-SHA1", lambda: signed(SOUND, OTHER, algorithm="RSA_SHA1"), OTHER.fingerprint
    )
    yield SignedCase("signed-with-a-shared-secret", _with_a_shared_secret)
    method = "SignatureMethod"
    for name, uri in (
        ("none", ""),
        ("unknown", "http://example.org/rot13"),
        ("hmac", "http://www.w3.org/2001/04/xmldsig-more#hmac-sha256"),
        ("dsa", "http://www.w3.org/2009/xmldsig11#dsa-sha256"),
        ("rsa-for-ec", "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256"),
    ):
        yield SignedCase(f"algorithm-{name}", _attribute(method, "Algorithm", uri))
    yield SignedCase("digest-unknown", _attribute("DigestMethod", "Algorithm", "http://example.org/crc32"))
    yield SignedCase("canonical-form-unknown", _attribute("CanonicalizationMethod", "Algorithm", "u:none"))
    yield SignedCase(
        "transform-by-xslt",
        _attribute("Transform", "Algorithm", "http://www.w3.org/TR/1999/REC-xslt-19991116"),
    )
    yield SignedCase(
        "transform-by-xpath",
        _attribute("Transform", "Algorithm", "http://www.w3.org/TR/1999/REC-xpath-19991116"),
    )
    for name, uri in (
        ("a-file", "file:///etc/passwd"),
        ("the-net", "http://127.0.0.1:1/"),
        ("nothing", "#none"),
        ("everything", ""),
        ("an-xpointer", "#xpointer(/)"),
    ):
        yield SignedCase(f"reference-to-{name}", _attribute("Reference", "URI", uri))


def _with_a_shared_secret() -> bytes:
    """What is public of theirs, the certificate, taken for a secret."""
    root = etree.fromstring(_sound())
    shared = etree.fromstring(signed(SOUND, VTN, algorithm="HMAC_SHA256"))
    shared[0].append(_at(root, "KeyInfo"))
    return etree.tostring(shared)


def _garbage() -> Iterator[SignedCase]:
    yield SignedCase("signature-empty", lambda: _edited(lambda root: root[0].clear()))
    yield SignedCase(
        "signature-without-what-is-signed", lambda: _edited(lambda root: _drop(_at(root, "SignedInfo")))
    )
    yield SignedCase("signature-value-empty", _text("SignatureValue", ""))
    yield SignedCase("signature-value-not-base64", _text("SignatureValue", "%%%"))
    yield SignedCase("signature-value-of-zeros", _text("SignatureValue", b64encode(bytes(64)).decode()))
    yield SignedCase("signature-value-huge", _text("SignatureValue", "A" * 8_000))
    yield SignedCase("certificate-not-base64", _text("X509Certificate", "%%%"))
    yield SignedCase("certificate-of-zeros", _text("X509Certificate", b64encode(bytes(600)).decode()))
    yield SignedCase(
        "certificate-cut", lambda: re.sub(rb"(X509Certificate>[^<]{200})[^<]*", rb"\1", _sound(), count=1)
    )
    yield SignedCase("digest-not-base64", _text("DigestValue", "%%%"))
    yield SignedCase("signature-of-a-megabyte", lambda: _edited(_a_long_chain))
    yield SignedCase("signature-of-20,000-prefixes", lambda: _edited(_many_prefixes))
    yield SignedCase("signature-of-10,000-references", lambda: _edited(_many_references))


def _a_long_chain(root: etree._Element) -> None:
    holder = _at(root, "X509Data")
    for _ in range(1_000):
        holder.append(deepcopy(holder[0]))


def _many_prefixes(root: etree._Element) -> None:
    method = _at(root, "CanonicalizationMethod")
    exclusive = "http://www.w3.org/2001/10/xml-exc-c14n#"
    method.set("Algorithm", exclusive)
    names = " ".join(f"p{number}" for number in range(20_000))
    etree.SubElement(method, f"{{{exclusive}}}InclusiveNamespaces", PrefixList=names)


def _many_references(root: etree._Element) -> None:
    first = _at(root, "Reference")
    for _ in range(5_000):
        first.addnext(deepcopy(first))

"""XML that is broken, too large, in the wrong clothes, or reaches for what is outside it."""

from collections.abc import Iterator

from tests.protocol.hostile.case import CANARY, ID, SECRET, SOUND, Case, Fate, inside, swap
from tests.protocol.test_crash_message import BOMB

MEGABYTE = 1024 * 1024
HEAD = b'<?xml version="1.0" encoding="utf-8"?>'
PAYLOAD = SOUND.removeprefix(HEAD)
START = b"<oadr:oadrDistributeEvent"
BARE = PAYLOAD[PAYLOAD.index(START) : PAYLOAD.index(b"</oadr:oadrSignedObject>")]
READ = Fate.READ


def xml_cases() -> Iterator[Case]:
    """Yield all of them."""
    yield from _no_xml()
    yield from _with_a_dtd()
    yield from _too_much()
    yield from _cut_off()
    yield from _encodings()
    yield from _broken()
    yield from _reaching_out()
    yield from _envelopes()
    yield from _namespaces()


def _no_xml() -> Iterator[Case]:
    yield Case("nothing-but-spaces", b"<!-- -->   ")
    yield Case("one-nul", b"\0")
    yield Case("every-byte", bytes(range(256)))
    yield Case("plain-text", b"503 Service Unavailable")
    yield Case("json", b'{"oadrPayload": {"oadrSignedObject": {}}}')
    yield Case("html-page", b"<html><body><h1>It works!</h1></body></html>")
    yield Case("html-page-not-closed", b"<html><body><p>It works!<br>")
    yield Case("only-a-declaration", HEAD)
    yield Case("only-a-comment", HEAD + b"<!-- oadrPayload -->")
    yield Case("gzip", b"\x1f\x8b\x08\x00" + bytes(range(200)))


def _with_a_dtd() -> Iterator[Case]:
    def dtd(subset: bytes, use: bytes = b"&e;", doctype: bytes = b"<!DOCTYPE x [%s]>") -> bytes:
        return HEAD + doctype % subset + swap(ID, inside(use.decode()), data=PAYLOAD)

    laughs = b'<!ENTITY e0 "ha">' + b"".join(
        b'<!ENTITY e%d "%s">' % (n, b"&e%d;" % (n - 1) * 10) for n in range(1, 12)
    )
    yield Case("crash-message", BOMB)
    yield Case("crash-message-utf-16", BOMB.decode().replace("utf-8", "utf-16").encode("utf-16"))
    yield Case("entity-internal", dtd(b'<!ENTITY e "DSP-1">'))
    yield Case("entity-in-an-attribute", dtd(b'<!ENTITY e "x">').replace(b'"2.0b"', b'"&e;"'))
    yield Case("xxe-file", dtd(b'<!ENTITY e SYSTEM "file://%s">' % SECRET))
    yield Case("xxe-http", dtd(b'<!ENTITY e SYSTEM "%s">' % CANARY))
    yield Case("xxe-public", dtd(b'<!ENTITY e PUBLIC "-//x//EN" "%s">' % CANARY))
    yield Case("xxe-unparsed", dtd(b'<!NOTATION n SYSTEM "n"><!ENTITY e SYSTEM "%s" NDATA n>' % CANARY, b"x"))
    yield Case("dtd-external", dtd(CANARY, b"x", b'<!DOCTYPE x SYSTEM "%s">'))
    yield Case("dtd-external-public", dtd(CANARY, b"x", b'<!DOCTYPE x PUBLIC "-//x//EN" "%s">'))
    yield Case("dtd-empty", dtd(b"", b"DSP-1"))
    yield Case("dtd-lower-case", dtd(b"", b"DSP-1", b"<!doctype x [%s]>"))
    yield Case("dtd-default-attribute", dtd(b'<!ATTLIST x oadr:Id CDATA "other">', b"DSP-1"))
    yield Case("parameter-entity", dtd(b"""<!ENTITY %% p "<!ENTITY e 'v'>">%%p;""".replace(b"%%", b"%")))
    yield Case("parameter-entity-http", dtd(b'<!ENTITY %% p SYSTEM "%s">%%p;' % CANARY))
    yield Case("parameter-entity-in-itself", dtd(b"<!ENTITY %% p '%%p;'>%%p;".replace(b"%%", b"%")))
    yield Case("entity-in-itself", dtd(b'<!ENTITY e "&f;"><!ENTITY f "&e;">'))
    yield Case("billion-laughs", dtd(laughs, b"&e11;"))
    yield Case("billion-laughs-utf-16", _utf_16(dtd(laughs, b"&e11;")))
    yield Case("billion-laughs-in-an-attribute", _utf_16(dtd(laughs).replace(b'"2.0b"', b'"&e11;"')))
    yield Case("quadratic-blow-up", dtd(b'<!ENTITY e "%s">' % (b"x" * 50_000), b"&e;" * 20_000))
    yield Case(
        "quadratic-blow-up-utf-16", _utf_16(dtd(b'<!ENTITY e "%s">' % (b"x" * 50_000), b"&e;" * 9_000))
    )
    yield Case("entity-depth-bomb", dtd(b'<!ENTITY e0 "x">' + _chain(5_000), b"&e4999;"))
    yield Case(
        "dtd-in-utf-7", HEAD.replace(b"utf-8", b"utf-7") + b'+ADw-!DOCTYPE x [+ADw-!ENTITY e "v">]>' + BARE
    )
    yield Case("entity-not-declared", swap(ID, inside("&nbsp;")))


def _chain(length: int) -> bytes:
    return b"".join(b'<!ENTITY e%d "&e%d;">' % (n, n - 1) for n in range(1, length))


def _utf_16(data: bytes) -> bytes:
    return data.decode().replace("utf-8", "utf-16", 1).encode("utf-16")


def _too_much() -> Iterator[Case]:
    yield Case("20-MB-of-spaces", SOUND + b" " * 20 * MEGABYTE)
    yield Case("20-MB-in-an-id", swap(ID, inside("x" * 20 * MEGABYTE)))
    yield Case("20-MB-of-elements", swap(ID, inside("<a/>" * 5 * MEGABYTE)))
    yield Case("20-MB-in-a-comment", swap(ID, f"<!--{'x' * 20 * MEGABYTE}-->{ID}"))
    yield Case("20-MB-that-never-end", HEAD + b"<a>" * 7 * MEGABYTE)
    yield Case("2-MB-in-an-id", swap(ID, inside("x" * 2_000_000)))
    yield Case("2-MB-of-digits", swap(">-30.0<", f">{'9' * 2_000_000}<"))
    yield Case("2-MB-of-decimals", swap(">-30.0<", f">0.{'3' * 2_000_000}<"))
    yield Case("2-MB-of-minutes", swap("PT30M", f"PT{'9' * 2_000_000}M"))
    yield Case("2-MB-in-a-name", swap("ei:vtnComment", f"ei:{'x' * 900_000}", 2))
    yield Case("2-MB-in-an-attribute", swap('"2.0b"', f'"{"x" * 2_000_000}"'))
    yield Case("2-MB-of-comments", swap(ID, inside("DSP" + "<!--x-->" * 240_000 + "-1")), READ)
    yield Case("2-MB-of-instructions", swap(ID, inside("DSP" + "<?x?>" * 390_000 + "-1")), READ)
    yield Case("60,001-elements", HEAD + b"<oadrPoll>" + b"<a/>" * 60_000 + b"</oadrPoll>")
    yield Case(
        "59,000-empty-events", swap("<oadr:oadrEvent>", "<oadr:oadrEvent/>" * 59_000 + "<oadr:oadrEvent>")
    )
    yield Case(
        "9,000-empty-intervals",
        swap("<ei:interval>", "<ei:interval/>" * 9_000 + "<ei:interval>"),
        Fate.BAD_EVENT,
    )
    yield Case("100,000-attributes", swap('"2.0b"', '"2.0b"' + "".join(f' a{n}=""' for n in range(100_000))))
    yield Case(
        "40,000-prefixes", swap('"2.0b"', '"2.0b"' + "".join(f' xmlns:p{n}="u:{n}"' for n in range(40_000)))
    )
    yield Case("depth-20,000", HEAD + b"<a>" * 20_000 + b"</a>" * 20_000)
    yield Case("depth-200", swap(ID, inside("<a>" * 200 + "</a>" * 200)))
    yield Case(
        "depth-with-long-names", swap(ID, inside(f"<{'a' * 4_000}>" * 200 + f"</{'a' * 4_000}>" * 200))
    )


def _cut_off() -> Iterator[Case]:
    for twelfth in range(1, 12):
        yield Case(f"cut-at-{twelfth}-twelfths", SOUND[: len(SOUND) * twelfth // 12])
    for name, before in (
        ("in-a-tag", b":eventID>"),
        ("in-an-attribute", b'2.0b"'),
        ("in-a-text", b"SP-1"),
        ("in-a-closing-tag", b"Event></oadr"),
        ("before-the-last-tag", b"</oadr:oadrPayload>"),
        ("before-the-last-byte", b">"),
    ):
        yield Case(f"cut-{name}", SOUND[: SOUND.rindex(before)])
    yield Case("cut-and-sewn", SOUND[: len(SOUND) // 3] + SOUND[len(SOUND) // 2 :])
    yield Case("text-behind-the-end", SOUND + b"\nOK")
    yield Case("zeros-behind-the-end", SOUND + b"\0" * 16)
    yield Case("another-message-behind-the-end", SOUND + PAYLOAD)
    yield Case("text-before-the-start", b"OK\n" + SOUND)
    yield Case("chunk-sizes-left-in", b"1000\r\n" + SOUND + b"\r\n0\r\n\r\n")


def _encodings() -> Iterator[Case]:
    text = SOUND.decode()
    zone = text.replace("DSP-1", "Zon\u00e9")
    read_zone = {"id": "Zon\u00e9"}
    yield Case("utf-16", _utf_16(SOUND), READ)
    yield Case(
        "utf-16-big-endian", b"\xfe\xff" + _utf_16(SOUND)[2:].decode("utf-16-le").encode("utf-16-be"), READ
    )
    yield Case("utf-8-with-a-mark", b"\xef\xbb\xbf" + SOUND, READ)
    yield Case("latin-1-that-says-so", zone.replace("utf-8", "iso-8859-1").encode("latin-1"), READ, read_zone)
    yield Case("no-declaration", PAYLOAD.strip(), READ)
    yield Case("latin-1-said-to-be-utf-8", zone.encode("latin-1"))
    yield Case("utf-8-said-to-be-utf-16", text.replace("utf-8", "utf-16").encode())
    yield Case("utf-16-without-a-mark-said-to-be-utf-8", text.encode("utf-16-le"), READ)
    yield Case("utf-32", text.replace("utf-8", "utf-32").encode("utf-32"), READ)
    yield Case("two-marks", b"\xef\xbb\xbf" * 2 + SOUND)
    yield Case("a-mark-of-another-encoding", b"\xff\xfe" + SOUND)
    yield Case("half-a-utf-16", _utf_16(SOUND)[:-1])
    yield Case("encoding-nobody-knows", text.replace("utf-8", "x-nonsense").encode())
    yield Case("encoding-of-markup", text.replace("utf-8", "&lt;").encode())
    yield Case("nul-in-an-id", swap("DSP-1", b"DSP\0-1"))
    yield Case("nul-as-a-reference", swap("DSP-1", "DSP&#0;-1"))
    yield Case("bell-in-an-id", swap("DSP-1", b"DSP\x07-1"))
    yield Case("lone-surrogate", swap("DSP-1", b"\xed\xa0\x80"))
    yield Case("lone-surrogate-as-a-reference", swap("DSP-1", "&#xD800;"))
    yield Case("not-a-character", swap("DSP-1", "&#xFFFE;"))
    yield Case("beyond-all-characters", swap("DSP-1", "&#x110000;"))
    yield Case("overlong-utf-8", swap("DSP-1", b"\xc0\xbcDSP"))
    yield Case("half-a-character", swap("DSP-1", b"DSP\xe2\x82"))


def _broken() -> Iterator[Case]:
    yield Case("declaration-not-first", b"\n" + SOUND)
    yield Case("two-declarations", HEAD + SOUND)
    yield Case("version-9", SOUND.replace(b'"1.0"', b'"9.0"', 1))
    yield Case("attribute-without-quotes", swap('"2.0b"', "2.0b"))
    yield Case("attribute-twice", swap('ei:schemaVersion="2.0b"', 'ei:schemaVersion="2.0b" ' * 2))
    yield Case(
        "tags-crossed", swap("</ei:eventID><ei:modificationNumber>", "<ei:modificationNumber></ei:eventID>")
    )
    yield Case("tag-in-another-case", swap("</ei:eventID>", "</ei:eventid>"))
    yield Case("bare-ampersand", swap("DSP-1", "A & B"))
    yield Case("bare-less-than", swap("DSP-1", "A < B"))
    yield Case("end-of-cdata-alone", swap("DSP-1", "]]>"))
    yield Case("comment-with-dashes", swap(ID, f"<!-- -- -->{ID}"))
    yield Case("cdata-in-an-id", swap("DSP-1", "<![CDATA[DSP-1]]>"), READ)
    yield Case("cdata-in-parts", swap("DSP-1", "D<![CDATA[SP]]><![CDATA[-]]>1"), READ)
    yield Case("cdata-of-markup", swap("DSP-1", "<![CDATA[</ei:eventID>]]>"), READ, {"id": "</ei:eventID>"})
    yield Case("comment-in-an-id", swap("DSP-1", "DSP<!-- 2 -->-1"), READ)
    yield Case("comment-in-a-number", swap("-30.0", "-3<!-- -->0.0", 2), READ)
    yield Case("instruction-in-an-id", swap("DSP-1", "DSP<?php exit ?>-1"), READ)
    yield Case("references-in-an-id", swap("DSP-1", "&#68;&#x53;P-&#49;"), READ)
    yield Case("an-element-in-an-id", swap("DSP-1", "DSP-1<b/>"), Fate.BAD_EVENT)
    yield Case("an-id-around-an-id", swap(ID, f"<ei:eventID>{ID}</ei:eventID>"), Fate.BAD_EVENT)
    yield Case("text-between-elements", swap(ID, f"cancelled{ID}"), Fate.BAD_EVENT)
    yield Case("text-in-the-payload", swap(b"<oadr:oadrSignedObject", b"cancelled<oadr:oadrSignedObject"))


def _reaching_out() -> Iterator[Case]:
    include = 'xmlns:xi="http://www.w3.org/2001/XInclude"'
    xsi = 'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"'
    reach = CANARY.decode()
    yield Case(
        "xinclude-in-an-id",
        swap("DSP-1", f'<xi:include {include} href="{SECRET.decode()}" parse="text"/>'),
        Fate.BAD_EVENT,
    )
    yield Case(
        "xinclude-of-an-event",
        swap("<oadr:oadrEvent>", f'<xi:include {include} href="{reach}"/><oadr:oadrEvent>'),
    )
    yield Case(
        "stylesheet", swap(HEAD, HEAD + b'<?xml-stylesheet type="text/xsl" href="%s"?>' % CANARY), READ
    )
    yield Case(
        "xsl-as-a-message",
        b'<xsl:stylesheet version="1.0" xmlns:xsl="http://www.w3.org/1999/XSL/Transform">'
        b'<xsl:template match="/"><xsl:copy-of select="document(\'%s\')"/></xsl:template></xsl:stylesheet>'
        % CANARY,
    )
    yield Case(
        "schema-elsewhere", swap('"2.0b"', f'"2.0b" {xsi} xsi:schemaLocation="http://x {reach}"'), READ
    )
    yield Case(
        "schema-elsewhere-for-ours",
        swap('"2.0b"', f'"2.0b" {xsi} xsi:noNamespaceSchemaLocation="{reach}"'),
        READ,
    )
    yield Case(
        "type-of-another-schema", swap("<ei:value>", f'<ei:value {xsi} xsi:type="ei:other">'), Fate.BAD_EVENT
    )
    yield Case(
        "type-of-a-plain-text",
        swap(
            "<ei:eventID>",
            f'<ei:eventID {xsi} xmlns:xs="http://www.w3.org/2001/XMLSchema" xsi:type="xs:anyType">',
        ),
        Fate.BAD_EVENT,
    )
    yield Case("an-id-that-is-nil", swap(ID, f'<ei:eventID {xsi} xsi:nil="true"/>'), Fate.BAD_EVENT)
    yield Case(
        "a-signal-of-another-type",
        swap("<ei:signalPayload>", f'<ei:signalPayload {xsi} xsi:type="ei:payloadFloatType">'),
        Fate.BAD_EVENT,
    )
    yield Case("base-elsewhere", swap("<oadr:oadrPayload", f'<oadr:oadrPayload xml:base="{reach}"'))


def _envelopes() -> Iterator[Case]:
    signed_object = PAYLOAD[PAYLOAD.index(b"<oadr:oadrSignedObject") : PAYLOAD.index(b"</oadr:oadrPayload>")]
    payload = b'<oadr:oadrPayload xmlns:oadr="http://openadr.org/oadr-2.0b/2012/07">%s</oadr:oadrPayload>'
    event = BARE[BARE.index(b"<oadr:oadrEvent>") : BARE.index(b"</oadr:oadrDistributeEvent>")]
    yield Case("payload-in-a-payload", payload % PAYLOAD)
    yield Case("payload-in-a-signed-object", swap(BARE, PAYLOAD.strip()))
    yield Case("two-signed-objects", payload % (signed_object * 2))
    yield Case("two-messages", swap(BARE, BARE * 2))
    yield Case("a-poll-before-the-message", swap(BARE, b"<oadr:oadrPoll/>" + BARE))
    yield Case("payload-of-nothing", payload % b"")
    yield Case("signed-object-of-nothing", swap(BARE, b""))
    yield Case("message-in-a-message", swap("<oadr:oadrEvent>", BARE + b"<oadr:oadrEvent>"))
    yield Case("event-in-an-event", swap("<ei:eiEvent>", event + b"<ei:eiEvent>"), Fate.BAD_EVENT)
    yield Case("message-without-its-payload", payload % BARE)
    yield Case(
        "soap",
        b'<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"><s:Body>%s</s:Body></s:Envelope>'
        % PAYLOAD,
    )
    yield Case("unknown-message", SOUND.replace(b"oadrDistributeEvent", b"oadrDestroyEvent"))
    yield Case("name-in-lower-case", SOUND.replace(b"oadrDistributeEvent", b"oadrdistributeevent"))
    yield Case("version-2.0a", SOUND.replace(b"oadr-2.0b", b"oadr-2.0a"))
    yield Case("another-schema-version", swap('"2.0b"', '"3.0"'))


def _namespaces() -> Iterator[Case]:
    oadr, ei = b"http://openadr.org/oadr-2.0b/2012/07", b"http://docs.oasis-open.org/ns/energyinterop/201110"
    yield Case("no-namespace", SOUND.replace(b' xmlns:oadr="%s"' % oadr, b"").replace(b"oadr:", b""))
    yield Case("prefix-not-bound", SOUND.replace(b' xmlns:oadr="%s"' % oadr, b""))
    yield Case(
        "prefix-bound-twice", swap(b'xmlns:oadr="%s"' % oadr, b'xmlns:oadr="%s" xmlns:oadr="u:x"' % oadr)
    )
    yield Case("prefix-bound-to-nothing", SOUND.replace(b'xmlns:oadr="%s"' % oadr, b'xmlns:oadr=""'))
    yield Case(
        "prefix-xml-bound-anew", swap(b'xmlns:oadr="%s"' % oadr, b'xmlns:oadr="%s" xmlns:xml="u:x"' % oadr)
    )
    yield Case("another-namespace-for-oadr", SOUND.replace(oadr, b"http://openadr.org/oadr-2.0b/2012/08"))
    yield Case("another-namespace-for-ei", SOUND.replace(ei, b"http://example.org/ei"))
    yield Case("https-for-http", SOUND.replace(oadr, oadr.replace(b"http:", b"https:")))
    yield Case("a-space-in-the-namespace", SOUND.replace(oadr, oadr + b" "))
    yield Case(
        "id-in-another-namespace", swap(ID, '<x:eventID xmlns:x="u:x">DSP-1</x:eventID>'), Fate.BAD_EVENT
    )
    yield Case(
        "a-second-id-in-another-namespace",
        swap(ID, f'<x:eventID xmlns:x="u:x">DSP-2</x:eventID>{ID}'),
        Fate.BAD_EVENT,
    )
    yield Case("other-prefixes", SOUND.replace(b"oadr:", b"x:").replace(b"xmlns:oadr", b"xmlns:x"), READ)
    yield Case(
        "prefixes-swapped", SOUND.replace(b"oadr:", b"@:").replace(b"ei:", b"oadr:").replace(b"@:", b"ei:")
    )

"""Sound XML that says what cannot be: doubled, disordered, missing, empty, or beyond all measure."""

import re
from collections.abc import Iterator, Mapping

from tests.protocol.hostile.case import ID, SOUND, Case, Fate, inside, swap
from tests.protocol.vtn import an_event, distribute

BAD_EVENT, READ, REFUSED = Fate.BAD_EVENT, Fate.READ, Fate.REFUSED
PARTS = (
    "vtnID", "eiEvent", "eventDescriptor", "eventID", "modificationNumber", "eiMarketContext",
    "createdDateTime", "eventStatus", "eiActivePeriod", "properties", "dtstart", "duration", "eiEventSignals",
    "intervals", "signalPayload", "value", "signalName", "signalType", "eiTarget", "oadrResponseRequired",
)  # fmt: skip
TEXTS = ("vtnID", "eventID", "modificationNumber", "marketContext", "createdDateTime", "date-time", "value",
         "eventStatus", "signalName", "signalType", "oadrResponseRequired")  # fmt: skip
WHOLE = ("vtnID", "duration")
"""Not of one event, or nested so that without its end the XML is broken."""
WHERE = {
    "eventStatus": "<ei:eventStatus>far<",
    "signalType": "<ei:signalType>delta<",
    "response": "<oadr:oadrResponseRequired>always<",
    "modification": "<ei:modificationNumber>0<",
    "priority": "<ei:priority>0<",
    "start": "<dtstart><date-time>2025-01-15T17:00:00.000000Z<",
    "duration": "<duration><duration>PT1H<",
    "interval": "<xcal:duration>PT30M<",
    "created": "<ei:createdDateTime>2025-01-14T17:00:00.000000Z<",
    "value": "<ei:value>-30.0<",
    "scale": "<scale:siScaleCode>k<",
    "units": "<power:itemUnits>W<",
}


def _case(name: str, data: bytes, fate: Fate = BAD_EVENT, but: Mapping[str, object] | None = None) -> Case:
    return Case(name, data, fate, but or {})


def content_cases() -> Iterator[Case]:
    """Yield all of them."""
    yield from _doubled()
    yield from _disordered()
    yield from (_case(f"without-{name}", _without(name), _fate(name)) for name in PARTS)
    yield from (_case(f"empty-{name}", _emptied(name), _fate(name)) for name in TEXTS)
    nobody = {"targets": {"group": [], "resource": [], "ven": []}}
    yield _case("empty-groupID", _emptied("groupID"), READ, nobody)
    yield from _ids()
    yield from _numbers()
    yield from _times()
    yield from _durations()
    yield from _counts()
    yield from _words()


def _element(name: str) -> re.Pattern[bytes]:
    return re.compile(rb"<((?:\w+:)?%s)\b[^>]*?(?<!/)>.*?</\1>" % name.encode(), re.DOTALL)


def _fate(name: str) -> Fate:
    return REFUSED if name in WHOLE else BAD_EVENT


def _without(name: str) -> bytes:
    data, found = _element(name).subn(b"", SOUND, 1)
    assert found, name
    return data


def _emptied(name: str) -> bytes:
    data, found = re.subn(rb"(<(?:\w+:)?%s(?: [^>]*)?>)[^<]+<" % name.encode(), rb"\1<", SOUND, count=1)
    assert found, name
    return data


def _at(where: str, text: str) -> bytes:
    old = WHERE[where]
    return swap(old, f"{old[: old.rindex('>') + 1]}{text}<")


def _doubled() -> Iterator[Case]:
    same = (an_event(), an_event())
    yield _case("an-id-twice", distribute(*same).encode())
    yield _case(
        "an-id-twice-in-two-versions", distribute(an_event(), an_event(kw=(-9.0,))).encode(), BAD_EVENT
    )
    yield _case("an-id-300-times", distribute(*[an_event()] * 300).encode())
    for name in (
        "eventID", "modificationNumber", "eventStatus", "eiActivePeriod", "eventDescriptor", "eiTarget",
        "eiEvent", "oadrResponseRequired", "vtnID", "signalName", "eiEventSignals", "duration",
    ):  # fmt: skip
        found = _element(name).search(SOUND)
        assert found is not None
        yield _case(f"{name}-twice", swap(found[0], found[0] * 2), _fate(name))
    number = "<ei:payloadFloat><ei:value>{}</ei:value></ei:payloadFloat>"
    payload = f"<ei:signalPayload>{number}</ei:signalPayload>"
    yield _case(
        "a-payload-twice",
        swap(payload.format("-30.0"), payload.format("-30.0") + payload.format("30.0")),
    )
    yield _case("a-number-twice", swap(number.format("-30.0"), number.format("-30.0") * 2))
    yield _case(
        "an-attribute-Id-twice",
        swap('oadr:Id="oadrSignedObject"', 'oadr:Id="a" Id="oadrSignedObject"'),
        REFUSED,
    )


def _disordered() -> Iterator[Case]:
    for first, second in (
        ("eventID", "modificationNumber"),
        ("createdDateTime", "eventStatus"),
        ("eventDescriptor", "eiActivePeriod"),
        ("dtstart", "duration"),
        ("eiActivePeriod", "eiEventSignals"),
        ("intervals", "signalName"),
        ("signalName", "signalType"),
        ("eiEvent", "oadrResponseRequired"),
    ):
        one, other = _element(first).search(SOUND), _element(second).search(SOUND)
        assert one is not None
        assert other is not None
        between = SOUND[one.end() : other.start()]
        whole = SOUND[: one.start()] + other[0] + between + one[0] + SOUND[other.end() :]
        yield _case(f"{second}-before-{first}", whole)


def _ids() -> Iterator[Case]:
    for name, text in (
        ("a-number", "007"),
        ("dots", "..."),
        ("a-version", "1.2.3"),
        ("true", "true"),
        ("exponent", "1e5"),
        ("a-path", "../../etc/passwd"),
        ("sql", "'; DROP TABLE calls;--"),
        ("a-format", "%s%n{0}{{x}}{%x%}"),
        ("right-to-left", "DSP\u202e1-"),
        ("joined", "\U0001f468\u200d\U0001f469"),
        ("long", "x" * 8_000),
    ):
        yield _case(f"id-of-{name}", swap(ID, inside(text)), READ, {"id": text})
    for name, text in (
        ("markup", "</ei:eventID><x/>"),
        ("quotes", "\"'&"),
        ("an-answer", "a</ei:eventID>&lt;"),
    ):
        escaped = text.replace("&", "&amp;").replace("<", "&lt;")
        yield _case(f"id-of-{name}", swap(ID, inside(escaped)), READ, {"id": text})
    yield _case("id-with-a-line-break", swap(ID, inside("DSP\n-1")), READ, {"id": "DSP\n-1"})
    yield _case("id-with-spaces-around", swap(ID, inside(" \n DSP-1\t ")), READ, {"id": " \n DSP-1\t "})
    yield _case("id-of-spaces", swap(ID, inside("   ")), READ, {"id": "   "})
    yield _case("id-too-long", swap(ID, inside("x" * 8_193)), REFUSED)


def _numbers() -> Iterator[Case]:
    for text in ("NaN", "INF", "-INF", "1e999", "-1e999", "1e"):
        yield _case(f"number-{text}", _at("value", text))
    for text in ("nan", "Infinity", "0x1E", "-30,0", "-3_0", "--30", "30 kW", "\u0663\u0660", "1/2", "1e5.5"):
        yield _case(f"number-{text}", _at("value", text))
    yield _case("number-of-400-digits", _at("value", "9" * 400))
    yield _case("number-with-spaces-around", swap(">-30.0<", ">\n -30.0 <", 2), READ)
    yield _case("number-with-an-exponent", swap(">-30.0<", ">-3.0e1<", 2), READ)


def _times() -> Iterator[Case]:
    for name, text in (
        ("naive", "2025-01-15T17:00:00"),
        ("a-date", "2025-01-15"),
        ("without-seconds", "2025-01-15T17:00Z"),
        ("hour-24", "2025-01-15T24:00:00Z"),
        ("hour-25", "2025-01-15T25:00:00Z"),
        ("february-30", "2025-02-30T17:00:00Z"),
        ("february-29-of-a-common-year", "2025-02-29T17:00:00Z"),
        ("month-13", "2025-13-15T17:00:00Z"),
        ("year-0", "0000-01-15T17:00:00Z"),
        ("year-10000", "10000-01-15T17:00:00Z"),
        ("year-minus-1", "-0001-01-15T17:00:00Z"),
        ("before-the-first", "0001-01-01T00:00:00+01:00"),
        ("offset-25", "2025-01-15T17:00:00+25:00"),
        ("leap-second", "2016-12-31T23:59:60Z"),
        ("seconds-since-1970", "1736960400"),
        ("compact", "20250115T170000Z"),
        ("a-week", "2025-W03-3T17:00:00Z"),
        ("a-word", "now"),
        ("zone-by-name", "2025-01-15T17:00:00 Europe/London"),
        ("two-zones", "2025-01-15T17:00:00Z+00:00"),
        ("other-digits", "\u0662\u0660\u0662\u0665-01-15T17:00:00Z"),
    ):
        yield _case(f"start-{name}", _at("start", text))
    yield _case("created-naive", _at("created", "2025-01-14T17:00:00"))
    yield _case("start-with-an-offset", _at("start", "2025-01-15T18:00:00+01:00"), READ)
    yield _case("start-at-the-end-of-time", _at("start", "9999-12-31T23:59:59Z"))


def _durations() -> Iterator[Case]:
    for text in ("P1M", "P1Y", "-PT30M", "PT99999999999999H", "P99999999999D", "PT", "P1DT"):
        yield _case(f"duration-{text}", _at("duration", text))
        yield _case(f"interval-{text}", _at("interval", text))
    for text in ("30", "30M", "PT30", "PT-30M", "PT1,5H", "PT1H30", "PT1H1D", "PTNaNM", "P1W2D"):
        yield _case(f"duration-{text}", _at("duration", text))
        yield _case(f"interval-{text}", _at("interval", text))
    yield _case("duration-P", _at("duration", "P"), READ, {"end": None})
    yield _case("duration-of-none", _at("duration", "PT0S"), READ, {"end": None})
    yield _case("duration-in-minutes", _at("duration", "PT60M"), READ)
    yield _case("interval-beyond-the-end-of-time", _at("interval", "P9999999D"))


def _counts() -> Iterator[Case]:
    for text in ("-1", "4294967296", "99999999999999999999", "1.5", "1e3", "0x1", "one", "NaN", "\u0661"):
        yield _case(f"modification-{text}", _at("modification", text))
        yield _case(f"priority-{text}", _at("priority", text))
    yield _case("modification-of-2000-digits", _at("modification", "9" * 2_000))
    yield _case("modification-with-zeros", _at("modification", "000"), READ)


def _words() -> Iterator[Case]:
    for where, words in (
        ("eventStatus", ("ACTIVE", "soon", "cancelled far", "canceled")),
        ("signalType", ("Delta", "x-delta", "setpoint delta")),
        ("response", ("maybe", "Always", "")),
        ("scale", ("K", "kilo", "-")),
        ("units", ("kW?", "")),
    ):
        for word in words:
            yield _case(f"{where}-{word or 'blank'}", _at(where, word))

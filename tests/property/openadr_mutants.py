"""Sound messages with something wrong: strategies that damage bytes, texts, attributes and the tree."""

from copy import deepcopy
from pathlib import Path

from hypothesis import strategies as st
from lxml import etree

from tests.protocol.signing import an_identity, signed
from tests.protocol.vtn import an_event, distribute, response

SEEDS = [path.read_bytes() for path in (Path(__file__).parents[1] / "golden" / "openadr_read").glob("*.xml")]
SEEDS += [distribute(an_event(), an_event("007")).encode(), response(463, "who?").encode()]
TEXTS = [
    "PT0S", "P1W", "-PT1H", "P", "P1M", "PT", "P99999999999D", "9999-12-31T23:59:59Z", "0001-01-01T00:00:00Z",
    "2025-01-15T17:00:00", "2025-01-15T17:00:00+01:00", "NaN", "INF", "1e308", "-1e999", "0", "-1",
    "4294967296", "cancelled", "active", "setpoint", "price", "never", "", " ", "<b>&", "x" * 9_000, "\u0663",
    "k", "powerReal",
]  # fmt: skip
BYTES = [
    b"\x00", b"<", b"&", b"&#0;", b"<!--", b"]]>", b"<!DOCTYPE x>", b"\xff\xfe", b"\xed\xa0\x80", b"xmlns=''",
]  # fmt: skip


def _element(draw, root):
    elements = list(root.iter(etree.Element))
    return elements[draw(st.integers(0, len(elements) - 1))]


def _drop(draw, root):
    element = _element(draw, root)
    if element is not root:
        element.getparent().remove(element)


def _double(draw, root):
    element = _element(draw, root)
    if element is not root:
        for _ in range(draw(st.sampled_from([1, 1, 2, 50]))):
            element.addnext(deepcopy(element))


def _swap(draw, root):
    one, other = _element(draw, root), _element(draw, root)
    if root not in {one, other} and other not in one.iterdescendants() and one not in other.iterdescendants():
        first, second = deepcopy(one), deepcopy(other)
        one.getparent().replace(one, second)
        if other.getparent() is not None:
            other.getparent().replace(other, first)


def _move(draw, root):
    element, to = _element(draw, root), _element(draw, root)
    if element is not root and to not in element.iter():
        to.append(element)


def _retext(draw, root):
    leaves = [element for element in root.iter(etree.Element) if not len(element)]
    leaf = leaves[draw(st.integers(0, len(leaves) - 1))]
    leaf.text = draw(st.sampled_from(TEXTS) | st.text(st.characters(codec="utf-8", exclude_categories=["C"])))


def _rename(draw, root):
    element, like = _element(draw, root), _element(draw, root)
    element.tag = draw(st.sampled_from([like.tag, etree.QName(element).localname, "{u:x}y"]))


def _attribute(draw, root):
    name = draw(st.sampled_from(["Id", "ID", "{http://www.w3.org/2001/XMLSchema-instance}type", "x"]))
    _element(draw, root).set(name, draw(st.sampled_from(["oadrSignedObject", "", "ei:x", "2.0b"])))


CHANGES = (_drop, _double, _swap, _move, _retext, _retext, _rename, _attribute)


@st.composite
def damaged_trees(draw, seeds=tuple(SEEDS)):
    """Bytes of a message whose tree was changed in up to four places; well-formed."""
    root = etree.fromstring(draw(st.sampled_from(seeds)))
    for _ in range(draw(st.integers(1, 4))):
        draw(st.sampled_from(CHANGES))(draw, root)
    return etree.tostring(root)


@st.composite
def damaged_bytes(draw, seeds=tuple(SEEDS)):
    """Bytes of a message with some flipped, cut out, put in or moved; hardly ever well-formed."""
    data = bytearray(draw(st.sampled_from(seeds)))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(data) - 1)) if data else 0
        match draw(st.sampled_from(["flip", "cut", "put", "again"])):
            case "flip" if data:
                data[at] ^= 1 << draw(st.integers(0, 7))
            case "cut":
                del data[at : at + draw(st.integers(1, 200))]
            case "put":
                data[at:at] = draw(st.binary(max_size=8) | st.sampled_from(BYTES))
            case _:
                length = draw(st.integers(1, 400))
                data[at:at] = data[at : at + length]
    return bytes(data)


VTN = an_identity("vtn")
SIGNED = signed(SEEDS[-2], VTN)
mutants = damaged_trees() | damaged_bytes()
signed_mutants = damaged_trees((SIGNED,)) | damaged_bytes((SIGNED,))

"""What must be changed in openleadr before any of it is used.

openleadr's own parser validates while it parses, and a message of 356 bytes with an internal DTD entity then
ends the process with a segmentation fault (lxml 5.4, 6.0 and 6.1). Nothing of ours parses with it, but
openleadr's services do, so it is replaced. openleadr's templates do not escape: a zone called ``A & B`` would
make invalid XML, and an event id that holds markup would be echoed raw into a message that we sign. The lines
of what they render are then joined: a line break that belongs to an id must leave as a reference.
"""

from jinja2 import ChoiceLoader, PackageLoader
from lxml import etree
from markupsafe import Markup, escape
from openleadr import messaging


def apply() -> None:
    """Change openleadr in this process; doing it twice does no harm."""
    messaging.XML_PARSER = etree.XMLParser(
        schema=messaging.XML_SCHEMA, resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False
    )
    templates = messaging.TEMPLATES
    templates.autoescape = True
    templates.finalize = _kept_whole
    if not isinstance(templates.loader, ChoiceLoader):
        templates.loader = ChoiceLoader([PackageLoader("market_adapters.openadr"), templates.loader])
    if templates.cache is not None:
        templates.cache.clear()


def _kept_whole(value: object) -> object:
    """Return a text with its markup and line breaks as references; all else as it is."""
    if not isinstance(value, str) or isinstance(value, Markup):
        return value
    return Markup(str(escape(value)).replace("\n", "&#10;").replace("\r", "&#13;"))

"""Our side ends a registration: oadrCancelPartyRegistration, and its ids are forgotten once it is taken."""

from uuid import uuid4

from aggregator.model.errors import BadMessage, RuleViolation, Unavailable
from aggregator.ports import VenMemory
from market_adapters.openadr import messages
from market_adapters.openadr.book import Book
from market_adapters.openadr.exchange import Exchange
from market_adapters.openadr.settings import VenSettings
from market_adapters.openadr.xmltree import reason_of

CANCELED = "oadrCanceledPartyRegistration"


async def leave(settings: VenSettings, memory: VenMemory) -> str:
    """Cancel our registration with a platform; return its id.

    Args:
        settings: Of the link, which nothing else may use meanwhile.
        memory: Of the link: the ids in it are forgotten.

    Raises:
        RuleViolation: If there is no registration, or the platform refuses; the ids are kept.
        Unavailable: If the platform is away, or its answer is none; as above.
    """
    book, vtn_id = Book(settings.vtn_id, memory), settings.vtn_id
    if book.ven_id is None or book.registration_id is None:
        raise RuleViolation(f"there is no registration with {vtn_id}", "serve registers")
    ven_id, registration_id = book.ven_id, book.registration_id
    message = messages.cancel_party_registration(str(uuid4()), registration_id, ven_id)
    try:
        async with Exchange(settings) as exchange:
            answer = await exchange.ask(message, lost_codes=())
    except BadMessage as bad:
        if bad.code != "refused":
            raise Unavailable(f"{vtn_id}: {reason_of(bad)}") from bad
        raise RuleViolation(f"{vtn_id} keeps the registration: {bad}", "ask the platform") from bad
    if answer is None or answer.name != CANCELED:
        found = "nothing" if answer is None else answer.name
        raise Unavailable(f"{vtn_id}: {found} in answer to {message.name}")
    about = answer.fields.get("registrationID", registration_id)
    if about != registration_id:
        raise Unavailable(f"{vtn_id}: the answer is about registration {about!r}, not {registration_id!r}")
    book.register(None, None)
    return registration_id

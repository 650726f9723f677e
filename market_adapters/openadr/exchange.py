"""One message to a platform and its answer, signed and checked as the settings say."""

import asyncio
from functools import partial
from types import TracebackType
from typing import Self

from aggregator.model.errors import BadMessage, Fault, Unavailable
from market_adapters.openadr.messages import Outgoing, render
from market_adapters.openadr.replay import ReplayGuard, wall_now
from market_adapters.openadr.settings import VenSettings
from market_adapters.openadr.signing import Signer
from market_adapters.openadr.transport import Tls, Transport
from market_adapters.openadr.wire import Message, Reregister, Response, parse

QUICK_BYTES = 64 * 1024
"""Above it a message is read in a thread: it takes tenths of a second."""

NOT_REGISTERED = 463
# invalid id, invalid data: where nothing else could be meant, the platform no longer knows us
LOST_CODES = (452, 454, NOT_REGISTERED)


class LostRegistration(Unavailable):
    """The platform does not know us (any more): register again, then try again.

    Attributes:
        asked: The message by which it asked for that, if it was one.
    """

    def __init__(self, text: str, asked: Reregister | None = None) -> None:
        super().__init__(text)
        self.asked = asked


class Exchange:
    """Says one thing at a time to one platform; an async context manager.

    Args:
        settings: Where it is, and whether messages are signed and checked.
    """

    def __init__(self, settings: VenSettings) -> None:
        self._settings = settings
        self._transport = Transport(
            settings.url, settings.timeout_s, Tls(settings.ca, settings.cert, settings.key)
        )
        self._signer: Signer | None = None
        self._replay = ReplayGuard(settings.replay_back, settings.replay_ahead)

    @property
    def skew_s(self) -> float | None:
        """By how much the platform's clock was ahead of ours in its last signature; None before one. [s]"""
        return self._replay.skew_s

    async def __aenter__(self) -> Self:
        if self._settings.cert is not None and self._settings.key is not None:
            self._signer = Signer(self._settings.cert, self._settings.key)
        await self._transport.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._transport.__aexit__(kind, error, trace)

    @property
    def clock_skew_s(self) -> float | None:
        """How far the platform's clock is ahead of ours by its last answer; None before one. [s]"""
        return self._transport.clock_skew_s

    async def ask(self, message: Outgoing, *, lost_codes: tuple[int, ...] = LOST_CODES) -> Message | None:
        """Send a message and return the answer; None where it is empty.

        Args:
            message: What to say.
            lost_codes: Response codes that mean here that the platform does not know us.

        Raises:
            Unavailable: If the platform is away; ``LostRegistration`` if it wants us to register (again).
            BadMessage: If its answer cannot be read, or is a refusal (code ``refused``).
        """
        if self._signer is None and not message.large:
            body = render(message)
        else:
            body = await asyncio.to_thread(render, message, self._signer)
        data = await self._transport.post(message.service, body)
        if not data.strip():
            return None
        answer = await self._read(data, f"answer to {message.name}")
        if isinstance(answer.body, Reregister):
            raise LostRegistration(f"{answer.name} in answer to {message.name}", answer.body)
        response = getattr(answer.body, "response", None)
        if isinstance(response, Response) and not response.ok:
            _refused(message, response, lost_codes)
        return answer

    async def _read(self, data: bytes, source: str) -> Message:
        arrived_at = wall_now()
        reading = partial(
            parse, data, source, lenient=self._settings.lenient, fingerprint=self._settings.fingerprint
        )
        # a large one takes half a second, which every other task would feel
        answer = reading() if len(data) <= QUICK_BYTES else await asyncio.to_thread(reading)
        if answer.stamp is not None:
            self._replay.admit(answer.stamp, arrived_at, source)
        return answer


def _refused(message: Outgoing, response: Response, lost_codes: tuple[int, ...]) -> None:
    said = f"{response.code} {response.description}".strip()
    if response.code in lost_codes:
        raise LostRegistration(f"{message.name}: {said}")
    raise BadMessage(Fault(message.name, said, "a response code 2xx"), code="refused")

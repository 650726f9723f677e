"""HTTP to a platform: every way in which it can go wrong is ``Unavailable`` or ``BadMessage``."""

import ssl
import time
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from pathlib import Path
from types import TracebackType
from typing import Self

import aiohttp

from aggregator.model.errors import BadMessage, Fault, Unavailable
from market_adapters.openadr.xmltree import MAX_BYTES

XML_TYPES = ("application/xml", "text/xml")
TRY_LATER = (408, 425, 429)
_CHUNK = 64 * 1024
_OK, _NO_CONTENT, _SERVER_ERROR = 200, 204, 500


@dataclass(frozen=True, slots=True)
class Tls:
    """Files for a connection by https.

    Attributes:
        ca: Who the platform's certificate must come from; None for the system's own list.
        cert: Our certificate.
        key: Its key.
    """

    ca: Path | None = None
    cert: Path | None = None
    key: Path | None = None

    def context(self) -> ssl.SSLContext:
        """Return a client context of TLS 1.2 or later."""
        context = ssl.create_default_context(cafile=self.ca)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if self.cert is not None:
            context.load_cert_chain(self.cert, self.key)
        return context


class Transport:
    """Posts messages to one platform; an async context manager.

    Args:
        url: Address of the platform, to which ``/EiEvent`` and the like are added.
        timeout_s: Most wall seconds for one exchange. [s]
        tls: Used when the address is https.

    Attributes:
        clock_skew_s: How far the platform's clock is ahead of ours, to the second, by the Date of its last
            answer; None before one. [s]
    """

    def __init__(self, url: str, timeout_s: float, tls: Tls) -> None:
        self.clock_skew_s: float | None = None
        self._url = url.rstrip("/")
        self._timeout = aiohttp.ClientTimeout(total=timeout_s)
        self._tls = tls
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        secure = self._url.startswith("https:")
        connector = aiohttp.TCPConnector(ssl=self._tls.context()) if secure else aiohttp.TCPConnector()
        self._session = aiohttp.ClientSession(
            connector=connector, timeout=self._timeout, cookie_jar=aiohttp.DummyCookieJar()
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()

    async def post(self, service: str, body: bytes) -> bytes:
        """Post a message and return the answer, empty where there is none.

        Raises:
            Unavailable: If the platform cannot be reached, is too slow, or says to come later.
            BadMessage: If it refuses, redirects, or answers with something else than XML of modest size.
        """
        if self._session is None:
            raise Unavailable("the link is closed")
        address = f"{self._url}/{service}"
        headers = {"Content-Type": "application/xml", "Accept-Encoding": "identity"}
        try:
            async with self._session.post(
                address, data=body, headers=headers, allow_redirects=False
            ) as response:
                self._note_date(response)
                _check_status(response, address)
                data = await _read(response, address)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise Unavailable(f"{address}: {type(error).__name__} {error}".strip()) from error
        if data:
            _check_type(response, address)
        return data

    def _note_date(self, response: aiohttp.ClientResponse) -> None:
        try:
            theirs = parsedate_to_datetime(response.headers.get("Date", ""))
            self.clock_skew_s = theirs.timestamp() - time.time()
        except (ValueError, OverflowError):
            return


def _check_status(response: aiohttp.ClientResponse, address: str) -> None:
    if response.status in {_OK, _NO_CONTENT}:
        return
    if response.status >= _SERVER_ERROR or response.status in TRY_LATER:
        raise Unavailable(f"{address}: HTTP {response.status}")
    raise BadMessage(Fault(address, f"HTTP {response.status}", "HTTP 200"), code="refused")


def _check_type(response: aiohttp.ClientResponse, address: str) -> None:
    if response.content_type not in XML_TYPES:
        raise BadMessage(Fault(f"{address}: Content-Type", response.content_type, " or ".join(XML_TYPES)))


async def _read(response: aiohttp.ClientResponse, address: str) -> bytes:
    encoding = response.headers.get("Content-Encoding", "identity")
    if encoding != "identity":
        raise BadMessage(Fault(f"{address}: Content-Encoding", encoding, "identity"))
    data = bytearray()
    async for chunk in response.content.iter_chunked(_CHUNK):
        data += chunk
        if len(data) > MAX_BYTES:
            raise BadMessage(Fault(address, f"more than {MAX_BYTES} bytes", f"at most {MAX_BYTES} bytes"))
    return bytes(data)

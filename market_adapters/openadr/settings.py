"""What our side of a link must be told."""

from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

SHORTEST_POLL_S, LONGEST_POLL_S = 1.0, 3600.0
"""Between polls, as a platform may ask for it. [wall s]"""


@dataclass(frozen=True, slots=True)
class VenSettings:
    """One link to one platform. Seconds are wall seconds.

    Attributes:
        vtn_id: Our name of the platform, and the vtnID that its messages must carry.
        url: Its address up to the service, e.g. ``https://dso.example/OpenADR2/Simple/2.0b``.
        ven_name: Our name there.
        poll_interval_s: Time between polls; None as the platform asks. [s]
        timeout_s: Most for one exchange. [s]
        retry_first_s: First wait after a failure; doubles, with jitter. [s]
        retry_most_s: Longest wait after a failure. [s]
        zones: The zones we report on; empty for all of the profile.
        products: The products we bid in; empty for all of the profile.
        granularity: Length of a telemetry interval that we offer.
        lenient: Whether to read messages that break the schema where their meaning is clear.
        cert: Our certificate, for TLS and signatures; PEM.
        key: Its key; PEM.
        ca: Who the platform's TLS certificate must come from; None for the system's list.
        fingerprint: Of the certificate the platform signs with, as in ``signatures``; None checks nothing.
        replay_back: How old the platform's signatures may be.
        replay_ahead: How far in the future they may be.
    """

    vtn_id: str
    url: str
    ven_name: str
    poll_interval_s: float | None = None
    timeout_s: float = 30.0
    retry_first_s: float = 1.0
    retry_most_s: float = 60.0
    zones: tuple[str, ...] = ()
    products: tuple[str, ...] = ()
    granularity: timedelta = timedelta(seconds=60)
    lenient: bool = False
    cert: Path | None = None
    key: Path | None = None
    ca: Path | None = None
    fingerprint: str | None = None
    replay_back: timedelta = timedelta(seconds=60)
    replay_ahead: timedelta = timedelta(seconds=60)

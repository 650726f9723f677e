"""A market file's ``[vtn]``, as our side of the link takes it."""

from datetime import timedelta

from aggregator.market_file import MarketFile
from market_adapters.openadr.settings import VenSettings


def link_settings(market: MarketFile) -> VenSettings:
    """Return what our side of one platform's link must be told."""
    said = market.vtn
    return VenSettings(
        vtn_id=said.vtn_id,
        url=str(said.url),
        ven_name=said.ven_name,
        poll_interval_s=said.poll_interval_s,
        timeout_s=said.timeout_s,
        retry_first_s=said.retry_first_s,
        retry_most_s=said.retry_most_s,
        granularity=timedelta(seconds=said.telemetry_granularity_s),
        lenient=said.lenient,
        cert=said.certificate,
        key=said.key,
        ca=said.ca,
        fingerprint=said.vtn_fingerprint,
        replay_back=timedelta(seconds=said.replay_back_s),
        replay_ahead=timedelta(seconds=said.replay_ahead_s),
    )

"""Where this gateway listens: ``[http]`` for keepers, ``[drivers]`` for drivers, ``[desk]`` for traders."""

from pathlib import Path
from typing import Annotated

from pydantic import Field, model_validator

from aggregator.files.inputs import Clash, Listen, Number, Row, Whole, YesNo, is_loopback

MILES_PER_KWH = 3.33
"""30% of a 40 kWh LEAF is about 40 miles."""


class HttpSettings(Row):
    """``[http]``: where health and metrics are told; nowhere where ``listen`` is empty."""

    listen: Listen = ""


class SecuredSettings(Row):
    """A door that people sign in at; shut where ``listen`` is empty.

    A token that passes a network in the clear is anybody's: away from loopback the door has a certificate,
    or somebody states that a proxy before it has.
    """

    listen: Listen = ""
    tls_certificate: Path | None = None
    tls_key: Path | None = None
    behind_tls_proxy: YesNo = False

    @property
    def is_secured(self) -> bool:
        """Whether who comes here comes by TLS."""
        return self.behind_tls_proxy or self.tls_certificate is not None

    @model_validator(mode="after")
    def _never_in_the_clear(self) -> "SecuredSettings":
        if (self.tls_certificate is None) != (self.tls_key is None):
            field = "tls_key" if self.tls_key is None else "tls_certificate"
            raise Clash(field, "(missing)", "a path: tls_certificate and tls_key go together")
        if self.tls_certificate is None and not self.behind_tls_proxy and not is_loopback(self.listen):
            allowed = (
                "a loopback address, or tls_certificate and tls_key beside it, or behind_tls_proxy = true"
                " where a proxy ends TLS"
            )
            raise Clash("listen", self.listen, allowed)
        return self


class DriversSettings(SecuredSettings):
    """``[drivers]``: the drivers' door."""

    requests_per_minute: Whole = Field(default=60, ge=1, le=6000)
    miles_per_kwh: Annotated[Number, Field(ge=1, le=10, allow_inf_nan=False)] = MILES_PER_KWH

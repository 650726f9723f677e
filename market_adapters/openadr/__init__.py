"""The OpenADR 2.0b edge: the gateway's side (VEN) of the link to a network operator's platform (VTN)."""

from market_adapters.openadr import hardening

hardening.apply()

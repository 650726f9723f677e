"""Each charger proves its own secret whenever the link comes up; one that can't is not heard and not told.

The gateway sends a fresh number with its request for the link, and the first thing it hears back are the
proofs: of each charger the HMAC-SHA256 of that number under its secret. A secret never crosses the link, and
a proof is no use a second time. What follows on the same connection is not proven again.
"""

import hmac
import secrets
from collections.abc import Iterable, Mapping

NONCE_HEADER = "X-Flexloop-Nonce"


def proof(secret: str, nonce: str) -> str:
    """Return what a charger with this secret answers."""
    return hmac.new(secret.encode(), nonce.encode(), "sha256").hexdigest()


class Doorkeeper:
    """Knows the secrets, and who has proven theirs on the present connection.

    Args:
        known: Each car's charger's secret; without any, everybody is let in.
    """

    def __init__(self, known: Mapping[str, str]) -> None:
        self._known = known
        self._proven: frozenset[str] = frozenset()
        self._refused: set[str] = set()
        self.nonce = ""

    def open(self) -> Mapping[str, str]:
        """Begin a connection; return the headers to ask for it with."""
        self._proven, self._refused, self.nonce = frozenset(), set(), secrets.token_hex(16)
        return {NONCE_HEADER: self.nonce} if self._known else {}

    def hear(self, proofs: Mapping[str, str]) -> None:
        """Take proofs in, by car id."""
        self._proven = frozenset(
            name
            for name, secret in self._known.items()
            if hmac.compare_digest(proof(secret, self.nonce).encode(), proofs.get(name, "").encode())
        )

    def lets_in(self, car_id: str) -> bool:
        """Whether a car's charger may be heard and told."""
        return not self._known or car_id in self._proven

    def newly_refused(self, car_ids: Iterable[str]) -> tuple[str, ...]:
        """Return those of the cars that are not let in, each once a connection."""
        new = {name for name in car_ids if not self.lets_in(name)} - self._refused
        self._refused |= new
        return tuple(sorted(new))

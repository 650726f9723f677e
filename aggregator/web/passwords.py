"""Passwords of the desk's users: made by the program, shown once, kept as argon2 hashes.

A hash takes 64 MB and a tenth of a second on purpose: it runs in a thread, two at once at most. A name that
nobody has takes as long as a wrong password.
"""

import asyncio
import secrets
from functools import cache

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

AT_ONCE = 2
PARTS, LETTERS = 4, 5
ALPHABET = "abcdefghjkmnpqrstuvwxyz23456789"
"""Without letters that look alike: 20 of them are 98 bits."""

_HASHER = PasswordHasher()


def new_password() -> str:
    """Return a new one, ``xxxxx-xxxxx-xxxxx-xxxxx``."""
    return "-".join("".join(secrets.choice(ALPHABET) for _ in range(LETTERS)) for _ in range(PARTS))


def hashed(password: str) -> str:
    """Return its argon2id hash, with salt and parameters."""
    return _HASHER.hash(password)


class Verifier:
    """Compares passwords, few at once."""

    def __init__(self) -> None:
        self._turns = asyncio.Semaphore(AT_ONCE)
        self._nobodys = _nobodys()

    async def is_right(self, password: str, known: str | None) -> bool:
        """Whether a password is the one of a hash; never where there is no hash."""
        async with self._turns:
            same = await asyncio.to_thread(_verify, known or self._nobodys, password)
        return same and known is not None


@cache
def _nobodys() -> str:
    """Return the hash of a password that nobody knows, made once a process."""
    return hashed(secrets.token_hex(16))


def _verify(known: str, password: str) -> bool:
    try:
        return _HASHER.verify(known, password)
    except (VerificationError, InvalidHashError):
        return False

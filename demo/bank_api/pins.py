"""PINs: the bank can check one, but cannot read one back."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import dataclass

__all__ = ["DECOY", "PinHash", "hash_pin", "matches"]

# A few milliseconds each. Four digits can be tried out whatever the cost: the lock-out protects
# them, the cost only makes a stolen file slower to read.
_COST, _BLOCK, _LANES, _HASH_BYTES = 2**12, 8, 1, 32


@dataclass(frozen=True, slots=True)
class PinHash:
    """What is stored in place of a PIN."""

    salt: bytes
    digest: bytes


def _digest(pin: str, salt: bytes) -> bytes:
    return hashlib.scrypt(pin.encode(), salt=salt, n=_COST, r=_BLOCK, p=_LANES, dklen=_HASH_BYTES)


def hash_pin(pin: str) -> PinHash:
    """Return a salted scrypt hash (RFC 7914) of `pin`."""
    salt = secrets.token_bytes(16)
    return PinHash(salt, _digest(pin, salt))


def matches(pin: str, stored: PinHash) -> bool:
    """Compare in a time that depends neither on `pin` nor on the stored hash."""
    return hmac.compare_digest(_digest(pin, stored.salt), stored.digest)


DECOY = PinHash(secrets.token_bytes(16), secrets.token_bytes(_HASH_BYTES))
"""Stands in where there is no such account, so that this takes as long as a wrong PIN."""

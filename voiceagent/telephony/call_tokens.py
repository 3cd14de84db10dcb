"""Call tokens: the carrier's socket is let in once, for the call that we have just answered.

A signed upgrade request carries no time, so whoever recorded it could send it again. Our answer to the webhook (which
names the call) therefore puts a fresh token into the address of the media socket; it is good once, for a minute.
"""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass

from voiceagent.ports import Clock

__all__ = ["TOKEN_LIFETIME_MS", "CallGrant", "CallTokens"]

TOKEN_LIFETIME_MS = 60_000
"""The carrier connects within a second or two of our answer."""
_MOST_TOKENS = 10_000


@dataclass(frozen=True, slots=True)
class CallGrant:
    """What the webhook said of the call that may now connect."""

    agent: str
    call: str
    """The carrier's id of the call; a socket that names another one is refused."""
    caller: str | None = None
    called: str | None = None
    again: bool = False
    """The carrier was told to connect a call once more: a leg that it still has is given up."""


class CallTokens:
    """Tokens given out and not used yet, in the memory of this process."""

    def __init__(self, clock: Clock, *, most: int = _MOST_TOKENS) -> None:
        self._clock = clock
        self._most = most
        self._grants: dict[bytes, tuple[int, CallGrant]] = {}  # by digest, oldest first

    def mint(self, grant: CallGrant) -> str:
        """Return a token for this call; letters, digits, `_` and `-`, fit for a path."""
        self._forget_expired()
        if len(self._grants) >= self._most:
            self._grants.pop(next(iter(self._grants)))
        token = secrets.token_urlsafe(24)
        self._grants[_digest(token)] = (self._clock.now_ms() + TOKEN_LIFETIME_MS, grant)
        return token

    def redeem(self, token: str, *, agent: str) -> CallGrant | None:
        """Return what a token stands for, once; None where it is unknown, used, too old or another agent's."""
        self._forget_expired()
        _, grant = self._grants.pop(_digest(token), (0, None))
        return grant if grant is not None and grant.agent == agent else None

    def _forget_expired(self) -> None:
        now_ms = self._clock.now_ms()
        while self._grants:
            oldest = next(iter(self._grants))
            if self._grants[oldest][0] > now_ms:
                return
            del self._grants[oldest]


def _digest(token: str) -> bytes:
    """Looking a digest up takes a time that says nothing about the tokens there are."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()

"""Call tokens: the carrier's socket is let in once, for the call that we have just answered.

A signed upgrade request carries no time, so whoever recorded it could send it again. Our answer to the webhook (which
names the call) therefore puts a fresh token into the address of the media socket; it is good once, for a minute, at
whichever worker the socket comes to.
"""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from uuid import uuid4

from pydantic import TypeAdapter, ValidationError

from voiceagent.ports import SharedState

__all__ = ["TOKEN_LIFETIME_MS", "CallGrant", "CallTokens"]

TOKEN_LIFETIME_MS = 60_000
"""The carrier connects within a second or two of our answer."""


@dataclass(frozen=True, slots=True)
class CallGrant:
    """What the webhook said of the call that may now connect."""

    agent: str
    call: str | None
    """The carrier's id of the call; a socket that names another one is refused. None where it is not known yet."""
    dialect: str = "twilio"
    """The word in the path; a token of one dialect lets nobody in who speaks another."""
    caller: str | None = None
    called: str | None = None
    again: bool = False
    """The carrier was told to connect a call once more: a leg that it still has is given up."""


_grant: TypeAdapter[CallGrant] = TypeAdapter(CallGrant)


class CallTokens:
    """Tokens given out and not used yet. What they are is known to nobody who can read the shared state."""

    def __init__(self, state: SharedState) -> None:
        self._state = state

    async def mint(self, grant: CallGrant) -> str:
        """Return a token for this call; letters, digits, `_` and `-`, fit for a path. Raises StateUnavailable."""
        return await self._give_out(secrets.token_urlsafe(24), grant)

    async def mint_id(self, grant: CallGrant) -> str:
        """Return a token that is a UUID, where nothing else can be shown. Raises StateUnavailable."""
        return await self._give_out(str(uuid4()), grant)

    async def _give_out(self, token: str, grant: CallGrant) -> str:
        await self._state.note(_key(token), _grant.dump_json(grant).decode(), ttl_ms=TOKEN_LIFETIME_MS)
        return token

    async def redeem(self, token: str, *, agent: str, dialect: str = "twilio") -> CallGrant | None:
        """Return what a token stands for, once; None where it is unknown, used, too old or for another path.

        Raises StateUnavailable; the token may be used up then.
        """
        noted = await self._state.take(_key(token))
        if noted is None:
            return None
        try:
            grant = _grant.validate_json(noted)
        except ValidationError:  # of another version of this program
            return None
        return grant if (grant.agent, grant.dialect) == (agent, dialect) else None


def _key(token: str) -> str:
    """Looking a digest up takes a time that says nothing about the tokens there are."""
    return "call token:" + hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()

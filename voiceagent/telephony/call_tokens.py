"""Call tokens: the carrier's socket is let in once, for the call that we have just answered.

A signed upgrade request carries no time, so whoever recorded it could send it again. Our answer to the webhook (which
names the call) therefore puts a fresh token into the address of the media socket; it is good once, for a minute, at
whichever worker the socket comes to. An exchange whose address is fixed shows its password instead; that a call of its
goes on is noted under the name of the call.
"""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from uuid import uuid4

from pydantic import TypeAdapter, ValidationError

from voiceagent.json_reader import JsonReader
from voiceagent.ports import SharedState
from voiceagent.telephony.streams import Streams

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
    outbound: bool = False
    """We have placed the call."""


_to_json: TypeAdapter[CallGrant] = TypeAdapter(CallGrant)
_from_json = JsonReader(CallGrant)


class CallTokens:
    """Tokens given out and not used yet. What they are is known to nobody who can read the shared state."""

    def __init__(self, state: SharedState) -> None:
        self._state = state
        self.streams = Streams(state)
        """Which of a call's streams, each of which had a token, is the newest."""

    async def mint(self, grant: CallGrant) -> str:
        """Return a token for this call; letters, digits, `_` and `-`, fit for a path. Raises StateUnavailable."""
        return await self._give_out(secrets.token_urlsafe(24), grant)

    async def mint_id(self, grant: CallGrant) -> str:
        """Return a token that is a UUID, where nothing else can be shown. Raises StateUnavailable."""
        return await self._give_out(str(uuid4()), grant)

    async def _give_out(self, token: str, grant: CallGrant) -> str:
        await self._state.note(_key(token), _to_json.dump_json(grant).decode(), ttl_ms=TOKEN_LIFETIME_MS)
        return token

    async def redeem(self, token: str, *, agent: str, dialect: str = "twilio") -> CallGrant | None:
        """Return what a token stands for, once; None where it is unknown, used, too old or for another path.

        Raises StateUnavailable; the token may be used up then.
        """
        grant = await self._taken(_key(token))
        return grant if grant is not None and (grant.agent, grant.dialect) == (agent, dialect) else None

    async def expect_again(self, call: str, *, agent: str, dialect: str) -> None:
        """Note that a carrier which has no token will connect this call again. Raises StateUnavailable."""
        grant = CallGrant(agent, call, dialect, again=True)
        noted = _to_json.dump_json(grant).decode()
        await self._state.note(_again_key(call, agent, dialect), noted, ttl_ms=TOKEN_LIFETIME_MS)

    async def is_expected_again(self, call: str, *, agent: str, dialect: str) -> CallGrant | None:
        """Return what a call that is connected again may do; None where it begins. Raises StateUnavailable."""
        return _read(await self._state.noted(_again_key(call, agent, dialect)))

    async def expected_again(self, call: str, *, agent: str, dialect: str) -> CallGrant | None:
        """Return the same, once."""
        return await self._taken(_again_key(call, agent, dialect))

    async def _taken(self, key: str) -> CallGrant | None:
        return _read(await self._state.take(key))


def _read(noted: str | None) -> CallGrant | None:
    if noted is None:
        return None
    try:
        return _from_json.read(noted)
    except ValidationError:  # of another version of this program
        return None


def _again_key(call: str, agent: str, dialect: str) -> str:
    return f"call again:{dialect}/{agent}/{call}"


def _key(token: str) -> str:
    """Looking a digest up takes a time that says nothing about the tokens there are."""
    return "call token:" + hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()

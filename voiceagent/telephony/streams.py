"""Streams: which of a call's media streams is its newest, so that word of an older one's end begins nothing anew.

Each is known by the token in its address and by the command that began it. A command that is sent twice begins one
stream, so all tokens that it was sent with are that stream's.
"""

from __future__ import annotations

import hashlib
from contextlib import suppress

from voiceagent.errors import StateUnavailable
from voiceagent.ports import SharedState

__all__ = ["Streams", "named_by"]

_KEPT_MS = 24 * 3_600_000


def named_by(address: str) -> str:
    """Return what stands for a stream in keys and commands: of the token in its address nothing can be told by it."""
    token = address.rpartition("/")[2]
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()[:32]


class Streams:
    """Those of all calls, for all workers. Raises StateUnavailable where not said otherwise."""

    def __init__(self, state: SharedState) -> None:
        self._state = state

    async def begins(self, call: str, address: str, *, command: str, again: bool) -> str | None:
        """Note that a command begins a stream, which is the newest from now on; return the command before.

        One that is not begun `again` is the call's first: asked for late, it is no newer than what there is.
        """
        before = await self._state.noted(_newest_key(call))
        await self._state.note(_key(call, named_by(address)), command, ttl_ms=_KEPT_MS)
        if again or before is None:
            await self._state.note(_newest_key(call), command, ttl_ms=_KEPT_MS)
        return before

    async def not_begun(self, call: str, before: str | None) -> None:
        """Note that nothing has come of the last command: the newest stream is that of the one before. Never raises."""
        with suppress(StateUnavailable):
            if before is None:
                await self._state.take(_newest_key(call))
            else:
                await self._state.note(_newest_key(call), before, ttl_ms=_KEPT_MS)

    async def is_old(self, call: str, address: str) -> bool:
        """Whether the call has a newer stream than this one; False where nothing is known of either.

        Of a first stream nobody knows whether it has begun where its command was not answered.
        """
        command = await self._state.noted(_key(call, named_by(address)))
        newest = await self._state.noted(_newest_key(call))
        return None not in (command, newest) and command != newest


def _key(call: str, stream: str) -> str:
    return f"stream:{call}/{stream}"


def _newest_key(call: str) -> str:
    return f"newest stream:{call}"

"""Whether a call whose connection has ended goes on: asked by every answer to a carrier that wants to know."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from voiceagent.core.ids import CallId

__all__ = ["MayGoOn"]

MayGoOn = Callable[[str, CallId], Awaitable[bool]]
"""(agent, call) → whether a call whose stream has ended was broken off and goes on if it is connected again."""

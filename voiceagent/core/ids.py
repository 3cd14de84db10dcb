"""Ids: plain counters with a letter in front, so that a journal can be read aloud."""

from __future__ import annotations

from typing import NewType

__all__ = ["CallId", "Epoch", "FetchId", "LegId", "ReplyId", "ToolCallId", "TurnId", "UtteranceId"]

CallId = NewType("CallId", str)
"""One conversation, named by whoever placed it or by the server."""
LegId = NewType("LegId", str)
"""One connection of a call."""
Epoch = NewType("Epoch", int)
"""Number of one entry into a phase, from 1."""
TurnId = NewType("TurnId", int)
"""Number of one turn of the caller, from 1; 0 is the time before the first."""
UtteranceId = NewType("UtteranceId", str)
"""One stretch of speech: `c1` the caller's, `a1` the agent's; speech of a speech model has its reply's id."""
ReplyId = NewType("ReplyId", str)
"""One reply: `r1` asked for by the core, `u1` begun by a speech model on its own."""
ToolCallId = NewType("ToolCallId", str)
"""One tool call, `t1`; the model's own id for it is kept beside it."""
FetchId = NewType("FetchId", str)
"""One prefetch, `f1`."""

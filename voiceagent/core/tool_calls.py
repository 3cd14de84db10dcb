"""Tool calls: what the model has asked for, what is running, and when a reply's requests are all answered."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from pydantic import JsonValue

from voiceagent.core.ids import Epoch, ReplyId, ToolCallId
from voiceagent.spec.tool import Tool

__all__ = ["OUTCOME_UNKNOWN", "ToolCall", "ToolCalls"]

OUTCOME_UNKNOWN = "it is not known whether it was done: do not try again, and tell the caller so"
"""Reason of a write whose outcome nobody knows, in words for the model; flows look for `not known` in it."""


@dataclass(slots=True)
class ToolCall:
    """One request of the model, from its start to its result."""

    id: ToolCallId
    request: str
    reply: ReplyId
    tool: Tool
    arguments: Mapping[str, JsonValue]
    """Validated, bound parameters filled in, secrets as handles."""
    epoch: Epoch
    started_ms: int
    state: Literal["confirming", "joined", "running", "done"]
    version: int = 0
    """Of the tool's answers when it began: a write in between makes its result one not to keep."""
    generation: int = 0
    """Of the caller's identity when it began: what was asked in another name is not kept under this one."""
    idempotency_key: str | None = None
    same_as: ToolCallId | None = None
    """A read that is running and asks for just the same: what it brings is the result of this call as well."""


class ToolCalls:
    """The calls of one conversation."""

    def __init__(self) -> None:
        self._calls: dict[ToolCallId, ToolCall] = {}
        self._count = 0

    @property
    def outstanding(self) -> tuple[ToolCall, ...]:
        """Calls without a result that keep somebody waiting; one that waits for the caller's yes does not."""
        if not self._calls:
            return ()  # as good as always, and it is asked for after every event
        return tuple(call for call in self._calls.values() if call.state in ("running", "joined"))

    @property
    def unanswered(self) -> tuple[ToolCall, ...]:
        """Calls without a result, those that wait for the caller's yes included."""
        return tuple(call for call in self._calls.values() if call.state != "done")

    def open(
        self,
        tool: Tool,
        arguments: Mapping[str, JsonValue],
        *,
        request: str,
        reply: ReplyId,
        epoch: Epoch,
        now_ms: int,
    ) -> ToolCall:
        """Enter a request that was permitted."""
        self._count += 1
        call = ToolCall(
            ToolCallId(f"t{self._count}"), request, reply, tool, arguments, epoch, started_ms=now_ms, state="running"
        )
        self._calls[call.id] = call
        return call

    def get(self, call: ToolCallId) -> ToolCall | None:
        """Return a call that has no result yet."""
        found = self._calls.get(call)
        return found if found is not None and found.state != "done" else None

    def close(self, call: ToolCall) -> None:
        """The call has its result; a second one will not be listened to."""
        call.state = "done"
        del self._calls[call.id]

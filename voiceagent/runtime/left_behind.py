"""Left behind: the record of a call that nobody goes on with is brought to its end, and its open writes are looked up.

Nobody knows what has become of a write that was under way when its server died. Its service is asked, by the key that
it was made under; where that tells nothing, whoever runs the server is told.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from typing import Any

from voiceagent.core.effects import Reconcile, StartTool
from voiceagent.core.events import CallEnded, Event, ToolFailed, ToolFinished
from voiceagent.core.ids import CallId, ToolCallId
from voiceagent.core.tool_calls import OUTCOME_UNKNOWN
from voiceagent.runtime.journal import JournalWriter
from voiceagent.runtime.journal_file import Journal, decode_effect
from voiceagent.runtime.resume import Folded
from voiceagent.tools.executor import ToolExecutor
from voiceagent.tools.vault import Vault

__all__ = ["bring_to_its_end", "open_writes", "transferred_to"]

_log = logging.getLogger(__name__)

_NOT_BACK = "the connection broke, and the caller did not come back"
_INTERRUPTED = "interrupted: the server died, and nobody went on with the call"


def open_writes(journal: Journal) -> tuple[Reconcile, ...]:
    """Return what was begun that changes something, and has no outcome on record."""
    begun: dict[str, Reconcile] = {}
    for entry in journal.entries:
        match entry.event:
            case ToolFinished(call) | ToolFailed(call):
                begun.pop(call, None)
            case _:
                pass
        for name, values in map(decode_effect, entry.effects):
            if name == StartTool.__name__ and values["idempotency_key"] is not None:
                begun[values["call"]] = _reconcile(values)
    return tuple(begun.values())


def _reconcile(started: Mapping[str, Any]) -> Reconcile:
    return Reconcile(
        ToolCallId(started["call"]), started["tool"], started["arguments"], idempotency_key=started["idempotency_key"]
    )


async def bring_to_its_end(
    journal: JournalWriter, read: Journal, folded: Folded | None, *, tools: ToolExecutor, unix_ms: int
) -> None:
    """Write the rest of a record; `folded` is None where nobody can say how the call stood."""
    lost = open_writes(read)
    if folded is None:
        outcomes: Sequence[ToolFinished | ToolFailed] = [_unknown(write) for write in lost]
    else:
        calls = tools.for_call(journal.call, folded.conversation, Vault(), caller_number=None)
        outcomes = await asyncio.gather(*(calls.reconcile(write) for write in lost))
    _report(journal.call, lost, outcomes)
    last_ms = read.entries[-1].at_ms if read.entries else 0
    now_ms = last_ms if folded is None else folded.last_ms + folded.gap_ms(unix_ms)
    for event in (*outcomes, CallEnded(_why(folded))):
        _record(journal, folded, event, now_ms)


def _why(folded: Folded | None) -> str:
    if folded is None or not folded.conversation.state.suspended:
        return _INTERRUPTED
    target = folded.conversation.state.handed_over
    return _NOT_BACK if target is None else transferred_to(target)


def transferred_to(target: str) -> str:
    """Return the reason for the end of a call whose caller somebody has taken."""
    return f"transferred to {target}"


def _record(journal: JournalWriter, folded: Folded | None, event: Event, now_ms: int) -> None:
    journal.event(now_ms, event)
    if folded is not None:
        journal.effects(folded.conversation.handle(event, now_ms))


def _report(call: CallId, lost: Sequence[Reconcile], outcomes: Sequence[ToolFinished | ToolFailed]) -> None:
    for write, outcome in zip(lost, outcomes, strict=True):
        if isinstance(outcome, ToolFailed) and outcome.kind == "unknown":
            _log.error(
                "call %s: nobody knows whether %s was done (idempotency key %s)",
                call,
                write.tool,
                write.idempotency_key,
            )


def _unknown(write: Reconcile) -> ToolFailed:
    return ToolFailed(write.call, "unknown", OUTCOME_UNKNOWN)

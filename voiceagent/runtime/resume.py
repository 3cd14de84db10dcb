"""Resume: a call that was broken off is folded from its journal, and its time goes on by the wall clock."""

from __future__ import annotations

from dataclasses import dataclass

from voiceagent.core.conversation import Conversation
from voiceagent.core.events import CallResumed, CallStarted
from voiceagent.errors import JournalError
from voiceagent.runtime.journal_file import Journal
from voiceagent.runtime.replay import require_same_flow
from voiceagent.spec.flow import Flow

__all__ = ["Folded", "fold"]


@dataclass(frozen=True, slots=True)
class Folded:
    """A call as it stood when it was broken off."""

    conversation: Conversation
    last_ms: int
    """The call's own time then."""
    last_unix_ms: int
    """Wall clock then."""
    resumed: int
    """How often it had been gone on with before."""

    def gap_ms(self, unix_ms: int) -> int:
        """Return for how long nobody was there, if the wall clock shows this now; clocks may go back, calls do not."""
        return max(0, unix_ms - self.last_unix_ms)

    def left_ms(self, unix_ms: int) -> int:
        """Return for how long the call may still go on, if the wall clock shows this now; 0 or less: no more."""
        return self.conversation.state.flow.limits.resume_within_ms - self.gap_ms(unix_ms)


def fold(journal: Journal, flow: Flow) -> Folded:
    """Feed a journal's events to a fresh conversation; what they caused has been done.

    Raises JournalError where flow or prompts are not those of the call, or it had not begun.
    """
    require_same_flow(journal.header, flow)
    started = next((entry for entry in journal.entries if isinstance(entry.event, CallStarted)), None)
    if started is None or not isinstance(started.event, CallStarted):
        raise JournalError("the call had not begun")
    conversation = Conversation(flow, journal.header.inherited)
    for entry in journal.entries:
        conversation.handle(entry.event, entry.at_ms)
    resumed = sum(isinstance(entry.event, CallResumed) for entry in journal.entries)
    last_ms = journal.entries[-1].at_ms
    return Folded(conversation, last_ms, started.event.unix_ms + last_ms - started.at_ms, resumed)

"""Resume: a call that was broken off is folded from its journal, and its time goes on by the wall clock."""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from dataclasses import dataclass

from voiceagent.core.conversation import Conversation
from voiceagent.core.events import CallResumed, CallStarted, LegAttached
from voiceagent.errors import JournalError
from voiceagent.ports import IncomingCall
from voiceagent.runtime.journal_file import Journal
from voiceagent.runtime.replay import changes_of_agent, require_same_flow
from voiceagent.spec.flow import Flow

__all__ = ["Folded", "Folding", "fold", "may_go_on_with"]

_EVENTS_AT_A_TIME = 10
"""A few milliseconds."""


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


def may_go_on_with(journal: Journal, incoming: IncomingCall) -> bool:
    """Whether a connection may go on with a call, which may be of somebody who has said their PIN.

    A carrier that was told to connect the call again may. Where one does so by itself it has to be the same call as
    far as anybody can see: it came the same way, and from the same number. That the agent is the same is for `fold`.
    """
    if incoming.again:
        return True
    events = [entry.event for entry in journal.entries]
    numbers = [event.caller_number for event in events if isinstance(event, CallStarted)]
    ways = [event.dialect for event in events if isinstance(event, LegAttached)]
    return numbers[:1] == [incoming.caller_number] and ways[-1:] in ([], [incoming.leg.features.dialect])


def fold(journal: Journal, flow: Flow) -> Folded:
    """Feed a journal's events to a fresh conversation; what they caused has been done.

    Raises JournalError where flow or prompts are not those of the call, they were changed in it, or it had not begun.
    """
    steps = _steps(journal, flow)
    while True:
        try:
            next(steps)
        except StopIteration as over:
            return over.value


class Folding:
    """Folds calls while others go on: one at a time, and a few events at a time.

    After a server has died all of its callers may be back at once, and an hour's call takes a second to fold.
    """

    def __init__(self) -> None:
        self._one_at_a_time = asyncio.Lock()

    async def fold(self, journal: Journal, flow: Flow) -> Folded:
        """Return what `fold` does. Raises what it raises."""
        async with self._one_at_a_time:
            steps = _steps(journal, flow)
            while True:
                try:
                    next(steps)
                except StopIteration as over:
                    return over.value
                await asyncio.sleep(0)


def _steps(journal: Journal, flow: Flow) -> Generator[None, None, Folded]:
    if changes_of_agent(journal):
        raise JournalError("its agent was changed while it went on: only calls that keep one version are gone on with")
    require_same_flow(journal.header, flow)
    started = next((entry for entry in journal.entries if isinstance(entry.event, CallStarted)), None)
    if started is None or not isinstance(started.event, CallStarted):
        raise JournalError("the call had not begun")
    conversation = Conversation(flow, journal.header.inherited)
    for number, entry in enumerate(journal.entries, start=1):
        conversation.handle(entry.event, entry.at_ms)
        if number % _EVENTS_AT_A_TIME == 0:
            yield
    resumed = sum(isinstance(entry.event, CallResumed) for entry in journal.entries)
    last_ms = journal.entries[-1].at_ms
    return Folded(conversation, last_ms, started.event.unix_ms + last_ms - started.at_ms, resumed)

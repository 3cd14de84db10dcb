"""Replay: take a call that is over through the conversation once more and see whether it decides the same."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

from voiceagent.core.codec import encode_outgoing
from voiceagent.core.conversation import Conversation
from voiceagent.core.events import AgentChanged, CallResumed
from voiceagent.errors import JournalError
from voiceagent.runtime.journal_file import Entry, Journal, JournalHeader
from voiceagent.spec.flow import Flow

__all__ = ["Difference", "ReplayResult", "changes_of_agent", "replay", "require_same_flow"]

_ANYWAY = "; `other_flow` (`--other-flow`) replays it all the same"


@dataclass(frozen=True, slots=True)
class Difference:
    """The first place where the conversation decided otherwise."""

    event: int
    """Number of the event, from 1."""
    event_line: str
    recorded: str | None
    """The effect as it stands in the journal; None where the journal has no more."""
    replayed: str | None
    """The effect as it is now; None where there is no more."""

    def __str__(self) -> str:
        nothing = "(nothing)"
        return (
            f"event {self.event}: {self.event_line}\n"
            f"  recorded: {self.recorded or nothing}\n"
            f"  replayed: {self.replayed or nothing}"
        )


@dataclass(frozen=True, slots=True)
class ReplayResult:
    """How it went."""

    conversation: Conversation
    """As it stands after the last event that was replayed."""
    events: int
    """How many were replayed, the one that differs included."""
    difference: Difference | None

    @property
    def same(self) -> bool:
        """Whether every effect was the same, byte for byte."""
        return self.difference is None


def replay(
    journal: Journal,
    flow: Flow,
    *,
    other_flow: bool = False,
    until: int | None = None,
    versions: Mapping[str, Flow] | None = None,
) -> ReplayResult:
    """Feed a journal's events to a fresh conversation and compare its effects, up to the first that differs.

    With `until`, the last event that is replayed, from 1, the conversation is left as it stood after it.

    `versions` are those that the agent had later in the call, where it was changed meanwhile.

    Raises JournalError for a flow or prompts that are not those of the journal, and for a change of the agent to a
    version that is not there. With `other_flow` they may differ, and
    so may the hashes of what a model was shown: they only say that a text has changed, not that a decision has.
    """
    if not other_flow:
        require_same_flow(journal.header, flow)
    conversation = Conversation(flow, journal.header.inherited)
    for number, changed in changes_of_agent(journal, until=until):
        conversation.prepare(changed.version, _version(number, changed, versions or {}))
    entries = journal.entries[:until]
    for number, entry in enumerate(entries, start=1):
        replayed = [encode_outgoing(outgoing) for outgoing in conversation.handle(entry.event, entry.at_ms)]
        if _was_stopped_after(journal, number):
            # The writer was stopped: what it had not written is no difference.
            replayed = replayed[: len(entry.effects)]
        difference = _compare(number, entry, replayed, hashes=not other_flow)
        if difference is not None:
            return ReplayResult(conversation, number, difference)
    return ReplayResult(conversation, len(entries), None)


def changes_of_agent(journal: Journal, *, until: int | None = None) -> list[tuple[int, AgentChanged]]:
    """Return where the agent was changed in mid-call, as the number of the event, from 1, and the event."""
    numbered = enumerate(journal.entries[:until], start=1)
    return [(number, entry.event) for number, entry in numbered if isinstance(entry.event, AgentChanged)]


def _version(number: int, changed: AgentChanged, versions: Mapping[str, Flow]) -> Flow:
    flow = versions.get(changed.version)
    if flow is None:
        raise JournalError(
            f"the agent was changed in this call, by event {number}, to version {changed.version}, which is not there: "
            f"what came before it can be replayed (`--until {number - 1}`)"
        )
    if (flow.sha256, flow.prompt_hashes) != (changed.flow_sha256, dict(changed.prompts)):
        raise JournalError(f"what is kept as version {changed.version} of the agent is not what event {number} says")
    return flow


def _was_stopped_after(journal: Journal, number: int) -> bool:
    if number == len(journal.entries):
        return not journal.complete
    return isinstance(journal.entries[number].event, CallResumed)


def _compare(number: int, entry: Entry, replayed: list[bytes], *, hashes: bool) -> Difference | None:
    for was, now in zip_longest(entry.effects, replayed):
        if was != now and (hashes or was is None or now is None or _without_hashes(was) != _without_hashes(now)):
            return Difference(number, entry.written.decode(), _text(was), _text(now))
    return None


def _without_hashes(line: bytes) -> dict[str, Any]:
    effect: dict[str, Any] = json.loads(line)
    effect["with"] = {name: value for name, value in effect["with"].items() if not name.endswith("_sha256")}
    return effect


def _text(line: bytes | None) -> str | None:
    return None if line is None else line.decode()


def require_same_flow(header: JournalHeader, flow: Flow) -> None:
    """Raise JournalError for a flow or prompts that are not those of the journal."""
    if header.flow != flow.name:
        raise JournalError(f"the journal is of flow {header.flow!r}, not of {flow.name!r}")
    if header.flow_sha256 != flow.sha256:
        raise JournalError(f"flow {flow.name!r} has been changed since the call{_ANYWAY}")
    now = flow.prompt_hashes
    changed = sorted({name for name in (*header.prompts, *now) if header.prompts.get(name) != now.get(name)})
    if changed:
        raise JournalError(f"prompts have been changed since the call: {', '.join(changed)}{_ANYWAY}")

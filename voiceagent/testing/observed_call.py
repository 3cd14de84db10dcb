"""A call as those look at it who compare it with what was expected, or tell what happened in it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from pydantic import JsonValue

from voiceagent.core.conversation import Conversation
from voiceagent.spec.flow import Flow
from voiceagent.testing.agent_voice import AgentVoice
from voiceagent.testing.call_record import CallRecord, RecordEntry
from voiceagent.testing.caller_voice import CallerVoice

__all__ = ["ObservedCall"]


class ObservedCall(Protocol):
    """What can be seen and heard of a call, simulated or spoken; all instants are milliseconds of the call."""

    @property
    def flow(self) -> Flow:
        """The agent."""
        ...

    @property
    def conversation(self) -> Conversation:
        """The conversation as it stands now."""
        ...

    @property
    def now_ms(self) -> int:
        """The present instant."""
        ...

    @property
    def record(self) -> CallRecord:
        """Everything that has happened, and what can be asked about it."""
        ...

    @property
    def journal(self) -> Sequence[RecordEntry]:
        """Every instant, what happened at it, and what was done about it."""
        ...

    @property
    def voice(self) -> AgentVoice:
        """What the caller hears."""
        ...

    @property
    def caller(self) -> CallerVoice:
        """When the caller's voice was on."""
        ...

    @property
    def phase(self) -> str:
        """The current phase."""
        ...

    @property
    def facts(self) -> dict[str, JsonValue]:
        """The facts that are known."""
        ...

    @property
    def ended(self) -> bool:
        """Whether the call is over."""
        ...

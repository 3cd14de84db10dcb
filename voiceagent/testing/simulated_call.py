"""A simulated call as a script or a test sees it, wherever it is played: on the core alone, or through the runtime."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, Self

from pydantic import JsonValue

from voiceagent.core import effects as fx
from voiceagent.core import events as ev
from voiceagent.core.conversation import Conversation
from voiceagent.spec.flow import Flow
from voiceagent.testing.agent_voice import AgentVoice
from voiceagent.testing.arrivals import Late
from voiceagent.testing.call_record import CallRecord, RecordEntry
from voiceagent.testing.caller_voice import CallerVoice
from voiceagent.testing.schedule import Swap
from voiceagent.tools.vault import Vault

__all__ = ["SimulatedCall"]


class SimulatedCall(Protocol):
    """One simulated call. Say, press, wait; then look at what the agent said and did.

    What the caller does returns the call itself. Raises ScriptError for what a script has no answer to.
    """

    # --- what the caller does ---

    def start(
        self, *, caller_number: str = ..., time_zone: str = ..., unix_ms: int = ..., then_wait: bool = True
    ) -> Self:
        """The call comes in; returns when the agent has said its first words, or waits."""
        ...

    def says(self, text: str, *, lasting_ms: int | None = None, then_wait: bool = True) -> Self:
        """The caller says this from now on; returns when the agent has answered and nothing is under way.

        Without `then_wait` it returns when the last word has been said. It lasts 65 ms per character if not told else.
        An ellipsis (…) in it is a pause to breathe.
        """
        ...

    def coughs(self) -> Self:
        """A short noise without words."""
        ...

    def presses(self, keys: str, *, every_ms: int = 200, then_wait: bool = True) -> Self:
        """The caller presses keys, one after the other."""
        ...

    def hangs_up(self) -> Self:
        """The caller is gone, from one moment to the next."""
        ...

    def host_says(self, name: str, *, then_wait: bool = True) -> Self:
        """The host application sends a named event."""
        ...

    def happens(self, event: ev.Event) -> Self:
        """Anything else happens, now: for what a script has no words for."""
        ...

    # --- time ---

    @property
    def now_ms(self) -> int:
        """Virtual milliseconds since before the call."""
        ...

    def run_ms(self, ms: int) -> Self:
        """Let this much time pass."""
        ...

    def until_quiet(self, at_most_ms: int = 120_000) -> Self:
        """Let time pass until the agent has said everything and nothing is being worked on, or the call is over."""
        ...

    def until(self, event: type[ev.Event | fx.Effect], at_most_ms: int = 120_000) -> Self:
        """Let time pass until an event or effect of this class has come by; ScriptError if it never does."""
        ...

    def until_heard(self, phrase: str, at_most_ms: int = 120_000) -> Self:
        """Let time pass until the last sound of these words of the agent; ScriptError if it never says them."""
        ...

    def until_speaking(self, for_ms: int, *, filler: bool = False, at_most_ms: int = 120_000) -> Self:
        """Let time pass until the agent has been heard for so long, with a filler or with anything else."""
        ...

    def until_tool(self, tool: str, at_most_ms: int = 120_000) -> Self:
        """Let time pass until this tool is started for the model; ScriptError if it never is."""
        ...

    # --- what came of it ---

    @property
    def caller(self) -> CallerVoice:
        """When the caller's voice was on."""
        ...

    @property
    def voice(self) -> AgentVoice:
        """What the caller hears, to the word."""
        ...

    @property
    def deviations(self) -> Sequence[Swap | Late]:
        """What has come in another order, or later, than without a schedule."""
        ...

    @property
    def flow(self) -> Flow:
        """The agent."""
        ...

    @property
    def conversation(self) -> Conversation:
        """The conversation as it stands now."""
        ...

    @property
    def vault(self) -> Vault:
        """The caller's secrets."""
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
    def tool_runs(self) -> Sequence[tuple[str, dict[str, JsonValue]]]:
        """Every tool and fetch that really ran, with its arguments, secrets as handles."""
        ...

    @property
    def ended(self) -> bool:
        """Whether the call is over."""
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
    def heard(self) -> list[str]:
        """What the caller has heard of the agent, fillers left out."""
        ...

    def ran(self, tool: str) -> int:
        """How often a tool really ran, prefetches included."""
        ...

    def replay_difference(self) -> str | None:
        """See whether what was recorded, fed to a fresh conversation, gives other effects; returns the first that does.

        Through the runtime it brings the call to its end.
        """
        ...

    def assert_replays(self) -> None:
        """See that what was recorded, fed to a fresh conversation, gives the same effects, byte for byte."""
        ...

    def close(self) -> None:
        """Leave nothing of the call behind, wherever it stands."""
        ...

"""A simulated call through the runtime: the code that serves callers, on a virtual clock, with simulated engines.

Session, performer, cascade, ears, executor, vault, the telephone leg with its pacing and its ledger, and the carrier's
dialect are those of a server. Simulated are what is outside of them: the caller's line, the engines, what tools answer.
"""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from pydantic import JsonValue

from voiceagent.core import effects as fx
from voiceagent.core import events as ev
from voiceagent.core.conversation import Conversation
from voiceagent.core.ids import CallId
from voiceagent.core.state import Inherited
from voiceagent.errors import ScriptError
from voiceagent.ports import ReplyModel
from voiceagent.runtime.journal_disk import journal_name
from voiceagent.runtime.journal_file import read_journal
from voiceagent.runtime.replay import replay as replayed
from voiceagent.spec.flow import Flow
from voiceagent.testing.agent_voice import AgentVoice
from voiceagent.testing.arrivals import Arrivals, Late
from voiceagent.testing.call_record import CallRecord, RecordEntry, Watch, has, starts
from voiceagent.testing.caller_voice import BREATH_MS, CallerVoice
from voiceagent.testing.runtime_time import RuntimeTime
from voiceagent.testing.scripted_call import STARTS_UNIX_MS
from voiceagent.testing.scripted_model import ModelOfScript
from voiceagent.testing.simulated_provider import SimulatedProvider
from voiceagent.testing.simulated_server import SimulatedServer
from voiceagent.testing.simulated_world import Faults, ScriptedTool, Timing
from voiceagent.testing.virtual_loop import VirtualLoop
from voiceagent.tools.vault import Vault

__all__ = ["RuntimeCall"]

_ENDS_WITHIN_MS = 120_000
"""Writes under way and the leg have bounded time after a call; this is beyond it."""
_FORGOTTEN_WITHIN_MS = 30_000
"""What a server keeps of a call that is over: whom a carrier may still ask it to put through."""


class RuntimeCall:
    """One simulated call through the runtime; fulfils `SimulatedCall`.

    It is over with `assert_replays` or `close`, or at the end of a `with` block, which asserts it too. Raises out of
    whatever it is told to do: ScriptError where the script has no answer, RealWorldTouched where something did not
    stay simulated.
    """

    def __init__(
        self,
        flow: Flow,
        *,
        model: ModelOfScript | ReplyModel,
        tools: Mapping[str, ScriptedTool] | None = None,
        timing: Timing | None = None,
        inherited: Inherited | None = None,
        faults: Faults | None = None,
        schedule: Arrivals | None = None,
        journals: Path | None = None,
        provider: SimulatedProvider | None = None,
        watch: Watch | None = None,
    ) -> None:
        """`journals` is where the journal stays; None: nowhere. `watch` is told of every step.

        With a `provider` its speech model hears and speaks, and `model` stands behind it.

        A cascade's swap takes no time and cannot fail: `timing.swap_ms` does not count here, and ScriptError is raised
        for `faults.swap_fails`. Nor does `timing.partial_ms`: its recognizer has no partials.
        """
        inherited = inherited or Inherited(CallId("scripted"))
        if inherited.voice_speaks or inherited.replies_unasked:
            raise ScriptError("a voice that speaks by itself is given by its `provider`")
        if faults is not None and faults.swap_fails:
            raise ScriptError("a cascade takes over every phase: swap_fails can be played on the core only")
        self._flow = flow
        self.caller = CallerVoice()
        """When the caller's voice was on."""
        self._schedule = schedule or Arrivals()
        self.record = CallRecord()
        """Everything that has happened, and what can be asked about it."""
        self._loop = VirtualLoop(self._schedule)
        self._folder = Path(tempfile.mkdtemp())  # removed by `close`, and never by the garbage collector at any moment
        self._path = (journals or self._folder) / journal_name(inherited.call)
        self._server = SimulatedServer(
            flow,
            loop=self._loop,
            model=model,
            tools=tools or {},
            timing=timing or Timing(),
            faults=faults or Faults(),
            inherited=inherited,
            journals=self._path.parent,
            observer=self._observe,
            provider=provider,
        )
        self._time = RuntimeTime(self._loop, self._server, self.record)
        self._line_lost = tuple(faults.line_lost) if faults is not None else ()
        self._line_breaks = dict(faults.line_breaks) if faults is not None else {}
        self._watch = watch

    def _observe(self, call: CallId, now_ms: int, event: ev.Event, outgoing: tuple[fx.Outgoing, ...]) -> None:
        del call
        entry = (now_ms, event, outgoing)
        self.record.entries.append(entry)
        for out in outgoing:
            self._server.asked(out.effect)
        self._time.recorded(entry)
        if len(self.journal) in self._line_lost:
            self._loop.call_soon(self._server.line.hang_up)
        if len(self.journal) in self._line_breaks:
            self._loop.call_soon(self._break_line, self._line_breaks[len(self.journal)])
        if self._watch is not None:
            self._watch(*entry)

    def _break_line(self, gap_ms: int) -> None:
        if self._server.journals.broken:
            self._server.line.hang_up()  # nothing is there to go on from
            return
        self._server.line.break_off()
        self._loop.call_later(gap_ms / 1_000, self._connect_if_awaited)

    def _connect_if_awaited(self) -> None:
        state = self.conversation.state
        if state.suspended and not state.ended:
            self._server.connect_again()

    # --- what the caller does ----------------------------------------------------------------------------------------

    def start(
        self,
        *,
        caller_number: str = "+15550100",
        time_zone: str = "UTC",
        unix_ms: int = STARTS_UNIX_MS,
        then_wait: bool = True,
    ) -> Self:
        """The call comes in; returns when the agent has said its first words, or waits."""
        self._server.begin(caller_number=caller_number, time_zone=time_zone, unix_ms=unix_ms)
        return self.until_quiet() if then_wait else self.run_ms(0)

    def says(self, text: str, *, lasting_ms: int | None = None, then_wait: bool = True) -> Self:
        """The caller says this from now on; returns when the agent has answered and nothing is under way.

        An ellipsis (…) in it is a pause to breathe.
        """
        ends_ms = self.begins_to_say(text, lasting_ms=lasting_ms).caller.ends_ms
        return self.until_quiet() if then_wait else self.run_until(ends_ms)

    def begins_to_say(self, text: str, *, lasting_ms: int | None = None) -> Self:
        """The caller says this from now on; returns at once, so that things can happen meanwhile."""
        for number, breath in enumerate(self.caller.says(text, self.now_ms, lasting_ms=lasting_ms)):
            if number:
                self._server.line.pause(BREATH_MS)
            self._server.line.say(breath.words, breath.lasting_ms)
        return self

    def coughs(self) -> Self:
        """A short noise without words."""
        return self.says("", lasting_ms=200, then_wait=False)

    def presses(self, keys: str, *, every_ms: int = 200, then_wait: bool = True) -> Self:
        """The caller presses keys, one after the other."""
        for number, key in enumerate(keys):
            self.run_ms(every_ms if number else 0)
            self._server.line.press(key)
        self.caller.pressed(self.now_ms)
        self.run_ms(every_ms)
        return self.until_quiet() if then_wait else self

    def hangs_up(self) -> Self:
        """The caller is gone, from one moment to the next."""
        self._server.line.hang_up()
        return self.run_ms(1 + self._schedule.window_ms)

    def loses_connection(self) -> Self:
        """The connection breaks: nobody has hung up."""
        self._server.line.break_off()
        return self.run_ms(1 + self._schedule.window_ms)

    def connects_again(self, *, then_wait: bool = True) -> Self:
        """The carrier connects the call once more; returns when the agent has said what it has to say."""
        self._server.connect_again()
        self.until(ev.LegAttached)
        return self.until_quiet() if then_wait else self

    def host_says(self, name: str, *, then_wait: bool = True) -> Self:
        """The host application sends a named event."""
        self.happens(ev.HostEvent(name))
        return self.until_quiet() if then_wait else self

    def happens(self, event: ev.Event) -> Self:
        """Anything else happens, now: for what a script has no words for."""
        self._server.post(event)
        return self.run_ms(0)

    # --- time --------------------------------------------------------------------------------------------------------

    @property
    def now_ms(self) -> int:
        """Virtual milliseconds since before the call."""
        return self._loop.now_ms

    def run_ms(self, ms: int) -> Self:
        """Let this much time pass."""
        self._time.pass_ms(ms)
        return self

    def run_until(self, end_ms: int) -> Self:
        """Let time pass up to this instant."""
        self._time.pass_ms(end_ms - self.now_ms)
        return self

    def until_quiet(self, at_most_ms: int = 120_000) -> Self:
        """Let time pass until the agent has said everything and nothing is being worked on, or the call is over."""
        self._time.pass_ms(at_most_ms, lambda: self.ended or self._server.idle)
        return self

    def until(self, event: type[ev.Event | fx.Effect], at_most_ms: int = 120_000) -> Self:
        """Let time pass until an event or effect of this class has come by; ScriptError if it never does."""
        if not self._time.until_entry(lambda entry: has(entry, event), at_most_ms):
            raise ScriptError(f"{event.__name__} did not come within {at_most_ms} ms\n{self.record.timeline()}")
        return self

    def until_heard(self, phrase: str, at_most_ms: int = 120_000) -> Self:
        """Let time pass until the last sound of these words of the agent; ScriptError if it never says them."""
        from_ms = self.now_ms
        self._time.until_known(
            lambda: self.voice.end_of(phrase, from_ms), f"the agent did not say {phrase!r}", at_most_ms
        )
        return self

    def until_speaking(self, for_ms: int, *, filler: bool = False, at_most_ms: int = 120_000) -> Self:
        """Let time pass until the agent has been heard for so long, with a filler or with anything else."""
        from_ms = self.now_ms
        self._time.until_known(
            lambda: self.voice.heard_for(for_ms, from_ms, filler=filler),
            f"the agent said no {'filler' if filler else 'answer'}",
            at_most_ms,
        )
        return self

    def until_tool(self, tool: str, at_most_ms: int = 120_000) -> Self:
        """Let time pass until this tool is started for the model; ScriptError if it never is."""
        if not self._time.until_entry(lambda entry: starts(entry[2], tool), at_most_ms):
            raise ScriptError(f"the tool {tool!r} was not started")
        return self

    # --- what came of it ---------------------------------------------------------------------------------------------

    @property
    def flow(self) -> Flow:
        """The agent."""
        return self._flow

    @property
    def conversation(self) -> Conversation:
        """The session's own conversation, as it stands now."""
        if self._server.tools.conversation is None:
            raise ScriptError("the call has not started")
        return self._server.tools.conversation

    @property
    def vault(self) -> Vault:
        """The session's own vault."""
        if self._server.tools.vault is None:
            raise ScriptError("the call has not started")
        return self._server.tools.vault

    @property
    def journal(self) -> list[RecordEntry]:
        """Every instant, what happened at it, and what was done about it."""
        return self.record.entries

    @property
    def tool_runs(self) -> list[tuple[str, dict[str, JsonValue]]]:
        """Every tool and fetch that really ran, with its arguments, secrets as handles."""
        return self._server.tools.runs

    @property
    def ended(self) -> bool:
        """Whether the call is over."""
        return self._server.ended

    @property
    def phase(self) -> str:
        """The current phase."""
        return self.conversation.phase

    @property
    def facts(self) -> dict[str, JsonValue]:
        """The facts that are known."""
        return self.conversation.state.facts.known()

    @property
    def heard(self) -> list[str]:
        """What the caller has heard of the agent as far as the agent knows, fillers left out."""
        return [m.text for m in self.conversation.transcript.messages() if m.role == "agent"]

    @property
    def really_heard(self) -> str:
        """The words that have come out of the caller's telephone, fillers included."""
        return self._server.words_heard

    @property
    def voice(self) -> AgentVoice:
        """What the caller hears, to the word."""
        return self._server.voice

    @property
    def server(self) -> SimulatedServer:
        """What serves the call."""
        return self._server

    @property
    def deviations(self) -> list[Late]:
        """What has come late so far."""
        return self._schedule.late

    def ran(self, tool: str) -> int:
        """How often a tool really ran, prefetches included."""
        return sum(1 for name, _ in self.tool_runs if name == tool)

    # --- the end -----------------------------------------------------------------------------------------------------

    def replay_difference(self) -> str | None:
        """Bring the call to its end; returns where its journal gives other effects than the call had, if anywhere."""
        return self.end()

    def end(self, *, replay: bool = True, written: bool = True) -> str | None:
        """Bring the call to its end; returns what is wrong with what it leaves behind, if anything is.

        `replay`: its journal has to give the same effects again; `written`: it has one, whose disk has not failed.
        """
        if self._loop.is_closed():
            return None
        try:
            self._finish()
            self._time.pass_ms(_FORGOTTEN_WITHIN_MS)
            if self._loop.timers:
                return f"timers are left: {self._loop.timers}"
            return self._difference(replay=replay) if written else None
        finally:
            self.close()

    def _difference(self, *, replay: bool) -> str | None:
        journal = read_journal(self._path)
        if not journal.complete:
            return "the journal has no end"
        if self.journal[-1][1] == ev.CallEnded("internal error"):
            return "the session broke: see the log"
        if [entry.event for entry in journal.entries] != [event for _, event, _ in self.journal]:
            return "the journal has other events than the call had"
        result = replayed(journal, self._flow) if replay else None
        return None if result is None or result.same else str(result.difference)

    def assert_replays(self) -> None:
        """Bring the call to its end and see that its journal gives the same effects again, byte for byte."""
        difference = self.replay_difference()
        assert difference is None, difference

    def _finish(self) -> None:
        """Hang up if that has not been done, and let everything come to its end."""
        if not self.ended:
            self._server.line.hang_up()
        self._time.pass_ms(_ENDS_WITHIN_MS, lambda: self._server.over)
        assert self._server.over, f"the call has left behind: {asyncio.all_tasks(self._loop)}"

    def close(self) -> None:
        """Leave nothing of the call behind, wherever it stands."""
        if self._loop.is_closed():
            return
        for task in asyncio.all_tasks(self._loop):
            task.cancel()
        try:
            self._loop.pass_time(until_ms=self._loop.now_ms + _ENDS_WITHIN_MS, enough=self._nothing_left)
        finally:
            self._loop.close()
            shutil.rmtree(self._folder, ignore_errors=True)

    def _nothing_left(self) -> bool:
        return not asyncio.all_tasks(self._loop)

    def __enter__(self) -> Self:
        """Give the call; at the end of the block it is over, and has to replay."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, raised: BaseException | None, where: TracebackType | None
    ) -> None:
        """End the call."""
        if kind is None:
            self.assert_replays()
        else:
            self.close()

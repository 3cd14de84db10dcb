"""A scripted call: a conversation of minutes, played against the core in milliseconds, with no event loop.

The world around the core is simulated: speech takes as long as its text, transcripts come after a moment, tools answer
after the latency a test gives them, and everything that happens is an event at a virtual millisecond.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping

from pydantic import JsonValue

from voiceagent.core import effects as fx
from voiceagent.core import events as ev
from voiceagent.core.codec import encode_outgoing
from voiceagent.core.conversation import Conversation
from voiceagent.core.ids import CallId, LegId, UtteranceId
from voiceagent.core.state import Inherited
from voiceagent.errors import ScriptError
from voiceagent.ports import ReplyModel
from voiceagent.runtime.sealed_events import sealed
from voiceagent.spec.flow import Flow
from voiceagent.testing.agent_voice import AgentVoice
from voiceagent.testing.call_record import CallRecord, RecordEntry, Watch, has
from voiceagent.testing.caller_voice import NOTICED_AFTER_MS, OVER_AFTER_MS, Breath, CallerVoice
from voiceagent.testing.schedule import Pending, Schedule, Swap
from voiceagent.testing.scripted_model import ModelOfScript
from voiceagent.testing.simulated_world import Faults, ScriptedTool, SimulatedWorld, Timing
from voiceagent.testing.virtual_loop import TimeStandsStill
from voiceagent.tools.vault import Vault

__all__ = ["STARTS_UNIX_MS", "ScriptedCall"]

STARTS_UNIX_MS = 1_764_000_000_000
"""A fixed wall clock (2025-11-24, 16:00 UTC), so that two runs are the same."""

_BETWEEN_PARTIALS_MS = 400
_AT_MOST_MS = 120_000
_MOST_AT_ONCE = 10_000
"""At one instant; the busiest instant of a call takes a few dozen."""


class ScriptedCall:
    """One simulated call. Say, press, wait; then look at what the agent said and did."""

    def __init__(
        self,
        flow: Flow,
        *,
        model: ModelOfScript | ReplyModel,
        tools: Mapping[str, ScriptedTool] | None = None,
        timing: Timing | None = None,
        inherited: Inherited | None = None,
        faults: Faults | None = None,
        schedule: Schedule | None = None,
        watch: Watch | None = None,
    ) -> None:
        """Prepare a call to a flow; `schedule` decides what overtakes what, by default nothing does.

        `watch` is told of every step.
        """
        self.flow = flow
        self.inherited = inherited or Inherited(CallId("scripted"))
        self.conversation = Conversation(flow, self.inherited)
        self.schedule = schedule or Schedule()
        self.caller = CallerVoice()
        """When the caller's voice was on."""
        self.record = CallRecord()
        """Everything that has happened, and what can be asked about it."""
        self._pending = Pending(self.schedule)
        self.world = SimulatedWorld(
            self._pending,
            self.schedule,
            flow,
            self.conversation.state.language,
            model,
            dict(tools or {}),
            timing or Timing(),
            faults or Faults(),
        )
        """Everything but the core; its timing, its model and what it knows may be changed in mid-call."""
        self._utterances = itertools.count(1)
        self._at_once = 0
        """How much has been handled at the present instant."""
        self._watch = watch
        self._legs = itertools.count(1)
        self._leg = self._connected_as()
        self._lost_ms = 0
        self._back_after_ms: int | None = None
        """When a connection that breaks by plan is there again."""

    @property
    def now_ms(self) -> int:
        """The virtual instant."""
        return self.world.now_ms

    @property
    def tool_runs(self) -> list[tuple[str, dict[str, JsonValue]]]:
        """Every tool and fetch that really ran, with its arguments, secrets as handles."""
        return self.world.tool_runs

    @property
    def vault(self) -> Vault:
        """Where the caller's secrets are."""
        return self.world.vault

    @property
    def voice(self) -> AgentVoice:
        """What the caller hears, to the word."""
        return self.world.loudspeaker.voice

    @property
    def deviations(self) -> list[Swap]:
        """What has overtaken what so far."""
        return self.schedule.taken

    # --- what the caller does ---

    def start(
        self,
        *,
        caller_number: str = "+15550100",
        time_zone: str = "UTC",
        unix_ms: int = STARTS_UNIX_MS,
        outbound: bool = False,
        then_wait: bool = True,
    ) -> ScriptedCall:
        """The call comes in, or is answered that we have placed; returns when the agent has said its first words."""
        self._post(
            0,
            ev.CallStarted(
                locale=self.flow.locale,
                time_zone=time_zone,
                unix_ms=unix_ms,
                caller_number=caller_number,
                outbound=outbound,
            ),
        )
        self._post(0, ev.LegAttached(self._leg, "script"))
        return self.until_quiet() if then_wait else self

    def says(self, text: str, *, lasting_ms: int | None = None, then_wait: bool = True) -> ScriptedCall:
        """The caller says this from now on; returns when the agent has answered and nothing is under way.

        An ellipsis (…) in it is a pause to breathe.
        """
        breaths = self.caller.says(text, self.now_ms, lasting_ms=lasting_ms)
        for breath in breaths:
            self._utter(breath)
        return self.until_quiet() if then_wait else self.run_until(breaths[-1].ends_ms)

    def coughs(self) -> ScriptedCall:
        """A short noise without words."""
        return self.says("", lasting_ms=200, then_wait=False)

    def presses(self, keys: str, *, every_ms: int = 200, then_wait: bool = True) -> ScriptedCall:
        """The caller presses keys, one after the other."""
        for number, key in enumerate(keys):
            self.run_ms(every_ms if number else 0)
            self._post(0, ev.DigitsPressed(key))
        self.caller.pressed(self.now_ms)
        self.run_ms(every_ms)
        return self.until_quiet() if then_wait else self

    def hangs_up(self) -> ScriptedCall:
        """The caller is gone, from one moment to the next."""
        self._post(0, ev.LegLost(self._leg, "caller hung up"))
        return self.run_ms(1 + self.schedule.window_ms)

    def loses_connection(self) -> ScriptedCall:
        """The connection breaks: nobody has hung up."""
        self._post(0, ev.LegLost(self._leg, "connection lost", may_return=True))
        return self.run_ms(1 + self.schedule.window_ms)

    def connects_again(self, *, then_wait: bool = True) -> ScriptedCall:
        """The carrier connects the call once more; returns when the agent has said what it has to say.

        Another session goes on: whatever was under way in the one before is gone, as if its server had been killed.
        """
        self._connect_again(self.now_ms - self._lost_ms, in_ms=0)
        return self.until_quiet() if then_wait else self.run_ms(1 + self.schedule.window_ms)

    def host_says(self, name: str, *, then_wait: bool = True) -> ScriptedCall:
        """The host application sends a named event."""
        self._post(0, ev.HostEvent(name))
        return self.until_quiet() if then_wait else self

    def happens(self, event: ev.Event) -> ScriptedCall:
        """Anything else happens, now: for what a script has no words for."""
        self._post(0, event)
        return self.run_ms(0)

    # --- time ---

    def run_ms(self, ms: int) -> ScriptedCall:
        """Let this much time pass."""
        return self.run_until(self.now_ms + ms)

    def run_until(self, end_ms: int) -> ScriptedCall:
        """Let time pass up to this instant."""
        while self._step(end_ms):
            pass
        self.world.now_ms = max(self.now_ms, end_ms)
        return self

    def until_quiet(self, at_most_ms: int = _AT_MOST_MS) -> ScriptedCall:
        """Let time pass until the agent has said everything and nothing is being worked on, or the call is over."""
        end_ms = self.now_ms + at_most_ms
        while not self.ended and (self._pending or self._busy()):
            if not self._step(end_ms):
                break
        return self

    def until(self, event: type[ev.Event | fx.Effect], at_most_ms: int = _AT_MOST_MS) -> ScriptedCall:
        """Let time pass until an event or effect of this class has come by; ScriptError if it never does."""
        end_ms = self.now_ms + at_most_ms
        while self._step(end_ms):
            if has(self.journal[-1], event):
                return self
        raise ScriptError(f"{event.__name__} did not come within {at_most_ms} ms\n{self.record.timeline()}")

    def until_heard(self, phrase: str, at_most_ms: int = _AT_MOST_MS) -> ScriptedCall:
        """Let time pass until the last sound of these words of the agent; ScriptError if it never says them."""
        from_ms = self.now_ms
        return self._until_known(
            lambda: self.voice.end_of(phrase, from_ms), f"the agent did not say {phrase!r}", at_most_ms
        )

    def until_speaking(self, for_ms: int, *, filler: bool = False, at_most_ms: int = _AT_MOST_MS) -> ScriptedCall:
        """Let time pass until the agent has been heard for so long, with a filler or with anything else."""
        from_ms = self.now_ms
        return self._until_known(
            lambda: self.voice.heard_for(for_ms, from_ms, filler=filler),
            f"the agent said no {'filler' if filler else 'answer'}",
            at_most_ms,
        )

    def until_tool(self, tool: str, at_most_ms: int = _AT_MOST_MS) -> ScriptedCall:
        """Let time pass until this tool is started for the model; ScriptError if it never is."""
        seen = len(self.journal)
        return self._until_known(
            lambda: self.record.tool_started_since(seen, tool), f"the tool {tool!r} was not started", at_most_ms
        )

    def _until_known(self, known: Callable[[], int | None], otherwise: str, at_most_ms: int) -> ScriptedCall:
        """Let time pass until an instant is known, then up to it; ScriptError where that never comes."""
        end_ms = self.now_ms + at_most_ms
        while True:
            at_ms = known()
            # What is known may be dropped before it comes: it is looked at again after every event.
            if at_ms is not None and not self._step(at_ms):
                self.world.now_ms = max(self.now_ms, at_ms)
                return self
            if at_ms is None and ((not self._pending and not self._busy()) or not self._step(end_ms)):
                raise ScriptError(otherwise)

    # --- what came of it ---

    @property
    def ended(self) -> bool:
        """Whether the call is over."""
        return self.conversation.state.ended

    @property
    def phase(self) -> str:
        """The current phase."""
        return self.conversation.phase

    @property
    def journal(self) -> list[RecordEntry]:
        """Every instant, what happened at it, and what was done about it."""
        return self.record.entries

    @property
    def facts(self) -> dict[str, JsonValue]:
        """The facts that are known."""
        return self.conversation.state.facts.known()

    @property
    def heard(self) -> list[str]:
        """What the caller has heard of the agent, fillers left out."""
        return [m.text for m in self.conversation.transcript.messages() if m.role == "agent"]

    def ran(self, tool: str) -> int:
        """How often a tool really ran, prefetches included."""
        return sum(1 for name, _ in self.tool_runs if name == tool)

    def replay_difference(self) -> str | None:
        """Feed the events to a fresh conversation; returns the first that has other effects, byte for byte, if any."""
        again = Conversation(self.flow, self.inherited)
        for number, (now_ms, event, outgoing) in enumerate(self.journal):
            got = [encode_outgoing(out) for out in again.handle(event, now_ms)]
            if got != [encode_outgoing(out) for out in outgoing]:
                return f"event {number} at {now_ms} ms: {event}"
        return None

    def assert_replays(self) -> None:
        """Feed the events to a fresh conversation and see the same effects come out, byte for byte."""
        difference = self.replay_difference()
        assert difference is None, difference

    def close(self) -> None:
        """Nothing of a call on the core is left anywhere."""

    # --- the loop ---

    def _busy(self) -> bool:
        return self.world.loudspeaker.is_busy or self.conversation.is_working

    def _connect_again(self, gap_ms: int, *, in_ms: int) -> None:
        self._post(in_ms, ev.CallResumed(gap_ms))
        self._post(in_ms, ev.LegAttached(self._connected_as(), "script"))

    def _connected_as(self) -> LegId:
        self._leg = LegId(f"leg{next(self._legs)}")
        return self._leg

    def _utter(self, breath: Breath) -> None:
        """Let the caller's voice be on for so long, with its words understood bit by bit."""
        utterance = UtteranceId(f"c{next(self._utterances)}")
        self.world.words[utterance] = breath.words
        number, faults = len(self.world.words), self.world.faults
        if number in faults.voice_missed:
            return
        in_ms, takes_ms = breath.begins_ms - self.now_ms, breath.lasting_ms
        late_ms = takes_ms // 2 if number in faults.voice_late else 0
        noticed = ev.CallerStartedSpeaking(utterance, breath.begins_ms + late_ms)
        self._post(in_ms + late_ms + NOTICED_AFTER_MS, noticed)
        lag_ms = self.world.timing.partial_ms
        for at_ms in range(late_ms + _BETWEEN_PARTIALS_MS, takes_ms - lag_ms, _BETWEEN_PARTIALS_MS):
            so_far = breath.words[: len(breath.words) * at_ms // takes_ms].rpartition(" ")[0]
            if so_far:
                self._post(in_ms + at_ms + lag_ms, ev.TranscriptPartial(utterance, so_far))
        self._post(in_ms + takes_ms + OVER_AFTER_MS, ev.CallerPaused(utterance, breath.ends_ms))

    def _post(self, in_ms: int, event: ev.Event) -> None:
        self._pending.add(self.now_ms + in_ms, event)

    def _step(self, end_ms: int) -> bool:
        """Handle what comes next, event or deadline, if it comes by then."""
        if self.ended:
            return False
        coming = self._pending.next(self.conversation.deadline_ms, end_ms)
        if coming is None:
            return False
        at_ms, event = coming
        world = self.world
        self._at_once = self._at_once + 1 if at_ms <= world.now_ms else 0
        if self._at_once > _MOST_AT_ONCE:
            raise TimeStandsStill(f"at {world.now_ms} ms {_MOST_AT_ONCE} events took no time, the last of them {event}")
        world.now_ms = max(at_ms, world.now_ms)  # what was overtaken comes late
        if not self._comes(event):
            return True
        if isinstance(event, ev.PlayoutReached):
            world.loudspeaker.reached(event.utterance, event.clause)
        event = sealed(event, self.conversation, world.vault)
        outgoing = self.conversation.handle(event, world.now_ms)
        self.journal.append((world.now_ms, event, outgoing))
        for out in outgoing:
            world.perform(out.effect)
        self._line_after(event)
        if self._watch is not None:
            self._watch(world.now_ms, event, outgoing)
        return True

    def _comes(self, event: ev.Event) -> bool:
        """Whether what was on its way happens: some of it was called off, and with a broken line little does."""
        if not self.world.still_comes(event):
            return False
        return not self.conversation.state.suspended or self.world.comes_without_a_line(event)

    def _line_after(self, event: ev.Event) -> None:
        match event:
            case ev.LegLost() if self.conversation.state.suspended:
                self._lost_ms = self.now_ms
                self.world.line_breaks()
                if self._back_after_ms is not None:
                    self._connect_again(self._back_after_ms, in_ms=self._back_after_ms)
                    self._back_after_ms = None
            case ev.CallResumed():
                self._pending.leave_only(ev.LegAttached)
            case _:
                pass
        faults, number = self.world.faults, len(self.journal)
        if number in faults.line_lost:
            self._post(0, ev.LegLost(self._leg, "connection lost"))
        for gap_ms in (gap_ms for after, gap_ms in faults.line_breaks if after == number):
            self._back_after_ms = gap_ms
            self._post(0, ev.LegLost(self._leg, "connection lost", may_return=True))

"""The simulated world of a scripted call: an ear, a model, tools and a loudspeaker that take as long as real ones.

It performs what the core asks for by letting it happen later: every outcome is an event at a virtual millisecond.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal, cast

from pydantic import JsonValue

from voiceagent.core import effects as fx
from voiceagent.core import events as ev
from voiceagent.core.arguments import parsed_arguments
from voiceagent.core.ids import ReplyId, ToolCallId, UtteranceId
from voiceagent.core.sealing import handles_in
from voiceagent.core.tool_calls import OUTCOME_UNKNOWN
from voiceagent.errors import ScriptError, ToolFailed, VoiceFailed, nearest
from voiceagent.language import Language
from voiceagent.ports import ReplyDone, ReplyModel, SentText, ToolRequest
from voiceagent.spec.flow import Flow
from voiceagent.spec.tool import Tool
from voiceagent.testing.agent_voice import ends_by_letters
from voiceagent.testing.loudspeaker import Loudspeaker
from voiceagent.testing.schedule import Pending, Schedule, label_of
from voiceagent.testing.scripted_model import ModelOfScript, pieces_of
from voiceagent.tools.vault import Vault

_TIMED_OUT = "it took too long"
_UNKNOWN = "it is not known whether it was done: do not try again, and tell the caller so"

__all__ = ["LATE_MS", "After", "Faults", "ScriptedTool", "SimulatedWorld", "Timing"]

LATE_MS = 4_500
"""How late a fault makes an answer: beyond what a call waits for words, and within what it waits for a model."""
_AGAIN_MS = 300


@dataclass(frozen=True, slots=True)
class Timing:
    """How long the simulated world takes, in milliseconds."""

    transcript_ms: int = 150
    """From the end of the caller's words to their transcript."""
    partial_ms: int = 250
    """How far a partial transcript lags behind the voice."""
    first_token_ms: int = 200
    token_ms: int = 20
    """From one clause of a reply to the next."""
    synthesis_ms: int = 60
    """From the words of a clause to its first sound."""
    swap_ms: int = 5


@dataclass(frozen=True, slots=True)
class After:
    """A tool's answer and how long it takes; an exception of type ToolFailed is a failure of this kind."""

    ms: int
    result: JsonValue | ToolFailed
    kind: Literal["failed", "timed_out", "crashed", "unknown"] = "failed"

    @classmethod
    def given_up(cls, tool: Tool, after_ms: int) -> After:
        """Return what the executor says of a tool that has not answered by then."""
        if tool.effect == "read":
            return cls(after_ms, ToolFailed(_TIMED_OUT), "timed_out")
        return cls(after_ms, ToolFailed(_UNKNOWN), "unknown")


ScriptedTool = JsonValue | After | Callable[[Mapping[str, JsonValue]], "JsonValue | After"]
"""What a tool answers: always the same, after a while, or depending on its arguments."""


@dataclass(frozen=True, slots=True)
class Faults:
    """What goes wrong in the simulated world, by number: the second reply, the first phase change…, from 1."""

    model_fails: Sequence[int] = ()
    """These replies fail before their first word."""
    model_breaks_off: Sequence[int] = ()
    """These replies fail after their first clause."""
    model_stalls: Sequence[int] = ()
    """These replies never begin."""
    transcript_fails: Sequence[int] = ()
    """The recognizer cannot say what these utterances of the caller were."""
    transcript_stalls: Sequence[int] = ()
    """The recognizer never answers about these utterances."""
    synthesis_fails: Sequence[int] = ()
    """These clauses of the agent's cannot be made into speech."""
    swap_fails: Sequence[int] = ()
    """The voice does not take over the prompt and tools of these phases: the first one entered is 1."""
    model_late: Sequence[int] = ()
    """These replies begin late."""
    transcript_late: Sequence[int] = ()
    """What these utterances were is known late."""
    transcript_twice: Sequence[int] = ()
    """The words of these utterances come a second time."""
    voice_missed: Sequence[int] = ()
    """The voice detector does not notice these utterances of the caller."""
    voice_late: Sequence[int] = ()
    """The voice detector notices only the second half of these utterances."""
    line_lost: Sequence[int] = ()
    """The caller is gone after this many events."""
    line_breaks: Sequence[tuple[int, int]] = ()
    """After so many events the connection breaks, and after so many ms the carrier connects the call again."""
    marks_lost: Sequence[int] = ()
    """The carrier does not say that these marks were heard."""
    marks_late: Sequence[int] = ()
    """The carrier says late that these marks were heard."""
    marks_twice: Sequence[int] = ()
    """The carrier says twice that these marks were heard."""
    disk_slow: Sequence[int] = ()
    """The disk takes its time for these writes to be safe."""
    disk_full: Sequence[int] = ()
    """The disk takes nothing any more from these writes on."""


@dataclass
class SimulatedWorld:
    """The far side of one call, and everything between it and the core."""

    pending: Pending
    schedule: Schedule
    flow: Flow
    language: Language
    model: ModelOfScript | ReplyModel
    tools: Mapping[str, ScriptedTool]
    timing: Timing
    faults: Faults
    vault: Vault = field(default_factory=Vault)
    loudspeaker: Loudspeaker = field(default_factory=Loudspeaker)
    tool_runs: list[tuple[str, dict[str, JsonValue]]] = field(default_factory=list[tuple[str, dict[str, JsonValue]]])
    words: dict[UtteranceId, str] = field(default_factory=dict[UtteranceId, str])
    """What the caller says in each of their utterances."""
    now_ms: int = 0
    _writes: dict[ToolCallId, None] = field(default_factory=dict[ToolCallId, None])
    _stopped: dict[UtteranceId, None] = field(default_factory=dict[UtteranceId, None])
    _replies: int = 0
    _clauses: int = 0
    _swaps: int = 0
    _cancelled: dict[ReplyId | ToolCallId, None] = field(default_factory=dict[ReplyId | ToolCallId, None])

    def perform(self, effect: fx.Effect) -> None:
        """Do what the core asks for; what comes of it is pending."""
        match effect:
            case fx.SwapPhase(epoch=epoch):
                self._swaps += 1
                failed = self._swaps in self.faults.swap_fails
                swapped = ev.SwapFailed(epoch, "simulated fault") if failed else ev.PhaseSwapped(epoch)
                self._post(self.timing.swap_ms, swapped)
            case fx.Speak():
                self._speak(effect)
            case fx.StopPlayout():
                for utterance, heard_ms in self.loudspeaker.stop(self.now_ms).items():
                    self._stopped[utterance] = None
                    self._post(1, ev.PlayoutStopped(utterance, heard_ms, exact=True))
            case fx.Transcribe(utterance=utterance):
                self._transcribe(utterance)
            case fx.AskModel():
                self._reply(effect)
            case fx.CancelReply(reply=reply):
                self._call_off(reply, f"reply {reply}")
            case fx.CancelTool(call=call):
                self._call_off(call, f"tool {call}")
            case fx.StartTool() | fx.Fetch():
                self._run(effect)
            case fx.Reconcile(call=call):
                self._post(1, ev.ToolFailed(call, "unknown", OUTCOME_UNKNOWN))
            case fx.ForgetSealed(handles=handles):
                self.vault.forget(handles)
            case _:
                self._end(effect)

    def still_comes(self, event: ev.Event) -> bool:
        """Whether something that was on its way comes, whatever has been called off since."""
        match event:
            case ev.ReplyStarted(called_off) | ev.ReplyText(called_off) | ev.ToolRequested(called_off):
                return self._comes(called_off, event)
            case ev.ReplyFinished(called_off) | ev.ReplyFailed(called_off):
                return self._comes(called_off, event)
            case ev.ToolFinished(called_off) | ev.ToolFailed(called_off):
                return self._comes(called_off, event)
            case ev.PlayoutStarted(utterance):
                return self.loudspeaker.is_playing(utterance)
            case ev.PlayoutReached(utterance, clause):
                return self.loudspeaker.is_queued(utterance, clause)
            case _:
                return True

    def comes_without_a_line(self, event: ev.Event) -> bool:
        """Whether something comes although nobody is connected: what has become of a write, and the caller."""
        match event:
            case ev.ToolFinished(call) | ev.ToolFailed(call):
                return call in self._writes
            case ev.CallResumed() | ev.LegAttached():
                return True
            case _:
                return False

    def line_breaks(self) -> None:
        """The connection is gone: nothing more is heard."""
        for utterance in self.loudspeaker.stop(self.now_ms):
            self._stopped[utterance] = None

    def _call_off(self, called_off: ReplyId | ToolCallId, source: str) -> None:
        # What is under way between two threads at that moment cannot be taken back.
        self.pending.drop(source, self.now_ms + self.schedule.window_ms)
        self._cancelled[called_off] = None

    def _comes(self, called_off: ReplyId | ToolCallId, event: ev.Event) -> bool:
        return called_off not in self._cancelled or (
            self.schedule.window_ms > 0 and self.schedule.lets_through(label_of(event))
        )

    def _post(self, in_ms: int, event: ev.Event) -> None:
        self.pending.add(self.now_ms + in_ms, event)

    # --- ear ---

    def _transcribe(self, utterance: UtteranceId) -> None:
        number = list(self.words).index(utterance) + 1 if utterance in self.words else 0
        if number in self.faults.transcript_stalls:
            return
        if number in self.faults.transcript_fails:
            self._post(self.timing.transcript_ms, ev.TranscriptFailed(utterance, "simulated fault"))
            return
        in_ms = self.timing.transcript_ms + (LATE_MS if number in self.faults.transcript_late else 0)
        final = ev.TranscriptFinal(utterance, self.words.get(utterance, ""))
        self._post(in_ms, final)
        if number in self.faults.transcript_twice:
            self._post(in_ms + _AGAIN_MS, final)

    # --- loudspeaker ---

    def _speak(self, speak: fx.Speak) -> None:
        if not speak.text and speak.utterance in self._stopped:
            return  # its end was told: no leg says of what was stopped that it was heard to its end
        self._clauses += bool(speak.text)
        failed = bool(speak.text) and self._clauses in self.faults.synthesis_fails
        text = "" if failed else speak.text
        first_ms = self.now_ms + (self.timing.synthesis_ms if text else 0)
        clause = self.loudspeaker.queue(speak, text, first_ms)
        in_ms = clause.starts_ms - self.now_ms
        if failed:
            fault = ev.SpeechFailed(speak.utterance, speak.clause, "simulated fault")
            self._post(self.timing.synthesis_ms, fault)
        elif text:
            queued = ev.SpeechQueued(
                speak.utterance, speak.clause, clause.length_ms, ends_by_letters(text, clause.length_ms)
            )
            self._post(min(in_ms, self.timing.synthesis_ms), queued)
            self._post(in_ms, ev.PlayoutStarted(speak.utterance, clause.starts_ms))
        heard_ms = clause.before_ms + clause.length_ms
        reached = ev.PlayoutReached(speak.utterance, speak.clause, heard_ms, finished=speak.last)
        self._post(in_ms + clause.length_ms, reached)

    # --- model ---

    def _reply(self, ask: fx.AskModel) -> None:
        """Let a reply come, or fail, as the cascade does it."""
        self._replies += 1
        if self._replies in self.faults.model_stalls:
            return
        in_ms = self.timing.first_token_ms + (LATE_MS if self._replies in self.faults.model_late else 0)
        self._post(in_ms, ev.ReplyStarted(ask.reply, ask.request.epoch))
        end: ev.Event = ev.ReplyFailed(ask.reply, "the model broke off")
        try:
            for event in self._reply_events(ask):
                if isinstance(event, ev.ReplyFinished):
                    end = event
                    break
                in_ms += self.timing.token_ms if isinstance(event, ev.ReplyText) else 0
                self._post(in_ms, event)
                if self._replies in self.faults.model_breaks_off and isinstance(event, ev.ReplyText):
                    break
        except VoiceFailed as exc:
            end = ev.ReplyFailed(ask.reply, str(exc))
        self._post(in_ms, end)

    def _reply_events(self, ask: fx.AskModel) -> Iterator[ev.ReplyText | ev.ToolRequested | ev.ReplyFinished]:
        """Yield what a reply consists of, its text clause by clause. Raises VoiceFailed where the model fails."""
        if self._replies in self.faults.model_fails:
            raise VoiceFailed("simulated fault")
        splitter = self.language.clause_splitter()
        for piece in pieces_of(self.model, ask.request):
            match piece:
                case SentText(text):
                    yield from (ev.ReplyText(ask.reply, clause) for clause in splitter.feed(text))
                case ToolRequest(request, name, arguments):
                    parsed, problem = parsed_arguments(arguments)
                    yield ev.ToolRequested(ask.reply, request, name, parsed, problem)
                case ReplyDone(asks, read, written, understood, cached):
                    yield from (ev.ReplyText(ask.reply, clause) for clause in splitter.flush())
                    yield ev.ReplyFinished(ask.reply, asks, read, written, understood, cached)

    # --- tools ---

    def _run(self, effect: fx.StartTool | fx.Fetch) -> None:
        if isinstance(effect, fx.StartTool) and self._declared[effect.tool].effect != "read":
            self._writes[effect.call] = None
        answer = self._in_time(effect, self._answer(effect.tool, effect.arguments))
        match effect:
            case fx.StartTool(call=call) if isinstance(answer.result, ToolFailed):
                self._post(answer.ms, ev.ToolFailed(call, answer.kind, str(answer.result)))
            case fx.StartTool(call=call):
                self._post(answer.ms, ev.ToolFinished(call, cast("JsonValue", answer.result)))
            case fx.Fetch(fetch=fetch) if isinstance(answer.result, ToolFailed):
                self._post(answer.ms, ev.PrefetchFailed(fetch, str(answer.result)))
            case fx.Fetch(fetch=fetch):
                self._post(answer.ms, ev.PrefetchFinished(fetch, cast("JsonValue", answer.result)))

    def _in_time(self, effect: fx.StartTool | fx.Fetch, answer: After) -> After:
        """Return the answer, or that of the executor, who waits for a tool for so long and no longer."""
        tool = self._declared[effect.tool]
        limit_ms = tool.timeout_ms
        if isinstance(effect, fx.Fetch):
            limit_ms = min(limit_ms, effect.deadline_ms - self.now_ms)
        return answer if answer.ms <= limit_ms else After.given_up(tool, limit_ms)

    @cached_property
    def _declared(self) -> Mapping[str, Tool]:
        flow = self.flow
        tools = [tool for phase in flow.phases for tool in flow.tools_of(phase)]
        edges = [edge for phase in flow.phases for edge in flow.transitions_of(phase)]
        tools += [prefetch.tool for edge in edges for prefetch in edge.prefetch]
        return {tool.name: tool for tool in tools}

    def _answer(self, tool: str, arguments: Mapping[str, JsonValue]) -> After:
        self.tool_runs.append((tool, dict(arguments)))
        if tool not in self.tools:
            raise ScriptError(f"the script has no answer for the tool {tool!r}{nearest(tool, self.tools)}")
        answer = self.tools[tool]
        if callable(answer):
            try:
                answer = answer({name: self._opened(value) for name, value in arguments.items()})
            except ToolFailed as exc:
                answer = After(0, exc)
        return answer if isinstance(answer, After) else After(100, answer)

    def _opened(self, value: JsonValue) -> JsonValue:
        return self.vault.resolve(value) if isinstance(value, str) and handles_in(value) else value

    # --- the end ---

    def _end(self, effect: fx.Effect) -> None:
        match effect:
            case fx.HangUp(reason=reason, drain=drain):
                self._post(self.loudspeaker.left_to_hear_ms(self.now_ms) if drain else 0, ev.CallEnded(reason))
            case fx.Transfer(target=target):
                self._post(self.loudspeaker.left_to_hear_ms(self.now_ms), ev.CallEnded(f"transferred to {target}"))
            case _:
                pass  # for the record only

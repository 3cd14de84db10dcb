"""A scripted call: a conversation of minutes, played against the core in milliseconds, with no event loop.

The world around the core is simulated: speech takes as long as its text, transcripts come after a moment, tools answer
after the latency a test gives them, and everything that happens is an event at a virtual millisecond.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeVar, cast

from pydantic import JsonValue

from voiceagent.core import effects as fx
from voiceagent.core import events as ev
from voiceagent.core.arguments import parsed_arguments
from voiceagent.core.codec import encode_outgoing
from voiceagent.core.conversation import Conversation
from voiceagent.core.ids import CallId, LegId, ReplyId, ToolCallId, UtteranceId
from voiceagent.core.sealing import handles_in
from voiceagent.core.state import Inherited
from voiceagent.errors import ScriptError, ToolFailed
from voiceagent.ports import ReplyDone, ReplyModel, ReplyPiece, SentText, ToolRequest
from voiceagent.spec.flow import Flow
from voiceagent.tools.vault import Vault

__all__ = ["After", "ScriptedCall", "ScriptedModel", "ScriptedTool", "Timing", "ask_for", "say"]

_EffectT = TypeVar("_EffectT")
_MS_PER_CHARACTER = 65
_UNIX_MS = 1_764_000_000_000
"""A fixed wall clock, so that two runs are the same."""


@dataclass(frozen=True, slots=True)
class Timing:
    """How long the simulated world takes, in milliseconds."""

    transcript_ms: int = 150
    first_token_ms: int = 200
    token_ms: int = 20
    synthesis_ms: int = 60
    swap_ms: int = 5


@dataclass(frozen=True, slots=True)
class After:
    """A tool's answer and how long it takes; an exception of type ToolFailed is a failure."""

    ms: int
    result: JsonValue | ToolFailed


ScriptedTool = JsonValue | After | Callable[[Mapping[str, JsonValue]], "JsonValue | After"]
"""What a tool answers: always the same, after a while, or depending on its arguments."""


def say(text: str) -> list[ReplyPiece]:
    """A model's reply of words only."""
    return [SentText(text), ReplyDone()]


def ask_for(name: str, arguments: str = "{}", *, words: str = "", request: str | None = None) -> list[ReplyPiece]:
    """A model's reply that asks for a tool or a move; `arguments` is JSON text."""
    spoken: list[ReplyPiece] = [SentText(words)] if words else []
    return [*spoken, ToolRequest(request or f"{name}-request", name, arguments), ReplyDone()]


class ModelOfScript(Protocol):
    """What makes the replies of a script."""

    def __call__(self, request: fx.ModelRequest, /) -> Sequence[ReplyPiece]:
        """Return the pieces of one reply."""
        ...


class ScriptedModel:
    """A model that says its lines: per phase a list of replies, one after the other; the last one is repeated."""

    def __init__(self, lines: Mapping[str, Sequence[Sequence[ReplyPiece]]]) -> None:
        self._lines = lines
        self._said: dict[str, int] = {}
        self.requests: list[fx.ModelRequest] = []
        """Everything the model was shown."""

    def __call__(self, request: fx.ModelRequest, /) -> Sequence[ReplyPiece]:
        """Return the next line of this phase."""
        self.requests.append(request)
        lines = self._lines.get(request.phase)
        if not lines:
            raise ScriptError(f"the model has no line for phase {request.phase!r}")
        number = self._said.get(request.phase, 0)
        self._said[request.phase] = number + 1
        pieces = lines[min(number, len(lines) - 1)]
        # Two requests of one reply must not share an id, nor may the same line said twice.
        return [
            ToolRequest(f"{piece.request}-{len(self.requests)}", piece.name, piece.arguments)
            if isinstance(piece, ToolRequest)
            else piece
            for piece in pieces
        ]


def _driven(model: ReplyModel, request: fx.ModelRequest) -> Iterator[ReplyPiece]:
    """Run a model that never really waits, such as the guided one, without an event loop."""
    pieces: AsyncIterator[ReplyPiece] = model.reply(request)
    while True:
        step = anext(pieces)
        try:
            step.__await__().__next__()
        except StopIteration as done:
            yield done.value
        except StopAsyncIteration:
            return
        else:
            raise ScriptError("a model that waits for something cannot be driven without an event loop")


@dataclass(slots=True)
class _Playing:
    utterance: UtteranceId
    clause: int
    starts_ms: int
    ends_ms: int
    last: bool
    offset_ms: int
    """How much of the utterance comes before this clause."""


@dataclass(slots=True)
class _World:
    """The far side: what is queued to be heard."""

    queue: list[_Playing] = field(default_factory=list[_Playing])
    free_ms: int = 0
    heard_ms: dict[UtteranceId, int] = field(default_factory=dict[UtteranceId, int])
    length_ms: dict[UtteranceId, int] = field(default_factory=dict[UtteranceId, int])


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
    ) -> None:
        self.flow = flow
        self.inherited = inherited or Inherited(CallId("scripted"))
        self.conversation = Conversation(flow, self.inherited)
        self.now_ms = 0
        self.journal: list[tuple[int, ev.Event, tuple[fx.Outgoing, ...]]] = []
        self.tool_runs: list[tuple[str, dict[str, JsonValue]]] = []
        """Every tool and fetch that really ran, with its arguments, secrets as handles."""
        self.vault = Vault()
        self._model = model
        self._tools = dict(tools or {})
        self._timing = timing or Timing()
        self._heap: list[tuple[int, int, ev.Event]] = []
        self._order = itertools.count()
        self._utterances = itertools.count(1)
        self._texts: dict[UtteranceId, str] = {}
        self._cancelled: set[ReplyId | ToolCallId] = set()
        self._world = _World()

    # --- what the caller does ---

    def start(self) -> ScriptedCall:
        """The call comes in; returns when the agent has said its first words, or waits."""
        self._post(
            0, ev.CallStarted(locale=self.flow.locale, time_zone="UTC", unix_ms=_UNIX_MS, caller_number="+15550100")
        )
        self._post(0, ev.LegAttached(LegId("leg1"), "script"))
        return self.until_quiet()

    def says(self, text: str, *, lasting_ms: int | None = None, then_wait: bool = True) -> ScriptedCall:
        """The caller says this from now on; returns when the agent has answered and nothing is under way."""
        utterance = UtteranceId(f"c{next(self._utterances)}")
        lasting_ms = lasting_ms if lasting_ms is not None else max(300, len(text) * _MS_PER_CHARACTER)
        self._texts[utterance] = text
        self._post(0, ev.CallerStartedSpeaking(utterance, self.now_ms))
        self._post(lasting_ms, ev.CallerPaused(utterance, self.now_ms + lasting_ms))
        return self.until_quiet() if then_wait else self.run_ms(lasting_ms)

    def coughs(self) -> ScriptedCall:
        """A short noise without words."""
        return self.says("", lasting_ms=200, then_wait=False)

    def presses(self, keys: str, *, every_ms: int = 200, then_wait: bool = True) -> ScriptedCall:
        """The caller presses keys, one after the other."""
        for key in keys:
            self._edge_key(key)
            self.run_ms(every_ms)
        return self.until_quiet() if then_wait else self

    def hangs_up(self) -> ScriptedCall:
        """The caller is gone, from one moment to the next."""
        self._post(0, ev.LegLost(LegId("leg1"), "caller hung up"))
        return self.run_ms(1)

    def host_says(self, name: str) -> ScriptedCall:
        """The host application sends a named event."""
        self._post(0, ev.HostEvent(name))
        return self.until_quiet()

    def happens(self, event: ev.Event) -> ScriptedCall:
        """Anything else happens, now: for what a script has no words for."""
        self._post(0, event)
        return self.run_ms(0)

    # --- time ---

    def run_ms(self, ms: int) -> ScriptedCall:
        """Let this much time pass."""
        end_ms = self.now_ms + ms
        while self._step(end_ms):
            pass
        self.now_ms = max(self.now_ms, end_ms)
        return self

    def until_quiet(self, at_most_ms: int = 120_000) -> ScriptedCall:
        """Let time pass until the agent has said everything and nothing is being worked on, or the call is over."""
        end_ms = self.now_ms + at_most_ms
        while not self.ended and (self._heap or self._busy()):
            if not self._step(end_ms):
                break
        return self

    def until(self, event: type[ev.Event | fx.Effect], at_most_ms: int = 120_000) -> ScriptedCall:
        """Let time pass until an event or effect of this class has come by; ScriptError if it never does."""
        end_ms = self.now_ms + at_most_ms
        while self._step(end_ms):
            _, seen, outgoing = self.journal[-1]
            if isinstance(seen, event) or any(isinstance(out.effect, event) for out in outgoing):
                return self
        raise ScriptError(f"{event.__name__} did not come within {at_most_ms} ms\n{self.timeline()}")

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
    def phases(self) -> list[str]:
        """Every phase entered, in order."""
        return [swap.phase for swap in self.effects(fx.SwapPhase)]

    @property
    def facts(self) -> dict[str, JsonValue]:
        """The facts that are known."""
        return self.conversation.state.facts.known()

    @property
    def heard(self) -> list[str]:
        """What the caller has heard of the agent, fillers left out."""
        return [m.text for m in self.conversation.transcript.messages() if m.role == "agent"]

    @property
    def fillers(self) -> list[str]:
        """The filler phrases, whole."""
        clauses: dict[UtteranceId, list[str]] = {}
        for speak in self.effects(fx.Speak):
            if speak.kind == "filler" and speak.text:
                clauses.setdefault(speak.utterance, []).append(speak.text)
        return [" ".join(parts) for parts in clauses.values()]

    @property
    def shown(self) -> list[fx.ModelRequest]:
        """Everything the model was shown."""
        return [ask.request for ask in self.effects(fx.AskModel)]

    def effects(self, kind: type[_EffectT]) -> list[_EffectT]:
        """Every effect of one class, in order."""
        return [out.effect for _, _, outgoing in self.journal for out in outgoing if isinstance(out.effect, kind)]

    def at(self, kind: type[ev.Event | fx.Effect]) -> list[int]:
        """The instants of every event or effect of one class."""
        return [
            now
            for now, event, outgoing in self.journal
            if isinstance(event, kind) or any(isinstance(out.effect, kind) for out in outgoing)
        ]

    def ran(self, tool: str) -> int:
        """How often a tool really ran, prefetches included."""
        return sum(1 for name, _ in self.tool_runs if name == tool)

    def timeline(self) -> str:
        """Everything that happened, one line each: what a failing test prints."""
        lines: list[str] = []
        for now, event, outgoing in self.journal:
            lines.append(f"{now:>8} {event}")
            lines += [f"{'':>8}   → {out.effect}" for out in outgoing]
        return "\n".join(lines)

    def assert_replays(self) -> None:
        """Feed the events to a fresh conversation and see the same effects come out, byte for byte."""
        again = Conversation(self.flow, self.inherited)
        for number, (now_ms, event, outgoing) in enumerate(self.journal):
            got = [encode_outgoing(out) for out in again.handle(event, now_ms)]
            assert got == [encode_outgoing(out) for out in outgoing], f"event {number} at {now_ms} ms: {event}"

    # --- the loop ---

    def _busy(self) -> bool:
        return bool(self._world.queue) or self.conversation.is_working

    def _post(self, in_ms: int, event: ev.Event) -> None:
        heapq.heappush(self._heap, (self.now_ms + in_ms, next(self._order), event))

    def _step(self, end_ms: int) -> bool:
        """Handle what comes next, event or deadline, if it comes by then."""
        deadline_ms = self.conversation.deadline_ms
        next_event_ms = self._heap[0][0] if self._heap else None
        if self.ended:
            return False
        if next_event_ms is not None and (deadline_ms is None or next_event_ms <= deadline_ms):
            if next_event_ms > end_ms:
                return False
            self.now_ms, _, event = heapq.heappop(self._heap)
        elif deadline_ms is not None and deadline_ms <= end_ms:
            self.now_ms, event = max(deadline_ms, self.now_ms), ev.TimePassed()
        else:
            return False
        self._handle(event)
        return True

    def _handle(self, event: ev.Event) -> None:
        if self._is_stale(event):
            return
        event = self._sealed(event)
        outgoing = self.conversation.handle(event, self.now_ms)
        self.journal.append((self.now_ms, event, outgoing))
        for out in outgoing:
            self._perform(out.effect)

    def _is_stale(self, event: ev.Event) -> bool:
        """Whether the simulated world would not have sent this any more."""
        match event:
            case ev.ReplyStarted(reply) | ev.ReplyText(reply) | ev.ToolRequested(reply) | ev.ReplyFinished(reply):
                return reply in self._cancelled
            case ev.ToolFinished(call) | ev.ToolFailed(call):
                return call in self._cancelled
            case ev.PlayoutStarted(utterance) | ev.PlayoutReached(utterance):
                return not any(playing.utterance == utterance for playing in self._world.queue)
            case _:
                return False

    def _sealed(self, event: ev.Event) -> ev.Event:
        """What the edge does before an event exists: take secrets out of it."""
        if isinstance(event, ev.PlayoutReached):
            self._world.queue = [
                p for p in self._world.queue if (p.utterance, p.clause) != (event.utterance, event.clause)
            ]
            self._world.heard_ms[event.utterance] = event.heard_ms
        if isinstance(event, ev.TranscriptFinal):
            sealing = self.conversation.sealing_of(event.utterance)
            if sealing is not None:
                text = self.vault.seal(event.text, self.conversation.state.language, sealing)
                return ev.TranscriptFinal(event.utterance, text, event.confidence)
        return event

    def _edge_key(self, key: str) -> None:
        sealing = self.conversation.sealing_of()
        if sealing is None or not key.isdigit():
            self._post(0, ev.DigitsPressed(key))
        else:
            handle = sealing.plan([1])[0][0][0]
            self.vault.append(handle, key)
            self._post(0, ev.DigitsPressed("•", handle))
        self.run_ms(0)

    # --- the world ---

    def _perform(self, effect: fx.Effect) -> None:
        match effect:
            case fx.SwapPhase(epoch=epoch):
                self._post(self._timing.swap_ms, ev.PhaseSwapped(epoch))
            case fx.Speak():
                self._speak(effect)
            case fx.StopPlayout():
                self._stop_playout()
            case fx.Transcribe(utterance=utterance):
                self._post(self._timing.transcript_ms, ev.TranscriptFinal(utterance, self._texts.get(utterance, "")))
            case fx.AskModel():
                self._reply(effect)
            case fx.CancelReply(reply=reply):
                self._cancelled.add(reply)
            case fx.CancelTool(call=call):
                self._cancelled.add(call)
            case fx.StartTool() | fx.Fetch():
                self._perform_tool(effect)
            case fx.ForgetSealed(handles=handles):
                self.vault.forget(handles)
            case _:
                self._perform_end(effect)

    def _perform_tool(self, effect: fx.StartTool | fx.Fetch) -> None:
        ms, result = self._run(effect.tool, effect.arguments)
        match effect:
            case fx.StartTool(call=call) if isinstance(result, ToolFailed):
                self._post(ms, ev.ToolFailed(call, "failed", str(result)))
            case fx.StartTool(call=call):
                self._post(ms, ev.ToolFinished(call, cast("JsonValue", result)))
            case fx.Fetch(fetch=fetch) if isinstance(result, ToolFailed):
                self._post(ms, ev.PrefetchFailed(fetch, str(result)))
            case fx.Fetch(fetch=fetch):
                self._post(ms, ev.PrefetchFinished(fetch, cast("JsonValue", result)))

    def _perform_end(self, effect: fx.Effect) -> None:
        match effect:
            case fx.HangUp(reason=reason, drain=drain):
                self._post(self._left_to_hear_ms() if drain else 0, ev.CallEnded(reason))
            case fx.Transfer(target=target):
                self._post(self._left_to_hear_ms(), ev.CallEnded(f"transferred to {target}"))
            case _:
                pass  # for the record only

    def _left_to_hear_ms(self) -> int:
        return max(0, self._world.free_ms - self.now_ms)

    def _speak(self, speak: fx.Speak) -> None:
        duration_ms = len(speak.text) * _MS_PER_CHARACTER
        world = self._world
        before_ms = world.length_ms.get(speak.utterance, 0)
        starts_ms = max(self.now_ms + (self._timing.synthesis_ms if speak.text else 0), world.free_ms)
        ends_ms = starts_ms + duration_ms
        world.free_ms = ends_ms
        world.length_ms[speak.utterance] = before_ms + duration_ms
        world.queue.append(_Playing(speak.utterance, speak.clause, starts_ms, ends_ms, speak.last, before_ms))
        in_ms = starts_ms - self.now_ms
        if speak.text:
            self._post(
                min(in_ms, self._timing.synthesis_ms), ev.SpeechQueued(speak.utterance, speak.clause, duration_ms)
            )
            self._post(in_ms, ev.PlayoutStarted(speak.utterance, starts_ms))
        reached = ev.PlayoutReached(speak.utterance, speak.clause, before_ms + duration_ms, finished=speak.last)
        self._post(in_ms + duration_ms, reached)

    def _stop_playout(self) -> None:
        world = self._world
        stopped: dict[UtteranceId, int] = {}
        for playing in world.queue:
            heard_ms = playing.offset_ms + min(
                max(0, self.now_ms - playing.starts_ms), playing.ends_ms - playing.starts_ms
            )
            stopped.setdefault(playing.utterance, heard_ms)
        world.queue.clear()
        world.free_ms = self.now_ms
        for utterance, heard_ms in stopped.items():
            self._post(1, ev.PlayoutStopped(utterance, heard_ms, exact=True))

    def _reply(self, ask: fx.AskModel) -> None:
        model = self._model
        pieces = list(_driven(model, ask.request)) if not callable(model) else list(model(ask.request))
        in_ms = self._timing.first_token_ms
        self._post(in_ms, ev.ReplyStarted(ask.reply, ask.request.epoch))
        for piece in pieces:
            match piece:
                case SentText(text):
                    splitter = self.conversation.state.language.clause_splitter()
                    for clause in [*splitter.feed(text), *splitter.flush()]:
                        in_ms += self._timing.token_ms
                        self._post(in_ms, ev.ReplyText(ask.reply, clause))
                case ToolRequest(request, name, arguments):
                    parsed, problem = parsed_arguments(arguments)
                    self._post(in_ms, ev.ToolRequested(ask.reply, request, name, parsed, problem))
                case ReplyDone(asks, input_tokens, output_tokens, understood):
                    self._post(in_ms, ev.ReplyFinished(ask.reply, asks, input_tokens, output_tokens, understood))

    def _run(self, tool: str, arguments: Mapping[str, JsonValue]) -> tuple[int, JsonValue | ToolFailed]:
        self.tool_runs.append((tool, dict(arguments)))
        if tool not in self._tools:
            raise ScriptError(f"the script has no answer for the tool {tool!r}")
        answer = self._tools[tool]
        if callable(answer):
            answer = answer({name: self._opened(value) for name, value in arguments.items()})
        return (answer.ms, answer.result) if isinstance(answer, After) else (100, answer)

    def _opened(self, value: JsonValue) -> JsonValue:
        return self.vault.resolve(value) if isinstance(value, str) and handles_in(value) else value

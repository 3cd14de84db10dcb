"""A simulated provider of speech-to-speech models: sessions that hear, take turns, speak, and go wrong when told to.

It hears and speaks audio that knows its words, so what a session was given says to the millisecond what of the caller's
speech reached which session: nothing lost, nothing twice. What it replies is up to a model of the script, which is
shown what the session has heard, said and been told: a result that nobody sent is not there.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from pydantic import JsonValue

from voiceagent.audio import FRAME_MS
from voiceagent.core.effects import Message, ModelRequest
from voiceagent.core.ids import Epoch
from voiceagent.errors import VoiceFailed
from voiceagent.language import Language
from voiceagent.ports import (
    MULAW_8K,
    CallerTranscribed,
    Clock,
    ModelInterrupted,
    ModelReplyAudio,
    ModelReplyBegan,
    ModelReplyEnded,
    ModelReplyText,
    ModelToolRequested,
    ReplyDone,
    ReplyModel,
    ReplyPiece,
    SentText,
    SessionEnding,
    SessionLost,
    SessionSetup,
    SetupInForce,
    SpeechCapabilities,
    SpeechModelEvent,
    SpeechOff,
    ToolRequest,
)
from voiceagent.spec.flow import Flow
from voiceagent.speech.gate import VoiceGate
from voiceagent.testing.agent_voice import MS_PER_CHARACTER
from voiceagent.testing.scripted_model import ModelOfScript
from voiceagent.testing.simulated_speech import SILENT_FRAME, SpokenAudio
from voiceagent.testing.simulated_world import Faults

__all__ = ["ProviderFaults", "ProviderTiming", "SimulatedProvider", "SimulatedSession"]

_ONSET_MS = 40
_WORD_MS = 100
_FRAME_BYTES = len(SILENT_FRAME)


@dataclass(frozen=True, slots=True)
class ProviderTiming:
    """How long the provider takes, in milliseconds."""

    connect_ms: int = 300
    update_ms: int = 50
    """From a change of prompt and tools to its confirmation."""
    turn_ends_after_ms: int = 500
    """Silence after which the caller's turn is over."""
    transcript_ms: int = 400
    """From the end of the caller's turn to its words: often later than the first words of the answer."""
    says_when: bool = False
    """Whether the words come with from when to when of the audio they are."""
    first_audio_ms: int = 300
    """From the end of the turn, or from being asked, to the first sound."""
    silent_ms: int = 0
    """How long before its first sound a reply is said to have begun."""
    text_ahead_ms: int = 0
    """How long before its sound the words of a clause come."""
    piece_ms: int = 200
    """How much audio comes at a time."""
    piece_every_ms: int = 40
    """From one piece to the next: five times as fast as it is heard."""
    jitter_ms: int = 0
    """What every other piece is later than that."""


@dataclass(frozen=True, slots=True)
class ProviderFaults:
    """What goes wrong at the provider, by number from 1: the second session, the third reply…"""

    connect_fails: Sequence[int] = ()
    """These sessions are refused."""
    connect_stalls: Sequence[int] = ()
    """These sessions never begin: a standby that is never ready."""
    forbidden: bool = False
    """Every session is refused, and will be: the key is wrong."""
    update_stalls: Sequence[int] = ()
    """These changes of prompt and tools are never confirmed."""
    closes_in_update: Sequence[int] = ()
    """At these changes of prompt and tools the session is closed instead."""
    lost_in_reply: Sequence[int] = ()
    """In the middle of these replies the connection breaks."""
    replies_fail: Sequence[int] = ()
    """These replies come to nothing."""
    replies_break_off: Sequence[int] = ()
    """These replies fail after their first clause."""
    replies_stall: Sequence[int] = ()
    """These replies never begin."""
    ends_at_tool: Sequence[int] = ()
    """At these tool requests the provider announces the end of the session."""
    announced_ms: int = 20_000
    """How long before it ends a session that is said."""
    never_replies_to: Sequence[int] = ()
    """These turns of the caller it takes for noise."""
    twice: bool = False
    """Confirmations and ends of replies come twice."""

    @classmethod
    def like(cls, faults: Faults) -> ProviderFaults:
        """Return what goes wrong with the model, whoever provides it."""
        return cls(
            replies_fail=faults.model_fails,
            replies_break_off=faults.model_breaks_off,
            replies_stall=faults.model_stalls,
        )


@dataclass
class SimulatedProvider:
    """One provider for one call; fulfils `SpeechModelEngine`."""

    flow: Flow
    model: ModelOfScript | ReplyModel
    swap: Literal["in_place", "new_session"] = "in_place"
    timing: ProviderTiming = field(default_factory=ProviderTiming)
    faults: ProviderFaults = field(default_factory=ProviderFaults)
    transcribes: bool = True
    """Whether it says what it has heard of the caller."""
    session_limit_ms: int | None = None
    idle_limit_ms: int | None = None
    sessions: list[SimulatedSession] = field(default_factory=list["SimulatedSession"])
    """All that were opened, in order."""
    attempts: int = 0
    updates: int = 0
    replies: int = 0
    turns: int = 0
    took_for_noise: list[str] = field(default_factory=list[str])
    """Words of the caller that it has heard and says nothing of."""
    requests: int = 0

    def __post_init__(self) -> None:
        self.clock: Clock
        self.caller: SpokenAudio
        self.agent: SpokenAudio
        self.language: Language
        self.facts: Callable[[], dict[str, JsonValue]]
        self.begins: Callable[[str, int, int, str], None]
        self.failed: Callable[[Exception], None]

    def belongs_to(
        self,
        *,
        clock: Clock,
        caller: SpokenAudio,
        agent: SpokenAudio,
        language: Language,
        facts: Callable[[], dict[str, JsonValue]],
        begins: Callable[[str, int, int, str], None],
        failed: Callable[[Exception], None],
    ) -> None:
        """Take part in a simulated call: with its time, its words, and what its model may know.

        `begins` is told of every clause that the model says: (reply, clause, saying, text).
        """
        self.clock, self.caller, self.agent, self.language = clock, caller, agent, language
        self.facts, self.begins, self.failed = facts, begins, failed

    @property
    def capabilities(self) -> SpeechCapabilities:
        """The row of a provider that speaks G.711."""
        return SpeechCapabilities(
            name=f"simulated ({self.swap})",
            swap=self.swap,
            audio_in=(MULAW_8K,),
            audio_out=(MULAW_8K,),
            transcribes=self.transcribes,
            session_limit_ms=self.session_limit_ms,
            idle_limit_ms=self.idle_limit_ms,
            turn_ends_after_ms=self.timing.turn_ends_after_ms,
        )

    async def connect(self, setup: SessionSetup, post: Callable[[SpeechModelEvent], None]) -> SimulatedSession:
        """Open a session, after a while. Raises VoiceFailed where a fault says so."""
        self.attempts += 1
        number = self.attempts
        await self.clock.sleep(self.timing.connect_ms)
        if self.faults.forbidden:
            refused = VoiceFailed("the provider does not know the key")
            refused.permanent = True
            raise refused
        if number in self.faults.connect_fails:
            raise VoiceFailed("the provider is overloaded")
        if number in self.faults.connect_stalls:
            await asyncio.get_running_loop().create_future()
        session = SimulatedSession(self, setup, post)
        self.sessions.append(session)
        return session

    async def close(self) -> None:
        """Nothing is held."""


class SimulatedSession:
    """One session; fulfils `SpeechSession`."""

    def __init__(
        self, provider: SimulatedProvider, setup: SessionSetup, post: Callable[[SpeechModelEvent], None]
    ) -> None:
        self._provider = provider
        self.setup = setup
        """What is in force."""
        self.setups = [setup]
        """Everything that ever was."""
        self.opened_ms = provider.clock.now_ms()
        self.closed_ms: int | None = None
        self.heard = bytearray()
        """All of the caller's audio that it was given."""
        self.told: list[Message] = []
        """Everything that it was told in words."""
        self.truncated: list[tuple[str, int]] = []
        self.log: list[str] = []
        """What was asked of it, in order: `update`, `tell`, `ask`, `cancel`, `truncate`, `close`."""
        self._report = post
        self._gate = VoiceGate(onset_ms=_ONSET_MS, pause_ms=provider.timing.turn_ends_after_ms)
        self._turn = bytearray()
        self._turn_ms = (0, 0)
        """From when to when of what it has heard there was a voice in this turn."""
        self._history: list[Message] = []
        self._numbers = 0
        self._open_requests: dict[str, None] = {}
        self._making: asyncio.Task[None] | None = None
        self._reply: str | None = None
        self._said_at: int | None = None
        """Which message of the history the reply is that is being made."""
        self._asked = False
        self._tasks: dict[asyncio.Task[None], None] = {}

    # --- what it is given --------------------------------------------------------------------------------------------

    def hear(self, audio: bytes) -> None:
        """Take the next caller audio; a turn ends after a pause, and is answered."""
        if self.closed_ms is not None:
            return
        begin = len(self.heard)
        self.heard += audio
        first = begin // _FRAME_BYTES
        for number in range(first, len(self.heard) // _FRAME_BYTES):
            frame = bytes(self.heard[number * _FRAME_BYTES : (number + 1) * _FRAME_BYTES])
            activity = "silence" if frame == SILENT_FRAME else "voice"
            change = self._gate.window(activity, begin_ms=number * FRAME_MS, end_ms=(number + 1) * FRAME_MS)
            if activity == "voice":
                self._turn_ms = (self._turn_ms[0] if self._turn else number * FRAME_MS, (number + 1) * FRAME_MS)
                self._turn += frame
            if isinstance(change, SpeechOff):
                self._turn_over()

    def update(self, setup: SessionSetup) -> None:
        """Put another prompt and other tools in force, after a while."""
        self.log.append("update")
        self._provider.updates += 1
        number = self._provider.updates
        assert self._reply is None, "prompt and tools are replaced while a reply is being made"
        if number in self._provider.faults.closes_in_update:
            self._later(self._provider.timing.update_ms, lambda: self.lose("closed in mid-swap"))
        elif number not in self._provider.faults.update_stalls:
            self._later(self._provider.timing.update_ms, lambda: self._in_force(setup))

    def tell(self, messages: Sequence[Message]) -> None:
        """Let it know what happened."""
        self.log.append("tell")
        for message in messages:
            self.told.append(message)
            if message.role == "tool_result" and message.request in self._open_requests:
                del self._open_requests[message.request]
            self._remember(message)

    def ask(self) -> None:
        """Have it reply."""
        self.log.append("ask")
        if self._reply is None:
            self._reply_soon()
        else:
            self._asked = True

    def cancel(self) -> None:
        """Break off the reply."""
        self.log.append("cancel")
        self._asked = False
        if self._making is not None and self._reply is not None:
            reply = self._reply
            self._making.cancel()
            self._later(1, lambda: self._end(reply, "cancelled"))
        elif self._making is not None:
            self._making.cancel()
            self._making = None

    def truncate(self, reply: str, heard_ms: int) -> None:
        """Cut what it believes to have said."""
        self.log.append("truncate")
        self.truncated.append((reply, heard_ms))

    def lose(self, reason: str, *, permanent: bool = False) -> None:
        """Break the connection."""
        if self.closed_ms is None:
            self._stop()
            self._report(SessionLost(reason, permanent))

    def announce_end(self, left_ms: int) -> None:
        """Say that it will end, and end."""
        self._post(SessionEnding(left_ms))
        self._later(left_ms, lambda: self.lose("the session has lasted its time"))

    async def close(self) -> None:
        """End it."""
        self.log.append("close")
        self._stop()

    # --- turns -------------------------------------------------------------------------------------------------------

    def _turn_over(self) -> None:
        turn, self._turn = bytes(self._turn), bytearray()
        # Nobody understands a word from its first breath.
        words = self._provider.caller.words_in(turn) if len(turn) >= _WORD_MS * MULAW_8K.bytes_per_ms else ""
        self._provider.turns += 1
        if self._provider.turns in self._provider.faults.never_replies_to:
            self._provider.took_for_noise.append(words)
            return
        if not words:
            return
        self._remember(Message(0, "caller", words, self.setup.epoch, in_audio=True))
        if self._provider.transcribes:
            timing = self._provider.timing
            transcribed = CallerTranscribed(words, final=True, heard_ms=self._turn_ms if timing.says_when else None)
            self._later(timing.transcript_ms, lambda: self._post(transcribed))
        if self._reply is None:
            self._reply_soon()

    # --- replies -----------------------------------------------------------------------------------------------------

    def _reply_soon(self) -> None:
        if self._making is not None:
            self._making.cancel()
        self._making = self._start(self._make_reply())

    async def _make_reply(self) -> None:
        provider = self._provider
        silent_ms = min(provider.timing.silent_ms, provider.timing.first_audio_ms)
        await provider.clock.sleep(provider.timing.first_audio_ms - silent_ms)
        provider.replies += 1
        number = provider.replies
        if number in provider.faults.replies_stall:
            await asyncio.get_running_loop().create_future()
        self._reply = reply = f"reply-{number}"
        self._said_at = None
        self._post(ModelReplyBegan(reply))
        await provider.clock.sleep(silent_ms)
        if number in provider.faults.replies_fail:
            self._end(reply, "failed")
            return
        try:
            pieces = await self._pieces()
        except VoiceFailed:
            self._end(reply, "failed")
            return
        except Exception as exc:  # noqa: BLE001 - a script that has no line, or breaks
            provider.failed(exc)
            return
        said = 0
        for piece in pieces:
            if isinstance(piece, SentText):
                for clause in self._clauses(piece.text):
                    await self._say(reply, said, clause)
                    said += 1
                    if number in provider.faults.replies_break_off:
                        self._end(reply, "failed")
                        return
                    if number in provider.faults.lost_in_reply:
                        self.lose("the connection broke")
                        return
            elif isinstance(piece, ToolRequest):
                self._request(reply, piece)
        done = next((piece for piece in pieces if isinstance(piece, ReplyDone)), ReplyDone())
        self._end(reply, "complete", done)

    async def _pieces(self) -> list[ReplyPiece]:
        request = self._request_for_script()
        model = self._provider.model
        return list(model(request)) if callable(model) else [piece async for piece in model.reply(request)]

    def _request_for_script(self) -> ModelRequest:
        """Return what the session knows: its prompt says which phase it is in."""
        flow = self._provider.flow
        phase = next(p for p in flow.phases if p.has_model and flow.prompt_of(p).static == self.setup.prompt)
        history = list(self._history)
        while len(history) > 1 and history[-1].role == "agent" and not history[-1].in_audio:
            history.pop()  # a filler: what was said to cover a wait is no reason to say anything else
        return ModelRequest(
            phase=phase.name,
            epoch=self.setup.epoch,
            prompt=self.setup.prompt,
            late_facts=self.setup.late_facts,
            tools=tuple(tool.name for tool in self.setup.tools),
            history=tuple(history),
            facts=self._provider.facts(),
            unix_ms=self._provider.clock.unix_ms(),
        )

    def _clauses(self, text: str) -> list[str]:
        splitter = self._provider.language.clause_splitter()
        return [*splitter.feed(text), *splitter.flush()]

    async def _say(self, reply: str, number: int, clause: str) -> None:
        provider = self._provider
        saying = provider.agent.sayings
        audio = provider.agent.say(clause, len(clause) * MS_PER_CHARACTER)
        provider.begins(reply, number, saying, clause)
        self._remember_said(clause)
        self._post(ModelReplyText(reply, f"{clause} "))
        await provider.clock.sleep(provider.timing.text_ahead_ms)
        size = provider.timing.piece_ms * MULAW_8K.bytes_per_ms
        for at in range(0, len(audio), size):
            self._post(ModelReplyAudio(reply, audio[at : at + size]))
            late_ms = provider.timing.jitter_ms if at // size % 2 else 0
            await provider.clock.sleep(provider.timing.piece_every_ms + late_ms)

    def _request(self, reply: str, asked: ToolRequest) -> None:
        self._provider.requests += 1
        self._open_requests[asked.request] = None
        self._remember(
            Message(0, "tool_request", asked.arguments, self.setup.epoch, request=asked.request, tool=asked.name)
        )
        self._post(ModelToolRequested(reply, asked.request, asked.name, asked.arguments))
        if self._provider.requests in self._provider.faults.ends_at_tool:
            self.announce_end(self._provider.faults.announced_ms)

    def _end(
        self, reply: str, outcome: Literal["complete", "cancelled", "failed"], done: ReplyDone | None = None
    ) -> None:
        if self._reply != reply:
            return
        self._reply = self._making = None
        done = done or ReplyDone()
        reason = "the provider has failed" if outcome == "failed" else ""
        spent = (done.input_tokens, done.output_tokens, done.cached_tokens)
        self._post(ModelReplyEnded(reply, outcome, reason, *spent))
        if self._asked:
            self._asked = False
            self._reply_soon()

    def interrupt(self) -> None:
        """Notice that the caller cuts in, and give up what is being said."""
        if self._reply is not None and self._making is not None:
            reply = self._reply
            self._making.cancel()
            self._post(ModelInterrupted(reply))
            self._end(reply, "cancelled")

    # --- the wire ----------------------------------------------------------------------------------------------------

    def _in_force(self, setup: SessionSetup) -> None:
        self.setup = setup
        self.setups.append(setup)
        self._post(SetupInForce(setup.epoch))

    def _remember(self, message: Message) -> None:
        self._numbers += 1
        last = self._history[-1] if self._history else None
        if last is not None and last.role == message.role == "agent" and last.epoch == message.epoch:
            self._history[-1] = replace(last, text=f"{last.text} {message.text}")
        else:
            self._history.append(replace(message, number=self._numbers, epoch=message.epoch or Epoch(0)))

    def _remember_said(self, clause: str) -> None:
        """What a reply says is one message, which stands before what the caller says meanwhile."""
        if self._said_at is None:
            self._remember(Message(0, "agent", clause, self.setup.epoch, in_audio=True))
            self._said_at = len(self._history) - 1
        else:
            said = self._history[self._said_at]
            self._history[self._said_at] = replace(said, text=f"{said.text} {clause}")

    def _post(self, event: SpeechModelEvent) -> None:
        if self.closed_ms is not None:
            return
        self._report(event)
        if self._provider.faults.twice and isinstance(event, SetupInForce | ModelReplyEnded):
            self._report(event)

    def _later(self, ms: int, then: Callable[[], None]) -> None:
        async def wait() -> None:
            await self._provider.clock.sleep(ms)
            if self.closed_ms is None:
                then()

        self._start(wait())

    def _start(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks[task] = None
        task.add_done_callback(lambda _: self._tasks.pop(task, None))
        return task

    def _stop(self) -> None:
        if self.closed_ms is None:
            self.closed_ms = self._provider.clock.now_ms()
        for task in tuple(self._tasks):
            task.cancel()

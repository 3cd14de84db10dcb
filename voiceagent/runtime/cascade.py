"""The cascade: hear with a recognizer, think with a text model, speak with a synthesizer."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from voiceagent.core import events as ev
from voiceagent.core.arguments import parsed_arguments
from voiceagent.core.effects import ModelRequest, SwapPhase
from voiceagent.core.ids import ReplyId, UtteranceId
from voiceagent.errors import VoiceFailed
from voiceagent.language import Language
from voiceagent.ports import (
    AudioFormat,
    Clock,
    Leg,
    RecognizerHandle,
    ReplyDone,
    ReplyModel,
    SentText,
    SpeechOff,
    SpeechOn,
    SynthesizerHandle,
    ToolRequest,
    VadHandle,
    VoiceCapabilities,
)

__all__ = ["CascadeVoice"]

_log = logging.getLogger(__name__)
_PRE_ROLL_MS = 300
"""Audio kept from before the voice was noticed: the first consonant is in it."""
_LONGEST_UTTERANCE_MS = 60_000
_CAPABILITIES = VoiceCapabilities(name="cascade", swap="trivial", speaks=False, transcribes=True, replies_unasked=False)


@dataclass(frozen=True, slots=True)
class _Clause:
    utterance: UtteranceId
    number: int
    text: str
    last: bool


class CascadeVoice:
    """One call's ears, head and mouth, each an engine's handle. Fulfils the port `Voice`."""

    def __init__(
        self,
        *,
        vad: VadHandle,
        recognizer: RecognizerHandle,
        synthesizer: SynthesizerHandle,
        model: ReplyModel,
        leg: Leg,
        language: Language,
        clock: Clock,
        tasks: asyncio.TaskGroup,
        post: Callable[[ev.Event], None],
    ) -> None:
        self._recognizer = recognizer
        self._synthesizer = synthesizer
        self._model = model
        self._leg = leg
        self._language = language
        self._tasks = tasks
        self._post = post
        self._ears = _Ears(vad, leg.audio_in, clock, post)
        self._replies: dict[ReplyId, asyncio.Task[None]] = {}
        self._clauses: deque[_Clause] = deque()
        self._speaking: asyncio.Task[None] | None = None
        self._saying: UtteranceId | None = None
        """Whose clause is being synthesised."""

    @property
    def capabilities(self) -> VoiceCapabilities:
        """Nothing is live between replies, so a swap is trivial."""
        return _CAPABILITIES

    def hear(self, audio: bytes) -> None:
        """Take the next caller audio."""
        self._ears.hear(audio)

    def swap(self, swap: SwapPhase) -> None:
        """The next request carries the new prompt and tools by itself."""
        self._post(ev.PhaseSwapped(swap.epoch))

    # --- hearing ---

    def transcribe(self, utterance: UtteranceId, hints: Sequence[str]) -> None:
        """Have the words of an utterance that has paused."""
        audio = self._ears.take(utterance)
        self._tasks.create_task(self._transcribe(utterance, audio, tuple(hints)))

    async def _transcribe(self, utterance: UtteranceId, audio: bytes, hints: tuple[str, ...]) -> None:
        try:
            heard = await self._recognizer.transcribe(audio, hints=hints)
        except Exception as exc:  # noqa: BLE001 - adapter boundary: an engine may raise anything
            self._post(ev.TranscriptFailed(utterance, _reason(exc)))
        else:
            self._post(ev.TranscriptFinal(utterance, heard.text, heard.confidence))

    # --- thinking ---

    def ask(self, reply: ReplyId, request: ModelRequest) -> None:
        """Make a reply."""
        task = self._tasks.create_task(self._reply(reply, request))
        self._replies[reply] = task
        task.add_done_callback(lambda _: self._replies.pop(reply, None))

    def cancel(self, reply: ReplyId) -> None:
        """Stop making it; the request to the model is abandoned."""
        task = self._replies.pop(reply, None)
        if task is not None:
            task.cancel()

    async def _reply(self, reply: ReplyId, request: ModelRequest) -> None:
        self._post(ev.ReplyStarted(reply, request.epoch))
        splitter = self._language.clause_splitter()
        try:
            async for piece in self._model.reply(request):
                match piece:
                    case SentText(text):
                        for clause in splitter.feed(text):
                            self._post(ev.ReplyText(reply, clause))
                    case ToolRequest(asked, name, text):
                        arguments, problem = parsed_arguments(text)
                        self._post(ev.ToolRequested(reply, asked, name, arguments, problem))
                    case ReplyDone(asks, input_tokens, output_tokens):
                        for clause in splitter.flush():
                            self._post(ev.ReplyText(reply, clause))
                        self._post(ev.ReplyFinished(reply, asks, input_tokens, output_tokens))
        except Exception as exc:  # noqa: BLE001 - adapter boundary: a model may raise anything
            self._post(ev.ReplyFailed(reply, _reason(exc)))

    # --- speaking ---

    def speak(self, utterance: UtteranceId, clause: int, text: str, *, last: bool) -> None:
        """Say a clause after those before it; the next is synthesised while this one is heard."""
        self._clauses.append(_Clause(utterance, clause, text, last))
        if self._speaking is None:
            self._speaking = self._tasks.create_task(self._speak())

    def silence(self) -> tuple[UtteranceId, ...]:
        """Drop everything that has not been handed to the leg; returns whose it was."""
        dropped = dict.fromkeys(clause.utterance for clause in self._clauses)
        if self._saying is not None:
            dropped = {self._saying: None, **dropped}
        self._clauses.clear()
        self._saying = None
        if self._speaking is not None:
            self._speaking.cancel()
            self._speaking = None
        return tuple(dropped)

    async def _speak(self) -> None:
        while self._clauses:
            clause = self._clauses.popleft()
            self._saying = clause.utterance
            await self._say(clause)
            self._saying = None
        self._speaking = None

    async def _say(self, clause: _Clause) -> None:
        said_bytes = 0
        try:
            if clause.text:
                async for audio in self._synthesizer.speak(clause.text):
                    said_bytes += len(audio)
                    self._leg.play(clause.utterance, audio)
        except Exception as exc:  # noqa: BLE001 - adapter boundary: an engine may raise anything
            self._post(ev.SpeechFailed(clause.utterance, clause.number, _reason(exc)))
        else:
            duration_ms = said_bytes // self._leg.audio_out.bytes_per_ms
            self._post(ev.SpeechQueued(clause.utterance, clause.number, duration_ms))
        self._leg.end_clause(clause.utterance, clause.number, last=clause.last)

    async def close(self) -> None:
        """Give the handles back."""
        self.silence()
        for task in list(self._replies.values()):
            task.cancel()
        self._recognizer.close()
        self._synthesizer.close()
        await self._model.close()


class _Ears:
    """Cuts the caller's audio into utterances and keeps each until it is transcribed."""

    def __init__(self, vad: VadHandle, audio: AudioFormat, clock: Clock, post: Callable[[ev.Event], None]) -> None:
        self._vad = vad
        self._format = audio
        self._clock = clock
        self._post = post
        self._kept = bytearray()
        self._kept_from_ms = 0
        """Audio time of the first byte that is kept."""
        self._heard_ms = 0
        self._began_ms: int | None = None
        """The clock when audio time was 0."""
        self._count = 0
        self._current: tuple[UtteranceId, int] | None = None
        """The utterance that is being spoken, and where its audio begins."""
        self._cut: dict[UtteranceId, bytes] = {}

    def hear(self, audio: bytes) -> None:
        if self._began_ms is None:
            self._began_ms = self._clock.now_ms()
        self._kept += audio
        self._heard_ms = self._kept_from_ms + len(self._kept) // self._format.bytes_per_ms
        for change in self._vad.feed(audio):
            match change:
                case SpeechOn(at_ms):
                    self._voice_on(at_ms)
                case SpeechOff(at_ms):
                    self._voice_off(at_ms)
        self._forget()

    def take(self, utterance: UtteranceId) -> bytes:
        """Return the audio of an utterance that has paused, once."""
        return self._cut.pop(utterance, b"")

    def _voice_on(self, at_ms: int) -> None:
        self._count += 1
        utterance = UtteranceId(f"c{self._count}")
        self._current = (utterance, max(at_ms - _PRE_ROLL_MS, self._kept_from_ms))
        self._post(ev.CallerStartedSpeaking(utterance, self._at(at_ms)))

    def _voice_off(self, at_ms: int) -> None:
        if self._current is None:
            return
        utterance, from_ms = self._current
        self._current = None
        first = (from_ms - self._kept_from_ms) * self._format.bytes_per_ms
        self._cut[utterance] = bytes(self._kept[first:])
        self._post(ev.CallerPaused(utterance, self._at(at_ms)))

    def _at(self, audio_ms: int) -> int:
        return (self._began_ms or 0) + audio_ms

    def _forget(self) -> None:
        keep_from_ms = self._heard_ms - _PRE_ROLL_MS * 2
        if self._current is not None:
            keep_from_ms = max(self._current[1], self._heard_ms - _LONGEST_UTTERANCE_MS)
            self._current = (self._current[0], keep_from_ms)
        # Trimmed a second at a time: moving the rest for every frame would cost more than the memory.
        if keep_from_ms - self._kept_from_ms > 1_000:
            del self._kept[: (keep_from_ms - self._kept_from_ms) * self._format.bytes_per_ms]
            self._kept_from_ms = keep_from_ms


def _reason(exc: Exception) -> str:
    """Return what may be recorded: our own words as they are, of anything else only its kind."""
    if not isinstance(exc, VoiceFailed):
        _log.error("an engine failed", exc_info=exc)
        return type(exc).__name__
    return str(exc)

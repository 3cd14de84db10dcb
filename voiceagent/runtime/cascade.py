"""The cascade: hear with a recognizer, think with a text model, speak with a synthesizer."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass

from voiceagent.core import events as ev
from voiceagent.core.arguments import parsed_arguments
from voiceagent.core.effects import ModelRequest, SwapPhase
from voiceagent.core.ids import ReplyId, UtteranceId
from voiceagent.errors import VoiceFailed
from voiceagent.language import Language
from voiceagent.ports import (
    Clock,
    Leg,
    RecognizerHandle,
    ReplyDone,
    ReplyModel,
    SentText,
    SynthesizerHandle,
    ToolRequest,
    VadHandle,
    VoiceCapabilities,
)
from voiceagent.runtime.call_tasks import CallTasks, within
from voiceagent.runtime.ears import Ears

__all__ = ["CascadeVoice"]

_log = logging.getLogger(__name__)
_LONGEST_TRANSCRIPT = 1_000
"""In characters, a minute of fast speech. What understands words takes its time over long and repetitive ones."""
_STALLED_MS = 15_000
"""A synthesizer that gives nothing for so long has failed."""
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
        tasks: CallTasks,
        post: Callable[[ev.Event], None],
    ) -> None:
        self._recognizer = recognizer
        self._synthesizer = synthesizer
        self._model = model
        self._leg = leg
        self._language = language
        self._clock = clock
        self._tasks = tasks
        self._post = post
        self._ears = Ears(vad, leg.audio_in, clock, post)
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
        if audio:
            self._tasks.start(self._transcribe(utterance, audio, tuple(hints)))
        else:
            self._post(ev.TranscriptFinal(utterance, ""))

    async def _transcribe(self, utterance: UtteranceId, audio: bytes, hints: tuple[str, ...]) -> None:
        try:
            heard = await self._recognizer.transcribe(audio, hints=hints)
        except Exception as exc:  # noqa: BLE001 - adapter boundary: an engine may raise anything
            self._post(ev.TranscriptFailed(utterance, _reason(exc)))
        else:
            self._post(ev.TranscriptFinal(utterance, _cut(heard.text), heard.confidence))

    # --- thinking ---

    def ask(self, reply: ReplyId, request: ModelRequest) -> None:
        """Make a reply."""
        task = self._tasks.start(self._reply(reply, request))
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
            async for piece in self._model.reply(request):  # how long it may take is for the core to say
                match piece:
                    case SentText(text):
                        for clause in splitter.feed(text):
                            self._post(ev.ReplyText(reply, clause))
                    case ToolRequest(asked, name, text):
                        arguments, problem = parsed_arguments(text)
                        self._post(ev.ToolRequested(reply, asked, name, arguments, problem))
                    case ReplyDone(asks, input_tokens, output_tokens, understood):
                        for clause in splitter.flush():
                            self._post(ev.ReplyText(reply, clause))
                        self._post(ev.ReplyFinished(reply, asks, input_tokens, output_tokens, understood))
                        return
        except Exception as exc:  # noqa: BLE001 - adapter boundary: a model may raise anything
            self._post(ev.ReplyFailed(reply, _reason(exc)))
        else:
            self._post(ev.ReplyFailed(reply, "the model broke off"))

    # --- speaking ---

    def speak(self, utterance: UtteranceId, clause: int, text: str, *, last: bool) -> None:
        """Say a clause after those before it; the next is synthesised while this one is heard."""
        self._clauses.append(_Clause(utterance, clause, text, last))
        if self._speaking is None:
            self._speaking = self._tasks.start(self._speak())

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
                pieces = aiter(self._synthesizer.speak(clause.text))
                while (audio := await self._piece(pieces)) is not None:
                    said_bytes += len(audio)
                    self._leg.play(clause.utterance, audio)
        except Exception as exc:  # noqa: BLE001 - adapter boundary: an engine may raise anything
            self._post(ev.SpeechFailed(clause.utterance, clause.number, _reason(exc)))
        else:
            duration_ms = said_bytes // self._leg.audio_out.bytes_per_ms
            self._post(ev.SpeechQueued(clause.utterance, clause.number, duration_ms))
        self._leg.end_clause(clause.utterance, clause.number, last=clause.last)

    async def _piece(self, pieces: AsyncIterator[bytes]) -> bytes | None:
        """Return the next audio, None after the last. Raises VoiceFailed where it does not come."""
        try:
            async with within(_STALLED_MS, self._clock):
                return await anext(pieces, None)
        except TimeoutError as exc:
            raise VoiceFailed("the synthesizer has stalled") from exc

    async def close(self) -> None:
        """Give the handles back, whatever one of them raises."""
        self.silence()
        for task in self._replies.values():
            task.cancel()
        async with AsyncExitStack() as closing:
            closing.push_async_callback(self._model.close)
            closing.callback(self._synthesizer.close)
            closing.callback(self._recognizer.close)


def _cut(text: str) -> str:
    """Return what is kept of a transcript: whole words, up to the longest one that anybody needs."""
    if len(text) <= _LONGEST_TRANSCRIPT:
        return text
    return text[:_LONGEST_TRANSCRIPT].rpartition(" ")[0] or text[:_LONGEST_TRANSCRIPT]


def _reason(exc: Exception) -> str:
    """Return what may be recorded: our own words as they are, of anything else only its kind."""
    if not isinstance(exc, VoiceFailed):
        _log.error("an engine failed", exc_info=exc)
        return type(exc).__name__
    _log.warning("an engine failed: %s", exc)
    return str(exc)

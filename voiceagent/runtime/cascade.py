"""The cascade: hear with a recognizer, think with a text model, speak with a synthesizer."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import AsyncExitStack

from voiceagent.core import events as ev
from voiceagent.core.arguments import parsed_arguments
from voiceagent.core.effects import ModelRequest, PrimePhase, RenewVoice, SwapPhase
from voiceagent.core.ids import ReplyId, UtteranceId
from voiceagent.errors import VoiceFailed
from voiceagent.in_time import within
from voiceagent.language import Language
from voiceagent.ports import (
    Clock,
    EndOfTurn,
    Leg,
    ReplyDone,
    ReplyModel,
    SentText,
    ToolRequest,
    Transcript,
    WordsSpoken,
)
from voiceagent.runtime.call_tasks import CallTasks
from voiceagent.runtime.ears import Ears
from voiceagent.runtime.manners import Manners
from voiceagent.runtime.mouth import Mouth, recordable
from voiceagent.runtime.spoken_text import ReplyText, between_words
from voiceagent.spec.flow import Flow

__all__ = ["CascadeVoice"]

_log = logging.getLogger(__name__)
_JUDGED_WITHIN_MS = 1_000
"""Later the caller's turn is over anyway."""
_LONGEST_TRANSCRIPT = 1_000
"""In characters, a minute of fast speech. What understands words takes its time over long and repetitive ones."""


class CascadeVoice:
    """One call's ears, head and mouth, each an engine's handle. Fulfils the port `Voice`."""

    __slots__ = (
        "_audio_in",
        "_clock",
        "_ears",
        "_end_of_turn",
        "_left",
        "_manners",
        "_model",
        "_open_model",
        "_post",
        "_replies",
        "_tasks",
        "mouth",
    )

    def __init__(
        self,
        *,
        ears: Ears,
        manners: Manners,
        end_of_turn: EndOfTurn | None = None,
        model: Callable[[Flow], ReplyModel],
        flow: Flow,
        leg: Leg,
        clock: Clock,
        tasks: CallTasks,
        post: Callable[[ev.Event], None],
    ) -> None:
        self._manners = manners
        self._end_of_turn = end_of_turn
        self._audio_in = leg.audio_in
        self._clock = clock
        self._open_model = model
        self._model = model(flow)
        self._left: list[ReplyModel] = []
        """Handles for the agent as it was: replies may still be made by them."""
        self._tasks = tasks
        self._post = post
        self._ears = ears
        self.mouth = Mouth(manners.voice, leg, clock=clock, tasks=tasks, post=post)
        """What says things for whatever thinks of them."""
        self._replies: dict[ReplyId, asyncio.Task[None]] = {}

    def hear(self, audio: bytes) -> None:
        """Take the next caller audio."""
        self._ears.hear(audio)

    def swap(self, swap: SwapPhase) -> None:
        """The next request carries the new prompt and tools by itself; language, voice and pace change here."""
        if self.changes_manner(swap):
            self._post(ev.PhaseSwapped(swap.epoch))

    def changes_manner(self, swap: SwapPhase) -> bool:
        """Speak and hear as the phase wants it from here on; False, and the swap has failed, where no engine can.

        Then nothing is said until the next swap: it would be the phase's words in the voice of another language.
        """
        try:
            self._manners.change(swap.manner)
        except Exception as exc:  # noqa: BLE001 - adapter boundary: an engine may raise anything
            self._post(ev.SwapFailed(swap.epoch, recordable(exc)))
            self.mouth.speak_with(_Mute())
            return False
        self.mouth.speak_with(self._manners.voice)
        return True

    @property
    def language(self) -> Language:
        """What is spoken now."""
        return self._manners.language

    def use(self, flow: Flow) -> None:
        """Think with this flow from the next request on."""
        self._left.append(self._model)
        self._model = self._open_model(flow)

    def prime(self, prime: PrimePhase) -> None:
        """Nothing has to be made ready: the next request carries it all."""

    def renew(self, renew: RenewVoice) -> None:
        """There is no session that could end."""

    # --- hearing ---

    def transcribe(
        self,
        utterance: UtteranceId,
        hints: Sequence[str],
        *,
        in_audio: bool = False,
        counts: Callable[[str], str] = lambda text: text,
    ) -> None:
        """Have the words of an utterance that has paused; `in_audio`: a speech model has heard it too.

        `counts` is told them first, or that there are none, and returns what counts of them.
        """
        audio = self._ears.take(utterance)
        if self._end_of_turn is not None and audio and not in_audio:
            self._tasks.start(self._judge(self._end_of_turn, utterance, audio))
        self._tasks.start(self._transcribe(utterance, audio, tuple(hints), in_audio=in_audio, counts=counts))

    async def _judge(self, end_of_turn: EndOfTurn, utterance: UtteranceId, audio: bytes) -> None:
        """Have a model say whether the caller has finished; without its word the conversation decides as without it."""
        try:
            async with within(_JUDGED_WITHIN_MS, self._clock):
                done = await end_of_turn.done(audio, self._audio_in)
        except Exception as exc:  # noqa: BLE001 - adapter boundary: an engine may raise anything
            _log.info("nobody knows whether the caller has finished (%s)", type(exc).__name__)
        else:
            self._post(ev.TurnJudged(utterance, round(done, 3)))

    def transcribe_so_far(self, utterance: UtteranceId, hints: Sequence[str]) -> None:
        """Have the words of an utterance that goes on."""
        if audio := self._ears.so_far(utterance):
            self._tasks.start(self._transcribe_so_far(utterance, audio, tuple(hints)))

    async def _transcribe_so_far(self, utterance: UtteranceId, audio: bytes, hints: tuple[str, ...]) -> None:
        try:
            heard = await self._manners.recognizer.transcribe(audio, hints=hints)
        except Exception:  # noqa: BLE001 - adapter boundary: an engine may raise anything
            return  # the whole of it is transcribed soon, and if that fails too it is told
        if self._ears.so_far(utterance):  # else its end is known, and all of its words come
            self._post(ev.TranscriptPartial(utterance, _cut(heard.text)))

    async def _transcribe(
        self,
        utterance: UtteranceId,
        audio: bytes,
        hints: tuple[str, ...],
        *,
        in_audio: bool,
        counts: Callable[[str], str],
    ) -> None:
        try:
            heard = await self._manners.recognizer.transcribe(audio, hints=hints) if audio else Transcript("")
        except Exception as exc:  # noqa: BLE001 - adapter boundary: an engine may raise anything
            self._post(ev.TranscriptFailed(utterance, recordable(exc)))
            counts("")
        else:
            text = counts(_cut(heard.text))
            self._post(ev.TranscriptFinal(utterance, text, heard.confidence, in_audio))

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
        splitter, words = self.language.clause_splitter(), ReplyText()
        try:
            async for piece in self._model.reply(request):  # how long it may take is for the core to say
                match piece:
                    case SentText(text):
                        self._say(reply, splitter.feed(words.take(text)))
                    case ToolRequest(asked, name, text):
                        arguments, problem = parsed_arguments(text)
                        self._post(ev.ToolRequested(reply, asked, name, arguments, problem))
                    case ReplyDone(asks, read, written, understood, cached):
                        self._say(reply, splitter.flush())
                        self._post(ev.ReplyFinished(reply, asks, read, written, understood, cached))
                        return
        except Exception as exc:  # noqa: BLE001 - adapter boundary: a model may raise anything
            self._post(ev.ReplyFailed(reply, recordable(exc)))
        else:
            self._post(ev.ReplyFailed(reply, "the model broke off"))

    def _say(self, reply: ReplyId, clauses: Iterable[str]) -> None:
        for clause in clauses:
            for part in between_words(clause):
                self._post(ev.ReplyText(reply, part))

    # --- speaking ---

    def speak(self, utterance: UtteranceId, clause: int, text: str, *, last: bool, softly: bool = False) -> None:
        """Say a clause after those before it; the next is synthesised while this one is heard."""
        self.mouth.say(utterance, clause, text, last=last, softly=softly)

    def silence(self) -> tuple[UtteranceId, ...]:
        """Drop everything that has not been handed to the leg; returns whose it was."""
        return self.mouth.silence()

    def play(self, reply: ReplyId, utterance: UtteranceId, *, from_ms: int) -> None:
        """Nothing is begun unasked: there is nothing to let be heard."""

    def truncate(self, reply: ReplyId, heard_ms: int) -> None:
        """The model is shown with every request what was heard: there is nothing to tell it."""

    async def close(self) -> None:
        """Give the handles back, whatever one of them raises."""
        for task in self._replies.values():
            task.cancel()
        async with AsyncExitStack() as closing:
            for model in (*self._left, self._model):
                closing.push_async_callback(model.close)
            closing.callback(self.mouth.close)
            closing.callback(self._manners.close)
            closing.callback(self._ears.close)


class _Mute:
    """Stands in for a voice that cannot be had. Fulfils `SynthesizerHandle`."""

    def speak(self, text: str, *, softly: bool = False) -> AsyncIterator[bytes | WordsSpoken]:
        del text, softly
        raise VoiceFailed("nobody can say it as the phase wants it")

    def close(self) -> None:
        """Nothing is held."""


def _cut(text: str) -> str:
    """Return what is kept of a transcript: whole words, up to the longest one that anybody needs."""
    return next(between_words(text, _LONGEST_TRANSCRIPT))

"""The mouth: everything the caller is to hear, one thing after the other, from text or from a speech model's audio."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

from voiceagent.core import events as ev
from voiceagent.core.ids import ReplyId, UtteranceId
from voiceagent.errors import VoiceFailed
from voiceagent.in_time import within
from voiceagent.logs import log_failure
from voiceagent.ports import Clock, Leg, SynthesizerHandle, WordsSpoken
from voiceagent.runtime.call_tasks import CallTasks

__all__ = ["Mouth", "SpokenReply", "recordable"]

_log = logging.getLogger(__name__)
_STALLED_MS = 4_000
"""A synthesizer that gives nothing for so long has failed, and so has a speech model in the middle of a reply."""
_NOT_SAID = "what comes before it could not be said"


class SpokenReply:
    """A reply whose audio comes from a speech model, usually faster than it is heard."""

    def __init__(self, reply: ReplyId) -> None:
        self.reply = reply
        self.utterance = UtteranceId(reply)
        """Speech of a speech model has its reply's id."""
        self.letters: list[int] = []
        """How many letters each clause has, in the pieces in which the core knows what is to be heard."""
        self._audio = bytearray()
        self._from = 0
        """Position from which on it is played."""
        self._next = 0
        """Position of what is played next."""
        self._changed = asyncio.Event()
        self._complete = False

    @property
    def complete(self) -> bool:
        """Whether no more of it comes."""
        return self._complete

    @property
    def length_bytes(self) -> int:
        """How much has come of what is to be heard."""
        return len(self._audio) - self._from

    def add(self, audio: bytes) -> None:
        """The next audio of it."""
        if audio and not self._complete:
            self._audio += audio
            self._changed.set()

    def end(self) -> None:
        """No more of it comes: what has come is heard to its end."""
        self._complete = True
        self._changed.set()

    def begin(self, utterance: UtteranceId, position: int) -> None:
        """It is played from here on, as this utterance. What of its words is left then is one clause."""
        self.utterance = utterance
        position = min(position, len(self._audio))
        if position:
            left = sum(self.letters) * (len(self._audio) - position) // len(self._audio)
            self.letters = [left]
        self._from = self._next = position

    def forget(self) -> None:
        """It is not played a second time: what has been played need not be kept."""
        if self._complete and self._next == len(self._audio):
            self._audio.clear()
            self._from = self._next = 0

    async def next(self) -> bytes | None:
        """Return all the audio that is there, as soon as there is any; None after the last."""
        while self._next == len(self._audio):
            if self._complete:
                return None
            self._changed.clear()
            await self._changed.wait()
        audio = bytes(self._audio[self._next :])
        self._next = len(self._audio)
        return audio


@dataclass(frozen=True, slots=True)
class _Clause:
    utterance: UtteranceId
    number: int
    text: str
    last: bool
    softly: bool
    voice: SynthesizerHandle
    """Of the phase that says it: the call may be in another one when it is its turn."""


class Mouth:
    """Hands audio to the leg in the order in which it was asked for; the next is made while this one is heard."""

    def __init__(
        self,
        synthesizer: SynthesizerHandle,
        leg: Leg,
        *,
        clock: Clock,
        tasks: CallTasks,
        post: Callable[[ev.Event], None],
    ) -> None:
        self._synthesizer = synthesizer
        self._leg = leg
        self._clock = clock
        self._tasks = tasks
        self._post = post
        self._waiting: deque[_Clause | SpokenReply] = deque()
        """No more than the core has sent: it cuts a reply off that goes on and on."""
        self._speaking: asyncio.Task[None] | None = None
        self._now: _Clause | SpokenReply | None = None
        """What is being made or handed over."""
        self._broken: UtteranceId | None = None
        """The utterance of which a clause could not be said: nobody wants to hear what comes behind the hole."""
        self._ms_per_letter: float | None = None
        """How fast the speech model speaks, as its last complete reply has shown."""

    def speak_with(self, synthesizer: SynthesizerHandle) -> None:
        """What is to be said from here on is said by this."""
        self._synthesizer = synthesizer

    def say(self, utterance: UtteranceId, clause: int, text: str, *, last: bool, softly: bool = False) -> None:
        """Say a clause after everything before it."""
        self._enqueue(_Clause(utterance, clause, text, last, softly, self._synthesizer))

    def play(self, reply: SpokenReply) -> None:
        """Play a speech model's reply after everything before it, as it comes."""
        self._enqueue(reply)

    def silence(self) -> tuple[UtteranceId, ...]:
        """Drop everything that has not been handed to the leg; returns whose it was."""
        parts = [self._now, *self._waiting] if self._now is not None else [*self._waiting]
        for part in parts:
            if isinstance(part, SpokenReply):
                self._post_lengths(part)  # where it was cut off can be told by them
        self._waiting.clear()
        self._stop()
        return tuple(dict.fromkeys(part.utterance for part in parts))

    def close(self) -> None:
        """Be silent for good."""
        self.silence()

    def _stop(self) -> None:
        self._now = None
        if self._speaking is not None:
            self._speaking.cancel()
            self._speaking = None

    def _enqueue(self, part: _Clause | SpokenReply) -> None:
        self._waiting.append(part)
        if self._speaking is None:
            self._speaking = self._tasks.start(self._speak())

    async def _speak(self) -> None:
        while self._waiting:
            self._now = part = self._waiting.popleft()
            if isinstance(part, _Clause):
                await self._say(part)
            else:
                await self._play(part)
            self._now = None
        self._speaking = None

    async def _say(self, clause: _Clause) -> None:
        said_bytes = 0
        word_ends_ms: tuple[int, ...] | None = None
        try:
            if clause.text:
                pieces = aiter(self._pieces_of(clause))
                while (piece := await self._piece(pieces)) is not None:
                    if isinstance(piece, WordsSpoken):
                        word_ends_ms = piece.ends_ms
                        continue
                    said_bytes += len(piece)
                    self._leg.play(clause.utterance, piece)
        except Exception as exc:  # noqa: BLE001 - adapter boundary: an engine may raise anything
            self._broken = clause.utterance
            said_ms = said_bytes // self._leg.audio_out.bytes_per_ms
            self._post(ev.SpeechFailed(clause.utterance, clause.number, recordable(exc), said_ms))
        else:
            duration_ms = said_bytes // self._leg.audio_out.bytes_per_ms
            self._post(ev.SpeechQueued(clause.utterance, clause.number, duration_ms, word_ends_ms))
        self._leg.end_clause(clause.utterance, clause.number, last=clause.last)

    def _pieces_of(self, clause: _Clause) -> AsyncIterator[bytes | WordsSpoken]:
        if clause.utterance == self._broken:
            raise VoiceFailed(_NOT_SAID)
        return clause.voice.speak(clause.text, softly=clause.softly)

    async def _piece(self, pieces: AsyncIterator[bytes | WordsSpoken]) -> bytes | WordsSpoken | None:
        """Return the next audio or its words, None after the last. Raises VoiceFailed where it does not come."""
        try:
            async with within(_STALLED_MS, self._clock):
                return await anext(pieces, None)
        except TimeoutError as exc:
            raise VoiceFailed("the synthesizer has stalled") from exc

    async def _play(self, reply: SpokenReply) -> None:
        try:
            while True:
                async with within(_STALLED_MS, self._clock):
                    audio = await reply.next()
                if audio is None:
                    break
                self._leg.play(reply.utterance, audio)
        except TimeoutError:
            reply.end()  # that the model has stalled is for the core to notice: it counts from the last it was told
        self._post_lengths(reply)
        self._leg.end_clause(reply.utterance, len(reply.letters), last=True)

    def _post_lengths(self, reply: SpokenReply) -> None:
        """Tell how long each clause is: a speech model does not say, so its audio is shared out by their letters."""
        total_ms = reply.length_bytes // self._leg.audio_out.bytes_per_ms
        all_letters = sum(reply.letters) or 1
        if reply.complete:
            self._ms_per_letter = total_ms / all_letters
        elif self._ms_per_letter is None:
            return  # its words run ahead of its audio: what is usual is a better guess than their ratio now
        else:
            total_ms = int(self._ms_per_letter * all_letters)
        told_ms = told_letters = 0
        for number, letters in enumerate(reply.letters):
            told_letters += letters
            until_ms = total_ms * told_letters // all_letters
            self._post(ev.SpeechQueued(reply.utterance, number, until_ms - told_ms))
            told_ms = until_ms


def recordable(exc: Exception) -> str:
    """Return what may be recorded: our own words as they are, of anything else only its kind."""
    if not isinstance(exc, VoiceFailed):
        log_failure(_log, exc, "an engine failed")
        return type(exc).__name__
    _log.warning("an engine failed: %s", exc)
    return str(exc)

"""Simulated speech: audio that knows its words, and engines that speak and understand it.

Every millisecond of such audio (8 bytes of µ-law at 8 kHz) carries which saying it belongs to and how far into it it
lies. So whatever is cut, lost or taken back on its way, what is left says exactly which words are in it.
"""

from __future__ import annotations

import asyncio
import re
from array import array
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from itertools import groupby

from voiceagent.audio import FRAME_MS, MULAW_SILENCE
from voiceagent.errors import ScriptError, VoiceFailed
from voiceagent.language import LANGUAGES
from voiceagent.ports import MULAW_8K, AudioFormat, SpeechOff, SpeechOn, SynthesizerHandle, Transcript, WordsSpoken
from voiceagent.spec.manner import Manner
from voiceagent.spec.prompt import DEFAULT_LOCALE
from voiceagent.speech.gate import Audible, VoiceGate
from voiceagent.testing.agent_voice import MS_PER_CHARACTER, ends_by_letters
from voiceagent.testing.caller_voice import NOTICED_AFTER_MS, OVER_AFTER_MS
from voiceagent.testing.simulated_world import LATE_MS, Faults
from voiceagent.testing.stalls import Stalls

__all__ = [
    "SILENT_FRAME",
    "SimulatedRecognizer",
    "SimulatedSynthesizer",
    "SimulatedVad",
    "SpokenAudio",
]

SILENT_FRAME = bytes([MULAW_SILENCE]) * MULAW_8K.bytes_per_ms * FRAME_MS

_FRAME_BYTES = len(SILENT_FRAME)
_SILENT_MS = int.from_bytes(bytes([MULAW_SILENCE]) * 8, "little")
_SAYING_SHIFT = 32
_PIECE_MS = 1_000
_WORD = re.compile(r"\S+")


class SpokenAudio:
    """Everything that was said by one side, as audio and as words."""

    def __init__(self) -> None:
        self._sayings: list[tuple[str, int]] = []

    def say(self, text: str, lasting_ms: int) -> bytes:
        """Return audio of these words, evenly spread over its length; of a noise where there are none."""
        first = len(self._sayings) << _SAYING_SHIFT
        self._sayings.append((text, lasting_ms))
        return array("Q", range(first, first + lasting_ms)).tobytes()

    @property
    def sayings(self) -> int:
        """How much has been said: the number of the next saying."""
        return len(self._sayings)

    def length_ms(self, saying: int) -> int:
        """How long a saying is."""
        return self._sayings[saying][1]

    def parts_of(self, audio: bytes) -> Iterator[tuple[int | None, int]]:
        """Yield the number of each saying in this audio, None for silence, and its milliseconds."""
        moments = memoryview(audio).cast("Q")
        if len(moments) and moments[-1] - moments[0] == len(moments) - 1:
            yield moments[0] >> _SAYING_SHIFT, len(moments)
            return
        for saying, part in groupby(moments, lambda moment: None if moment == _SILENT_MS else moment >> _SAYING_SHIFT):
            yield saying, sum(1 for _ in part)

    def words_in(self, audio: bytes) -> str:
        """Return the words of which at least the middle lies in this audio, in the order of the audio."""
        heard: dict[int, tuple[int, int]] = {}
        for moment in memoryview(audio).cast("Q"):
            if moment != _SILENT_MS:
                saying, at_ms = moment >> _SAYING_SHIFT, moment & 0xFFFF_FFFF
                from_ms, _ = heard.get(saying, (at_ms, 0))
                heard[saying] = (from_ms, at_ms + 1)
        parts = [self._cut(*self._sayings[saying], from_ms, to_ms) for saying, (from_ms, to_ms) in heard.items()]
        return " ".join(part for part in parts if part)

    @staticmethod
    def _cut(text: str, lasting_ms: int, from_ms: int, to_ms: int) -> str:
        kept = [
            word
            for word in _WORD.finditer(text)
            if from_ms * len(text) <= (word.start() + word.end()) / 2 * lasting_ms < to_ms * len(text)
        ]
        return text[kept[0].start() : kept[-1].end()] if kept else ""


class SimulatedVad:
    """Voice is whatever is not silence, with the onset and the pause of the energy detector; fulfils `VadEngine`."""

    def __init__(self, speech: SpokenAudio | None = None, faults: Faults | None = None) -> None:
        """`speech` is what the caller says, and `faults` what of it is not noticed."""
        self._speech = speech or SpokenAudio()
        self._faults = faults or Faults()

    def open(self, audio: AudioFormat, *, later: Callable[[SpeechOn | SpeechOff], None] | None = None) -> _VadHandle:
        """Return a handle for one call; nothing is left for later. ScriptError for another format than telephone's."""
        del later
        _require_telephone(audio)
        return _VadHandle(self._noticed)

    def _noticed(self, frame: bytes) -> bool:
        """Whether there is a voice in a frame, as far as the detector can tell."""
        if frame == SILENT_FRAME:
            return False
        if not (self._faults.voice_missed or self._faults.voice_late):
            return True
        moment = next((moment for moment in memoryview(frame).cast("Q") if moment != _SILENT_MS), 0)
        saying, at_ms = moment >> _SAYING_SHIFT, moment & 0xFFFF_FFFF
        late = saying + 1 in self._faults.voice_late and at_ms < self._speech.length_ms(saying) // 2
        return not late and saying + 1 not in self._faults.voice_missed

    def close(self) -> None:
        """Nothing is held."""


class _VadHandle:
    def __init__(self, noticed: Callable[[bytes], bool]) -> None:
        self._noticed = noticed
        self._gate = VoiceGate(onset_ms=NOTICED_AFTER_MS, pause_ms=OVER_AFTER_MS)
        self._audible = Audible()
        self._pending = b""
        self._now_ms = 0

    def feed(self, audio: bytes) -> Sequence[SpeechOn | SpeechOff]:
        """Take any length of audio; it is cut into frames of 20 ms here."""
        if self._pending:
            audio = self._pending + audio
        decided: list[SpeechOn | SpeechOff] = []
        whole = len(audio) // _FRAME_BYTES * _FRAME_BYTES
        for begin in range(0, whole, _FRAME_BYTES):
            frame = audio[begin : begin + _FRAME_BYTES]
            begin_ms, self._now_ms = self._now_ms, self._now_ms + FRAME_MS
            activity = "voice" if self._noticed(frame) else "silence"
            self._audible.window(audible=activity == "voice", begin_ms=begin_ms)
            change = self._gate.window(activity, begin_ms=begin_ms, end_ms=self._now_ms)
            if change is not None:
                decided.append(change)
        self._pending = audio[whole:]
        return decided

    @property
    def audible_since_ms(self) -> int | None:
        """Audio time from which no frame was silent, the one that is not whole yet included."""
        if self._audible.since_ms is None and self._pending.strip(SILENT_FRAME[:1]):
            return self._now_ms
        return self._audible.since_ms

    def close(self) -> None:
        """Nothing is held."""


class SimulatedRecognizer:
    """Understands the words that are in the audio, after a while; fulfils `RecognizerEngine`."""

    def __init__(
        self, speech: SpokenAudio, *, transcript_ms: int, faults: Faults | None = None, stalls: Stalls | None = None
    ) -> None:
        self._speech = speech
        self._transcript_ms = transcript_ms
        self.locales: list[str] = []
        """In which it was asked to hear, in order."""
        self.healthy = True
        self._faults = faults or Faults()
        self._stalls = stalls or Stalls()

    @property
    def languages(self) -> Sequence[str]:
        """All there are."""
        return LANGUAGES

    def open(self, audio: AudioFormat, *, locale: str) -> SimulatedRecognizer:
        """Return what hears every call; ScriptError for another format than telephone µ-law."""
        _require_telephone(audio)
        self.locales.append(locale)
        return self

    async def transcribe(self, audio: bytes, *, hints: Sequence[str] = ()) -> Transcript:
        """Return the words in one utterance. Raises VoiceFailed where a fault says so."""
        del hints
        number = next((saying + 1 for saying, _ in self._speech.parts_of(audio) if saying is not None), 0)
        if number in self._faults.transcript_stalls:
            await self._stalls.wait()
        late_ms = LATE_MS if number in self._faults.transcript_late else 0
        await asyncio.sleep((self._transcript_ms + late_ms) / 1_000)
        if number in self._faults.transcript_fails:
            raise VoiceFailed("simulated fault")
        return Transcript(self._speech.words_in(audio))

    def close(self) -> None:
        """Nothing is held."""


class SimulatedSynthesizer:
    """Speaks 65 ms per character, a second of audio at a time; fulfils `SynthesizerEngine`."""

    def __init__(
        self,
        speech: SpokenAudio,
        *,
        synthesis_ms: int,
        faults: Faults | None = None,
        begins: Callable[[str, int], int] = lambda _text, _saying: 0,
    ) -> None:
        """`synthesis_ms` is what every piece takes, but for what was rendered ahead.

        `begins` is told of every text and its saying, and returns which clause of the call it is, for the faults.
        """
        self._speech = speech
        self._synthesis_ms = synthesis_ms
        self._faults = faults or Faults()
        self._begins = begins
        self._rendered: dict[tuple[str, float | None], None] = {}
        self.manners: list[Manner] = []
        """In which it was asked to speak, in order."""

    @property
    def healthy(self) -> bool:
        """Nothing can be wrong with it."""
        return True

    @property
    def languages(self) -> Sequence[str]:
        """All there are."""
        return LANGUAGES

    def open(
        self, audio: AudioFormat, *, voice: str | None, locale: str, speaking_rate: float | None = None
    ) -> SynthesizerHandle:
        """Return what speaks in every call; ScriptError for another format than telephone µ-law."""
        _require_telephone(audio)
        self.manners.append(Manner(locale, voice, speaking_rate))
        return _SimulatedVoice(self, speaking_rate)

    async def speak(self, text: str, *, speaking_rate: float | None = None) -> AsyncIterator[bytes | WordsSpoken]:
        """Yield the audio of `text`, and when its words end. Raises VoiceFailed where a fault says so."""
        if self._begins(text, self._speech.sayings) in self._faults.synthesis_fails:
            await asyncio.sleep(self._synthesis_ms / 1_000)
            raise VoiceFailed("simulated fault")
        audio = self._speech.say(text, _length_ms(text, speaking_rate))
        piece_bytes = _PIECE_MS * MULAW_8K.bytes_per_ms
        for begin in range(0, len(audio), piece_bytes):
            if (text, speaking_rate) not in self._rendered:
                await asyncio.sleep(self._synthesis_ms / 1_000)
            yield audio[begin : begin + piece_bytes]
        yield WordsSpoken(tuple(text.split(" ")), ends_by_letters(text, _length_ms(text, speaking_rate)))

    async def render(
        self,
        text: str,
        audio: AudioFormat,
        *,
        voice: str | None,
        locale: str = DEFAULT_LOCALE,
        speaking_rate: float | None = None,
    ) -> bytes:
        """Speak `text` ahead of its use."""
        del voice, locale
        _require_telephone(audio)
        self._rendered[text, speaking_rate] = None
        return self._speech.say(text, _length_ms(text, speaking_rate))

    def close(self) -> None:
        """Nothing is held."""


class _SimulatedVoice:
    """One manner of speaking."""

    def __init__(self, engine: SimulatedSynthesizer, speaking_rate: float | None) -> None:
        self._engine = engine
        self._speaking_rate = speaking_rate

    def speak(self, text: str, *, softly: bool = False) -> AsyncIterator[bytes | WordsSpoken]:
        """Yield the audio, which knows its words and not how loud they are."""
        del softly
        return self._engine.speak(text, speaking_rate=self._speaking_rate)

    def close(self) -> None:
        """Nothing is held."""


def _length_ms(text: str, speaking_rate: float | None) -> int:
    return round(len(text) * MS_PER_CHARACTER / (speaking_rate or 1))


def _require_telephone(audio: AudioFormat) -> None:
    if audio != MULAW_8K:
        raise ScriptError(f"simulated speech is µ-law at 8 kHz, not {audio}")

"""Speaks to the caller, on this machine: Hibari, one American voice, English, half to twice as fast as its own pace.

Code and voice (Apache-2.0) come in `hibari-tts`: 17 to 35 ms to the first audio of a sentence of
ten words on two shared cores. What was rendered ahead is not rendered again; what is said in a call is not
kept: it may be a customer's balance, and the cache is every call's.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import CancelledError, Future
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, cast

from voiceagent.errors import OperatorError, VoiceFailed
from voiceagent.language import language_for
from voiceagent.ports import AudioFormat
from voiceagent.spec.prompt import DEFAULT_LOCALE
from voiceagent.speech.samples import resample, to_bytes, without_silence
from voiceagent.speech.weights import WeightsFile, library
from voiceagent.speech.workers import Workers, outcome

if TYPE_CHECKING:
    from voiceagent.speech.samples import Samples

__all__ = ["HIBARI_LANGUAGES", "HibariSynthesizer"]

_log = logging.getLogger(__name__)

_PACKAGE = "hibari"
_VOICE = WeightsFile(
    package=_PACKAGE,
    path="assets/hibari.onnx",
    sha256="5f70741d4e900f4e85d0037498736cc1b3e1b9a63a13546a5da1e63abf4fccd8",
)
_UNKNOWN_WORDS = WeightsFile(
    package=_PACKAGE,
    path="assets/oov.onnx",
    sha256="d3cfd8122c5f172a98c8de38268bf1213ee09f2c2ae4df6e055fc6532590fe76",
)

_VOICE_NAME = "heart"
HIBARI_LANGUAGES = ("en",)
_RATE_HZ = 24000
_SEED = 0
"""Of the breath in the voice: the same sentence is the same bytes in every process."""

_AFTER_SENTENCE_MS = 250
_AFTER_CLAUSE_MS = 100
"""What a person reading aloud pauses for; the voice itself puts 300 ms before and 450 after everything it says."""

_WORKERS = 2
_CACHE_BYTES = 32 * 1024 * 1024
"""70 minutes of µ-law."""


class _Speech(Protocol):
    """What is used of hibari's Hibari."""

    def __call__(self, text: str, *, speed: float, seed: int) -> Samples: ...

    def split_sentences(self, text: str) -> list[str]: ...


@dataclass(frozen=True, slots=True)
class _Sentence:
    """What one piece of audio is made from: the key of the cache."""

    voice: str
    audio: AudioFormat
    text: str
    speaking_rate: float


class HibariSynthesizer:
    """One voice, a small pool of threads and one cache; fulfils `SynthesizerEngine`."""

    def __init__(
        self,
        *,
        workers: int = _WORKERS,
        cache_bytes: int = _CACHE_BYTES,
        weights_dir: Path | None = None,
    ) -> None:
        """Load the voice, from the installed package or from `weights_dir`.

        `workers` sentences are rendered at a time; up to `cache_bytes` of audio are kept. Raises
        MissingExtra, WeightsError.
        """
        _UNKNOWN_WORDS.verified()
        self._speech = _load(_VOICE.verified(weights_dir))
        self._workers = Workers(workers, name="hibari")
        self._kept = _Renderings(cache_bytes)
        self._under_way: dict[_Sentence, _Rendering] = {}

    def warm_up(self) -> None:
        """Say a short sentence to nobody: the dictionaries are loaded by the first one. Blocks."""
        self._workers.submit(lambda: self._speech("Hello there.", speed=1.0, seed=_SEED)).result()

    @property
    def healthy(self) -> bool:
        """Whether it speaks is seen by whoever waits for it: it knows of nothing that would keep it from that."""
        return True

    @property
    def languages(self) -> Sequence[str]:
        """English alone."""
        return HIBARI_LANGUAGES

    def open(
        self, audio: AudioFormat, *, voice: str | None, locale: str, speaking_rate: float | None = None
    ) -> _HibariHandle:
        """Return a handle for one manner of speaking. Raises OperatorError for a voice or language it lacks."""
        return _HibariHandle(self, audio, voice=_known(voice, locale), locale=locale, speaking_rate=speaking_rate or 1)

    async def render(
        self,
        text: str,
        audio: AudioFormat,
        *,
        voice: str | None,
        locale: str = DEFAULT_LOCALE,
        speaking_rate: float | None = None,
    ) -> bytes:
        """Synthesise `text` whole and keep it. Raises OperatorError, VoiceFailed."""
        named, rate = _known(voice, locale), speaking_rate or 1
        said = self.sentences(language_for(locale).speakable(text))
        pieces = {sentence: await self.sentence(sentence, audio, voice=named, speaking_rate=rate) for sentence in said}
        for sentence, piece in pieces.items():
            self._kept.keep(_Sentence(named, audio, sentence, rate), piece)
        return b"".join(pieces[sentence] for sentence in said)

    def sentences(self, text: str) -> list[str]:
        """Cut `text` into what is spoken in one breath."""
        return self._speech.split_sentences(text)

    async def sentence(self, text: str, audio: AudioFormat, *, voice: str, speaking_rate: float) -> bytes:
        """Return the audio of one sentence: rendered ahead, from who renders it now, or rendered for this call alone.

        A wait that is cancelled cancels the work if nobody else waits for it. Raises VoiceFailed.
        """
        key = _Sentence(voice, audio, text, speaking_rate)
        kept = self._kept.get(key)
        if kept is not None:
            return kept
        rendering = self._under_way.get(key) or self._begin(key)
        rendering.waiting += 1
        try:
            piece = await _finished(rendering.work)
        finally:
            rendering.waiting -= 1
            if not rendering.waiting:
                rendering.work.cancel()
                self._under_way.pop(key, None)
        return piece

    def close(self) -> None:
        """Let what is rendered now end, in bounded time, and drop the rest."""
        if not self._workers.close():
            _log.error("a sentence is still being rendered; its thread is left behind")

    def _begin(self, key: _Sentence) -> _Rendering:
        try:
            work = self._workers.submit(lambda: self._render(key))
        except RuntimeError as exc:
            raise VoiceFailed("the synthesizer is closed") from exc
        rendering = self._under_way[key] = _Rendering(work)
        return rendering

    def _render(self, key: _Sentence) -> bytes:
        samples = self._speech(key.text, speed=key.speaking_rate, seed=_SEED)
        pause_ms = round(_pause_after_ms(key.text) / key.speaking_rate)
        said = without_silence(samples, rate_hz=_RATE_HZ, then_silent_ms=pause_ms)
        narrow = resample(said, from_hz=_RATE_HZ, to_hz=key.audio.rate_hz)
        return to_bytes(narrow, key.audio)


class _HibariHandle:
    def __init__(
        self, engine: HibariSynthesizer, audio: AudioFormat, *, voice: str, locale: str, speaking_rate: float
    ) -> None:
        self._engine = engine
        self._audio = audio
        self._voice = voice
        self._speaking_rate = speaking_rate
        self._language = language_for(locale)
        self._open = True

    async def speak(self, text: str, *, softly: bool = False) -> AsyncIterator[bytes]:
        """Yield one piece of audio per sentence; nothing more once the handle is closed. It is as loud as ever."""
        del softly
        for sentence in self._engine.sentences(self._language.speakable(text)):
            if not self._open:
                return
            piece = await self._engine.sentence(
                sentence, self._audio, voice=self._voice, speaking_rate=self._speaking_rate
            )
            if piece and self._open:
                yield piece

    def close(self) -> None:
        """Say nothing more; what other calls wait for is rendered all the same."""
        self._open = False


@dataclass(slots=True)
class _Rendering:
    """A sentence on its way, and how many calls wait for it."""

    work: Future[bytes]
    waiting: int = 0


class _Renderings:
    """The sentences rendered ahead, those used last, as many as fit."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._held_bytes = 0
        self._audio: OrderedDict[_Sentence, bytes] = OrderedDict()

    def get(self, key: _Sentence) -> bytes | None:
        """Return the audio, which is now the last to be forgotten."""
        if key in self._audio:
            self._audio.move_to_end(key)
        return self._audio.get(key)

    def keep(self, key: _Sentence, audio: bytes) -> None:
        """Keep the audio and forget the oldest beyond the limit."""
        self._held_bytes += len(audio) - len(self._audio.pop(key, b""))
        self._audio[key] = audio
        while self._held_bytes > self._limit_bytes:
            _, forgotten = self._audio.popitem(last=False)
            self._held_bytes -= len(forgotten)


async def _finished(work: Future[bytes]) -> bytes:
    try:
        return await outcome(work)
    except CancelledError as exc:
        raise VoiceFailed("the synthesizer was closed") from exc
    except Exception as exc:  # the adapter boundary: the package's errors are not documented
        raise VoiceFailed(f"the synthesizer failed ({type(exc).__name__})") from exc


def _pause_after_ms(text: str) -> int:
    return _AFTER_SENTENCE_MS if text.rstrip("\"'”’)]").endswith((".", "!", "?", "…")) else _AFTER_CLAUSE_MS


def _known(voice: str | None, locale: str) -> str:
    if locale.lower().partition("-")[0] not in HIBARI_LANGUAGES:
        raise OperatorError(f"Hibari speaks English, not {locale!r}")
    if voice not in (None, _VOICE_NAME):
        raise OperatorError(f"Hibari has the voice {_VOICE_NAME!r} only, not {voice!r}")
    return _VOICE_NAME


def _load(path: Path) -> _Speech:
    library("numpy")
    library("soxr")
    library("onnxruntime")
    return cast("_Speech", library(_PACKAGE).Hibari(model=str(path), threads=1))

"""Speaks to the caller, on this machine: Hibari, one American voice, English, half to twice as fast as its own pace.

Code and voice (Apache-2.0) come in `hibari-tts`: 17 to 35 ms to the first audio of a sentence of
ten words on two shared cores. What was rendered ahead is not rendered again; what is said in a call is not
kept: it may be a customer's balance, and the cache is every call's.

When each word ends is known: the network decides how many frames of 25 ms each phoneme takes, and a few bytes behind
its weights make that one more of its outputs.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from concurrent.futures import CancelledError, Future
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, cast

from voiceagent.errors import OperatorError, VoiceFailed
from voiceagent.language import language_for
from voiceagent.ports import AudioFormat, WordsSpoken
from voiceagent.spec.prompt import DEFAULT_LOCALE
from voiceagent.speech.samples import last_sounds, resample, sound_in, to_bytes
from voiceagent.speech.weights import WeightsFile, library
from voiceagent.speech.workers import Workers, outcome

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

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
_FRAME_SAMPLES = 600
_ENDS_OF_PHONEMES = b"/CumSum_output_0"
"""Name of the tensor with the frame in which each phoneme is over: in these weights, whose digest is checked."""
_SEED = 0
"""Of the breath in the voice: the same sentence is the same bytes in every process."""

_AFTER_SENTENCE_MS = 250
_AFTER_CLAUSE_MS = 100
"""What a person reading aloud pauses for; the voice itself puts 300 ms before and 450 after everything it says."""

_WORKERS = 2
_CACHE_BYTES = 32 * 1024 * 1024
"""70 minutes of µ-law."""


class _Network(Protocol):
    def run(self, outputs: None, inputs: Mapping[str, object]) -> list[NDArray[np.float32]]: ...


class _Speech(Protocol):
    """What is used of hibari's Hibari."""

    sess: _Network

    def phonemize(self, text: str) -> list[str]: ...

    def g2p(self, text: str) -> str: ...

    def ids(self, phonemes: str) -> list[int]: ...

    def split_sentences(self, text: str) -> list[str]: ...


@dataclass(frozen=True, slots=True)
class _Said:
    """One sentence as it is heard."""

    audio: bytes
    words: WordsSpoken | None = None
    """From the beginning of this sentence; None where it is not known which phonemes are which word's."""


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
        self._workers.submit(lambda: _made(self._speech, "Hello there.", speed=1.0)).result()

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
        return b"".join(pieces[sentence].audio for sentence in said)

    def sentences(self, text: str) -> list[str]:
        """Cut `text` into what is spoken in one breath."""
        return self._speech.split_sentences(text)

    async def sentence(self, text: str, audio: AudioFormat, *, voice: str, speaking_rate: float) -> _Said:
        """Return one sentence: rendered ahead, from who renders it now, or rendered for this call alone.

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

    def _render(self, key: _Sentence) -> _Said:
        import numpy as np

        samples, ends = _made(self._speech, key.text, speed=key.speaking_rate)
        first, last = sound_in(samples, rate_hz=_RATE_HZ)
        pause_ms = round(_pause_after_ms(key.text) / key.speaking_rate)
        pause = np.zeros(_RATE_HZ * pause_ms // 1_000 if last else 0, samples.dtype)
        said = np.concatenate([samples[first:last], pause])
        audio = to_bytes(resample(said, from_hz=_RATE_HZ, to_hz=key.audio.rate_hz), key.audio)
        words = tuple(key.text.split())
        if ends is None or len(ends) != len(words):
            return _Said(audio)
        # The network counts a pause as the end of the sound before it, and so it does the silence after the last one.
        heard = last_sounds(samples, ends, rate_hz=_RATE_HZ)
        ends_ms = (max(0, min(end, last) - first) * 1_000 // _RATE_HZ for end in heard)
        return _Said(audio, WordsSpoken(words, tuple(ends_ms)))


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

    async def speak(self, text: str, *, softly: bool = False) -> AsyncIterator[bytes | WordsSpoken]:
        """Yield one piece of audio per sentence, as loud as ever, and its words; nothing more once it is closed."""
        del softly
        from_ms = 0
        for sentence in self._engine.sentences(self._language.speakable(text)):
            if not self._open:
                return
            said = await self._engine.sentence(
                sentence, self._audio, voice=self._voice, speaking_rate=self._speaking_rate
            )
            if said.audio and self._open:
                yield said.audio
                if said.words is not None and self._open:
                    yield WordsSpoken(said.words.words, tuple(from_ms + end_ms for end_ms in said.words.ends_ms))
            from_ms += len(said.audio) // self._audio.bytes_per_ms

    def close(self) -> None:
        """Say nothing more; what other calls wait for is rendered all the same."""
        self._open = False


@dataclass(slots=True)
class _Rendering:
    """A sentence on its way, and how many calls wait for it."""

    work: Future[_Said]
    waiting: int = 0


class _Renderings:
    """The sentences rendered ahead, those used last, as many as fit."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._held_bytes = 0
        self._said: OrderedDict[_Sentence, _Said] = OrderedDict()

    def get(self, key: _Sentence) -> _Said | None:
        """Return what was rendered, which is now the last to be forgotten."""
        if key in self._said:
            self._said.move_to_end(key)
        return self._said.get(key)

    def keep(self, key: _Sentence, said: _Said) -> None:
        """Keep it and forget the oldest beyond the limit."""
        self._held_bytes += len(said.audio) - len(self._said.pop(key, _Said(b"")).audio)
        self._said[key] = said
        while self._held_bytes > self._limit_bytes:
            _, forgotten = self._said.popitem(last=False)
            self._held_bytes -= len(forgotten.audio)


async def _finished(work: Future[_Said]) -> _Said:
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
    # Messages of this format that stand behind each other are one: the graph gets another output.
    outputs = _message(7, _message(12, _message(1, _ENDS_OF_PHONEMES)))  # ModelProto.graph, .output, .name
    return cast("_Speech", library(_PACKAGE).Hibari(model=path.read_bytes() + outputs, threads=1))


def _message(field: int, body: bytes) -> bytes:
    """Return a field of a protocol buffer that has less than 128 bytes."""
    return bytes([field << 3 | 2, len(body)]) + body


# --- one sentence ----------------------------------------------------------------------------------------------------

_PADS = 2
"""Inputs of the network beside the phonemes: a pause before them and one after."""
_SILENT = frozenset(';:,.!?—…"()“” ')
"""Of the phonemes' alphabet: pauses, and how a sentence is meant."""


def _made(speech: _Speech, text: str, *, speed: float) -> tuple[Samples, list[int] | None]:
    """Return the sound of a sentence, and the sample at which each of its words is over; None where that is unknown."""
    import numpy as np

    random = np.random.default_rng(_SEED)
    sounds: list[Samples] = []
    ends: list[int] = []
    told = text.split()
    parts = speech.phonemize(text)
    for phonemes in parts:
        ids = np.asarray([speech.ids(phonemes)], np.int64)
        *spectra, frames = speech.sess.run(None, {"ids": ids, "speed": np.asarray([speed], np.float32)})
        before = sum(map(len, sounds))
        sounds.append(cast("Samples", library(_PACKAGE).dsp.synth(*(one[0] for one in spectra), random)))
        ends += [before + int(frames.reshape(-1)[at]) * _FRAME_SAMPLES for at in _last_phonemes(speech, phonemes)]
    sound = np.concatenate(sounds) if sounds else np.zeros(0, np.float32)
    if len(ends) == len(told):
        return sound, ends
    return sound, _of_words(ends, [_count(speech, word) for word in told])


def _last_phonemes(speech: _Speech, phonemes: str) -> Iterator[int]:
    """Yield where each spoken word's last sound stands among the network's inputs, of which the first is a pause."""
    at, last = 0, None
    for phoneme in phonemes:
        at += len(speech.ids(phoneme)) > _PADS  # what is not in its alphabet, the network does not get
        if phoneme == " " and last is not None:
            yield last
            last = None
        elif phoneme not in _SILENT:
            last = at
    if last is not None:
        yield last


def _count(speech: _Speech, word: str) -> int:
    """Return how many words one that is written is when it is spoken: "1,250" is five."""
    return sum(1 for part in speech.g2p(word).split(" ") if part.strip("".join(_SILENT)))


def _of_words(ends: list[int], counts: list[int]) -> list[int] | None:
    """Return the ends of written words from those of the spoken ones."""
    if sum(counts) != len(ends):
        return None
    found: list[int] = []
    at = 0
    for count in counts:
        at += count
        found.append(ends[at - 1] if at else 0)
    return found

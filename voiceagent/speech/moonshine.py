"""Writes down what the caller said, on this machine: Moonshine tiny, English.

Model and weights (MIT) come in `moonshine-voice` 0.1.0, the last release that carries them. The
model is not thread-safe: shared by four threads it returned another caller's words in 106 of 176
decodes. One worker thread therefore owns it and decodes one utterance after the other, 0.1 to 0.4 s
each on two shared cores.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError, Future
from pathlib import Path
from typing import Protocol, cast

from voiceagent.errors import OperatorError, VoiceFailed
from voiceagent.language import language_for
from voiceagent.ports import AudioFormat, Transcript
from voiceagent.speech.samples import from_bytes, resample, voiced_ms
from voiceagent.speech.weights import WeightsFile, library
from voiceagent.speech.workers import Workers, outcome

__all__ = ["MOONSHINE_LANGUAGES", "MoonshineRecognizer"]

_log = logging.getLogger(__name__)

_PACKAGE = "moonshine_voice"
_MODEL = "assets/tiny-en"
_WEIGHTS = tuple(
    WeightsFile(package=_PACKAGE, path=f"{_MODEL}/{name}", sha256=sha256)
    for name, sha256 in (
        (
            "encoder_model.ort",
            "94e90a4654fc45cdfedb77c4c08e1739f48862998e58fada384b25118134f221",
        ),
        (
            "decoder_model_merged.ort",
            "cf524c4862d36e9e5ab032eddc73637efd822d70e868ac575cf1a46e1e4708a0",
        ),
        (
            "tokenizer.bin",
            "6884b35fd6377d4c4d32336a0bc152f36b64d1e45b6503683cdc238250a8472d",
        ),
    )
)

MOONSHINE_LANGUAGES = ("en",)
"""What `tiny-en` knows; the package carries no other model."""

_RATE_HZ = 16000
_SILENCE = [0.0] * _RATE_HZ
_PADDING = [0.0] * (_RATE_HZ * 300 // 1000)
"""0.3 s of silence on both sides: without it some voices lose up to three times as many words."""
_OPTIONS = {"vad_threshold": "0"}
"""The model's own voice detection off: the caller's audio was cut by ours."""
_SHORTEST_WORD_MS = 200
"""Given a click the model invents a word. The shortest word we measured, "A", takes 230 ms."""

_DEADLINE_MS = 5000
_BACKLOG = 32
"""Utterances that may wait; one more would only be told later that its deadline has passed."""
_STUCK_AFTER = 3
"""Deadlines that pass one after the other while no decode comes to its end."""
_MOST_REPLACED = 2
"""A model that gets stuck again and again is not helped by one more copy of 100 MB."""


class _Line(Protocol):
    text: str


class _Lines(Protocol):
    lines: list[_Line]


class _Transcriber(Protocol):
    """What is used of moonshine_voice's Transcriber."""

    def transcribe_without_streaming(self, audio: list[float], rate_hz: int, /) -> _Lines: ...

    def close(self) -> None: ...


class MoonshineRecognizer:
    """One model and its one thread, for every call of the process; fulfils `RecognizerEngine`."""

    def __init__(self, *, deadline_ms: int = _DEADLINE_MS, weights_dir: Path | None = None) -> None:
        """Load the model, from the installed package or from `weights_dir`.

        A transcription that has not returned after `deadline_ms`, waiting included, fails.
        Raises MissingExtra, WeightsError.
        """
        self._deadline_ms = deadline_ms
        self._files = [file.verified(weights_dir) for file in _WEIGHTS]
        self._decoder = _Decoder(lambda: _load(self._files))
        try:
            self._decoder.load().result()
        except BaseException:  # an interrupt too: its thread must not be left behind
            self._decoder.close()
            raise
        self._waiting = 0
        self._expired = 0
        self._replaced = 0

    @property
    def healthy(self) -> bool:
        """False from the third deadline that passes while the model does not come to the end of one utterance.

        The model and its thread are left behind then, and others take their place; it is True again once they work.
        """
        return self._expired < _STUCK_AFTER

    def warm_up(self) -> None:
        """Decode a second of silence, so that the first caller does not pay for it. Blocks."""
        self._decoder.submit(lambda model: _decode(model, _SILENCE)).result()

    @property
    def languages(self) -> Sequence[str]:
        """English alone."""
        return MOONSHINE_LANGUAGES

    def open(self, audio: AudioFormat, *, locale: str) -> _MoonshineHandle:
        """Return a handle for one call. Raises OperatorError for a language that is not English."""
        if locale.lower().partition("-")[0] not in MOONSHINE_LANGUAGES:
            raise OperatorError(f"Moonshine tiny-en hears English, not {locale!r}")
        return _MoonshineHandle(self, audio, locale)

    async def words_in(self, audio: bytes, audio_format: AudioFormat, *, wanted: Callable[[], bool]) -> str:
        """Return the words of one utterance, raw, or nothing where `wanted` no longer holds.

        Raises VoiceFailed: too many wait, the deadline has passed, the model failed, or closed.
        """
        if self._waiting >= _BACKLOG:
            raise VoiceFailed(f"{_BACKLOG} utterances wait for the recognizer already")
        decoder = self._decoder
        ended_before = decoder.ended
        work = self._submit(lambda model: _hear(model, audio, audio_format) if wanted() else "")
        self._waiting += 1
        try:
            async with asyncio.timeout(self._deadline_ms / 1000):
                text = await outcome(work)
        except TimeoutError as exc:
            if decoder is self._decoder and decoder.ended == ended_before:
                self._nothing_has_ended()
            raise VoiceFailed(f"no transcript after {self._deadline_ms} ms") from exc
        except CancelledError as exc:
            raise VoiceFailed("the recognizer was closed, or is being replaced") from exc
        except Exception as exc:  # the adapter boundary: the package's errors are not documented
            raise VoiceFailed(f"the recognizer failed ({type(exc).__name__})") from exc
        finally:
            self._waiting -= 1
            work.cancel()
        self._expired = 0
        return text

    def close(self) -> None:
        """Let the decode under way end, in bounded time, drop the rest, release the model."""
        if not self._decoder.close():
            _log.error("an utterance is still being decoded; its thread is left behind")

    def _submit(self, work: Callable[[_Transcriber], str]) -> Future[str]:
        try:
            return self._decoder.submit(work)
        except RuntimeError as exc:
            raise VoiceFailed("the recognizer is closed") from exc

    def _nothing_has_ended(self) -> None:
        """A deadline has passed, and the model has been busy with one utterance all the time."""
        self._expired += 1
        if self._expired != _STUCK_AFTER or self._replaced == _MOST_REPLACED:
            return
        self._replaced += 1
        _log.error("one utterance is being decoded without an end: the model and its thread are replaced")
        self._decoder.abandon()
        self._decoder = _Decoder(lambda: _load(self._files))
        self._decoder.load()
        working = self._decoder.submit(lambda model: _decode(model, _SILENCE))
        working.add_done_callback(self._replacement_works)

    def _replacement_works(self, decoded: Future[str]) -> None:
        if decoded.cancelled():
            return  # closed meanwhile, or stuck as well
        if decoded.exception() is not None:
            _log.error("the model that was to take its place does not work: %s", decoded.exception())
        else:
            self._expired = 0
            _log.warning("the model has been replaced")


class _Decoder:
    """One model and the one thread that touches it."""

    def __init__(self, load: Callable[[], _Transcriber]) -> None:
        self._load = load
        self._thread = Workers(1, name="moonshine")
        self._model: _Transcriber | None = None
        self.ended = 0
        """Utterances that came to their end; written by the thread only."""

    def load(self) -> Future[None]:
        """Load the model; everything else comes after it. Raises what loading raises, in what it returns."""

        def load() -> None:
            self._model = self._load()

        return self._thread.submit(load)

    def submit(self, work: Callable[[_Transcriber], str]) -> Future[str]:
        """Have something done with the model. Raises RuntimeError once it is closed."""

        def decode() -> str:
            if self._model is None:
                raise VoiceFailed("the model could not be loaded")
            try:
                return work(self._model)
            finally:
                self.ended += 1

        return self._thread.submit(decode)

    def close(self) -> bool:
        """Release the model once what is under way has ended; False where it does not, in bounded time."""
        ended = self._thread.close()
        if ended and self._model is not None:
            self._model.close()
        return ended

    def abandon(self) -> None:
        """Leave it to itself: what waits is dropped, the model is gone when what is under way ends."""
        self._thread.close(within_ms=0)


def _hear(model: _Transcriber, audio: bytes, audio_format: AudioFormat) -> str:
    samples = from_bytes(audio, audio_format)
    if voiced_ms(samples, rate_hz=audio_format.rate_hz) < _SHORTEST_WORD_MS:
        return ""
    wide = resample(samples, from_hz=audio_format.rate_hz, to_hz=_RATE_HZ)
    return _decode(model, [*_PADDING, *wide.tolist(), *_PADDING])


def _decode(model: _Transcriber, samples: list[float]) -> str:
    lines = model.transcribe_without_streaming(samples, _RATE_HZ).lines
    return " ".join(line.text.strip() for line in lines).strip()


class _MoonshineHandle:
    def __init__(self, engine: MoonshineRecognizer, audio: AudioFormat, locale: str) -> None:
        self._engine = engine
        self._audio = audio
        self._language = language_for(locale)
        self._open = True

    async def transcribe(self, audio: bytes, *, hints: Sequence[str] = ()) -> Transcript:
        """Return the words, empty for noise; the model takes no hints, the conversation finds names in them.

        Empty as well once the handle is closed. Raises VoiceFailed.
        """
        text = await self._engine.words_in(audio, self._audio, wanted=lambda: self._open)
        if not self._open or self._language.is_noise(text):
            return Transcript(text="")
        return Transcript(text=text)

    def close(self) -> None:
        """Abandon what waits; a decode under way is finished and dropped."""
        self._open = False


def _load(files: Sequence[Path]) -> _Transcriber:
    library("numpy")
    library("soxr")
    moonshine = library(_PACKAGE)
    model = moonshine.Transcriber(files[0].parent, moonshine.ModelArch.TINY, options=_OPTIONS)
    return cast("_Transcriber", model)

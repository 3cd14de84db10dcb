"""Writes down what the caller said, on this machine: Moonshine tiny, English.

Model and weights (MIT) come in `moonshine-voice` 0.1.0, the last release that carries them. The
model is not thread-safe: shared by four threads it returned another caller's words in 106 of 176
decodes. One worker thread therefore owns it and decodes one utterance after the other, 0.1 to 0.4 s
each on two shared cores.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from pathlib import Path
from typing import Protocol, cast

from voiceagent.errors import OperatorError, VoiceFailed
from voiceagent.language import language_for
from voiceagent.ports import AudioFormat, Transcript
from voiceagent.speech.samples import from_bytes, resample, voiced_ms
from voiceagent.speech.weights import WeightsFile, library
from voiceagent.speech.workers import outcome

__all__ = ["MoonshineRecognizer"]

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

_RATE_HZ = 16000
_PADDING = [0.0] * (_RATE_HZ * 300 // 1000)
"""0.3 s of silence on both sides: without it some voices lose up to three times as many words."""
_OPTIONS = {"vad_threshold": "0"}
"""The model's own voice detection off: the caller's audio was cut by ours."""
_SHORTEST_WORD_MS = 200
"""Given a click the model invents a word. The shortest word we measured, "A", takes 230 ms."""

_DEADLINE_MS = 5000
_BACKLOG = 32
"""Utterances that may wait; one more would only be told later that its deadline has passed."""


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
        self._model = _load([file.verified(weights_dir) for file in _WEIGHTS])
        self._worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="moonshine")
        self._waiting = 0

    def warm_up(self) -> None:
        """Decode a second of silence, so that the first caller does not pay for it. Blocks."""
        self._worker.submit(self._decode, [0.0] * _RATE_HZ).result()

    def open(self, audio: AudioFormat, *, locale: str) -> _MoonshineHandle:
        """Return a handle for one call. Raises OperatorError for a language that is not English."""
        if not locale.lower().startswith("en"):
            raise OperatorError(f"Moonshine tiny-en hears English, not {locale!r}")
        return _MoonshineHandle(self, audio, locale)

    async def words_in(self, audio: bytes, audio_format: AudioFormat, *, wanted: Callable[[], bool]) -> str:
        """Return the words of one utterance, raw, or nothing where `wanted` no longer holds.

        Raises VoiceFailed: too many wait, the deadline has passed, the model failed, or closed.
        """
        if self._waiting >= _BACKLOG:
            raise VoiceFailed(f"{_BACKLOG} utterances wait for the recognizer already")
        work = self._submit(lambda: self._hear(audio, audio_format) if wanted() else "")
        self._waiting += 1
        try:
            async with asyncio.timeout(self._deadline_ms / 1000):
                return await outcome(work)
        except TimeoutError as exc:
            raise VoiceFailed(f"no transcript after {self._deadline_ms} ms") from exc
        except CancelledError as exc:
            raise VoiceFailed("the recognizer was closed") from exc
        except Exception as exc:  # the adapter boundary: the package's errors are not documented
            raise VoiceFailed(f"the recognizer failed: {exc}") from exc
        finally:
            self._waiting -= 1
            work.cancel()

    def close(self) -> None:
        """Let the decode under way end, drop the rest, release the model."""
        self._worker.shutdown(cancel_futures=True)
        self._model.close()

    def _submit(self, work: Callable[[], str]) -> Future[str]:
        try:
            return self._worker.submit(work)
        except RuntimeError as exc:
            raise VoiceFailed("the recognizer is closed") from exc

    def _hear(self, audio: bytes, audio_format: AudioFormat) -> str:
        samples = from_bytes(audio, audio_format)
        if voiced_ms(samples, rate_hz=audio_format.rate_hz) < _SHORTEST_WORD_MS:
            return ""
        wide = resample(samples, from_hz=audio_format.rate_hz, to_hz=_RATE_HZ)
        return self._decode([*_PADDING, *wide.tolist(), *_PADDING])

    def _decode(self, samples: list[float]) -> str:
        lines = self._model.transcribe_without_streaming(samples, _RATE_HZ).lines
        return " ".join(line.text.strip() for line in lines).strip()


class _MoonshineHandle:
    def __init__(self, engine: MoonshineRecognizer, audio: AudioFormat, locale: str) -> None:
        self._engine = engine
        self._audio = audio
        self._language = language_for(locale)
        self._open = True

    async def transcribe(self, audio: bytes, *, hints: Sequence[str] = ()) -> Transcript:
        """Return the words, empty for noise; the model takes no hints.

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

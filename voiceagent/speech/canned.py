"""Canned phrases: what an agent says again and again is rendered before the first call, and needs no engine after that.

Where every synthesizer is dead, a call still says that it is sorry, and says goodbye.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass

from voiceagent.language import Language, language_for
from voiceagent.ports import AudioFormat, SynthesizerEngine, SynthesizerHandle, WordsSpoken

__all__ = ["CannedPhrases"]


@dataclass(frozen=True, slots=True)
class _Phrase:
    text: str
    audio: AudioFormat
    voice: str | None


class CannedPhrases:
    """Keeps what it is told to render for as long as the process lives; fulfils `SynthesizerEngine`.

    Only what a flow declares is rendered ahead, so there is not much of it, and nothing of any caller's.
    """

    def __init__(self, engine: SynthesizerEngine) -> None:
        """Take the engine over: it says everything else."""
        self._engine = engine
        self._kept: dict[_Phrase, bytes] = {}

    @property
    def healthy(self) -> bool:
        """Whether the engine is: a call needs more than what is kept."""
        return self._engine.healthy

    def open(self, audio: AudioFormat, *, voice: str | None, locale: str) -> _CannedHandle:
        """Return a handle for one call."""
        handle = self._engine.open(audio, voice=voice, locale=locale)
        return _CannedHandle(handle, self._kept, audio=audio, voice=voice, language=language_for(locale))

    async def render(self, text: str, audio: AudioFormat, *, voice: str | None) -> bytes:
        """Return the audio of `text` and keep it. Raises VoiceFailed."""
        phrase = _Phrase(text, audio, voice)
        if phrase not in self._kept:
            self._kept[phrase] = await self._engine.render(text, audio, voice=voice)
        return self._kept[phrase]

    def close(self) -> None:
        """Close the engine."""
        self._engine.close()


class _CannedHandle:
    def __init__(
        self,
        handle: SynthesizerHandle,
        kept: Mapping[_Phrase, bytes],
        *,
        audio: AudioFormat,
        voice: str | None,
        language: Language,
    ) -> None:
        self._handle = handle
        self._kept = kept
        self._audio = audio
        self._voice = voice
        self._language = language

    async def speak(self, text: str) -> AsyncGenerator[bytes | WordsSpoken]:
        """Yield the audio of `text`, all at once where it is kept; no engine sees its markup. Raises VoiceFailed."""
        kept = self._kept.get(_Phrase(text, self._audio, self._voice))
        if kept is not None:
            yield kept
            return
        said = self._language.speakable(text)
        if not said:
            return
        pieces = self._handle.speak(said)
        try:
            async for piece in pieces:
                yield piece
        finally:
            if isinstance(pieces, AsyncGenerator):
                await pieces.aclose()

    def close(self) -> None:
        """Forget this call."""
        self._handle.close()

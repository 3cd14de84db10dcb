"""Canned phrases: what an agent says again and again is rendered before the first call, and needs no engine after that.

Where every synthesizer is dead, a call still says that it is sorry, and says goodbye.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, replace

from voiceagent.audio import alaw_to_pcm16, half_as_loud, mulaw_to_pcm16, pcm16_to_alaw, pcm16_to_mulaw
from voiceagent.language import language_for
from voiceagent.ports import AudioFormat, PerhapsUnable, SynthesizerEngine, SynthesizerHandle, WordsSpoken
from voiceagent.spec.prompt import DEFAULT_LOCALE

__all__ = ["CannedPhrases"]


@dataclass(frozen=True, slots=True)
class _Phrase:
    text: str
    audio: AudioFormat
    voice: str | None
    locale: str
    speaking_rate: float | None


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

    @property
    def languages(self) -> Sequence[str]:
        """What the engine speaks."""
        return self._engine.languages

    def open(
        self, audio: AudioFormat, *, voice: str | None, locale: str, speaking_rate: float | None = None
    ) -> _CannedHandle:
        """Return a handle for one manner of speaking in one call."""
        handle = self._engine.open(audio, voice=voice, locale=locale, speaking_rate=speaking_rate)
        return _CannedHandle(handle, self._kept, _Phrase("", audio, voice, locale, speaking_rate))

    async def render(
        self,
        text: str,
        audio: AudioFormat,
        *,
        voice: str | None,
        locale: str = DEFAULT_LOCALE,
        speaking_rate: float | None = None,
    ) -> bytes:
        """Return the audio of `text` and keep it. Raises VoiceFailed."""
        phrase = _Phrase(text, audio, voice, locale, speaking_rate)
        if phrase not in self._kept:
            self._kept[phrase] = await self._engine.render(
                text, audio, voice=voice, locale=locale, speaking_rate=speaking_rate
            )
        return self._kept[phrase]

    def close(self) -> None:
        """Close the engine."""
        self._engine.close()


class _CannedHandle:
    def __init__(self, handle: SynthesizerHandle, kept: Mapping[_Phrase, bytes], manner: _Phrase) -> None:
        """`manner` is how it speaks: a phrase without its words."""
        self._handle = handle
        self._kept = kept
        self._manner = manner
        self._language = language_for(manner.locale)

    @property
    def unable(self) -> str | None:
        """Why nothing but what is kept can be said; None where it can."""
        return self._handle.unable if isinstance(self._handle, PerhapsUnable) else None

    async def speak(self, text: str, *, softly: bool = False) -> AsyncGenerator[bytes | WordsSpoken]:
        """Yield the audio of `text`, all at once where it is kept; no engine sees its markup. Raises VoiceFailed."""
        kept = self._kept.get(replace(self._manner, text=text))
        if kept is not None:
            yield _softer(kept, self._manner.audio) if softly else kept
            return
        said = self._language.speakable(text)
        if not said:
            return
        pieces = self._handle.speak(said)
        try:
            async for piece in pieces:
                yield _softer(piece, self._manner.audio) if softly and isinstance(piece, bytes) else piece
        finally:
            if isinstance(pieces, AsyncGenerator):
                await pieces.aclose()

    def close(self) -> None:
        """Forget this call."""
        self._handle.close()


def _softer(audio: bytes, audio_format: AudioFormat) -> bytes:
    match audio_format.encoding:
        case "mulaw":
            return pcm16_to_mulaw(half_as_loud(mulaw_to_pcm16(audio)))
        case "alaw":
            return pcm16_to_alaw(half_as_loud(alaw_to_pcm16(audio)))
        case "pcm16":
            return half_as_loud(audio)

"""Beside a speech model: the voices that a flow names are that model's, so the synthesizer speaks with its own."""

from __future__ import annotations

from collections.abc import Sequence

from voiceagent.ports import AudioFormat, SynthesizerEngine, SynthesizerHandle
from voiceagent.spec.prompt import DEFAULT_LOCALE

__all__ = ["UnnamedVoice"]


class UnnamedVoice:
    """A synthesizer that nobody asks for a voice; fulfils `SynthesizerEngine`."""

    def __init__(self, engine: SynthesizerEngine) -> None:
        """Take the engine over."""
        self._engine = engine

    @property
    def healthy(self) -> bool:
        """Whether the engine is."""
        return self._engine.healthy

    @property
    def languages(self) -> Sequence[str]:
        """What the engine speaks."""
        return self._engine.languages

    def open(
        self, audio: AudioFormat, *, voice: str | None, locale: str, speaking_rate: float | None = None
    ) -> SynthesizerHandle:
        """Return the engine's handle, whatever voice is wanted."""
        del voice
        return self._engine.open(audio, voice=None, locale=locale, speaking_rate=speaking_rate)

    async def render(
        self,
        text: str,
        audio: AudioFormat,
        *,
        voice: str | None,
        locale: str = DEFAULT_LOCALE,
        speaking_rate: float | None = None,
    ) -> bytes:
        """Return the audio of `text`, whatever voice is wanted. Raises VoiceFailed."""
        del voice
        return await self._engine.render(text, audio, voice=None, locale=locale, speaking_rate=speaking_rate)

    def close(self) -> None:
        """Close the engine."""
        self._engine.close()

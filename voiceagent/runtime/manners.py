"""Manners: how a call speaks and hears, phase by phase; the language, the voice and the pace change together or not."""

from __future__ import annotations

from contextlib import ExitStack

from voiceagent.errors import VoiceFailed
from voiceagent.language import language_for
from voiceagent.ports import AudioFormat, Engines, PerhapsUnable, RecognizerHandle, SynthesizerHandle
from voiceagent.runtime.spoken_text import PlainVoice
from voiceagent.spec.manner import Manner

__all__ = ["Manners"]


class Manners:
    """The handles of one call, one for each manner that it has had: what was to be said in one of them still is."""

    def __init__(self, engines: Engines, manner: Manner, *, audio_in: AudioFormat, audio_out: AudioFormat) -> None:
        """The call begins in this manner. Raises whatever an engine does that has it not."""
        self._engines = engines
        self._audio_in = audio_in
        self._audio_out = audio_out
        self._voices: dict[Manner, PlainVoice] = {}
        self._recognizers: dict[str, RecognizerHandle] = {}
        self.language = language_for(manner.language)
        # Where no engine speaks or hears at all the call begins all the same, and says what was rendered ahead.
        self.voice = self._voices[manner] = PlainVoice(self._mouth(manner), self.language)
        """What speaks now."""
        self.recognizer = self._recognizers[manner.language] = self._ears(manner.language)
        """What hears now."""

    def change(self, manner: Manner) -> None:
        """Speak and hear in this manner from here on.

        Raises VoiceFailed where nobody can, and whatever else an engine does: then nothing has changed.
        """
        voice, recognizer = self._voice_in(manner), self._recognizer_in(manner.language)
        self.language, self.voice, self.recognizer = language_for(manner.language), voice, recognizer

    def close(self) -> None:
        """Give all handles back, whatever one of them raises."""
        with ExitStack() as closing:
            for handle in (*self._voices.values(), *self._recognizers.values()):
                closing.callback(handle.close)

    def _voice_in(self, manner: Manner) -> PlainVoice:
        if manner not in self._voices:
            mouth = self._mouth(manner)
            _require_able(mouth)
            self._voices[manner] = PlainVoice(mouth, language_for(manner.language))
        return self._voices[manner]

    def _recognizer_in(self, locale: str) -> RecognizerHandle:
        if locale not in self._recognizers:
            ears = self._ears(locale)
            _require_able(ears)
            self._recognizers[locale] = ears
        return self._recognizers[locale]

    def _mouth(self, manner: Manner) -> SynthesizerHandle:
        return self._engines.synthesizer.open(
            self._audio_out, voice=manner.voice, locale=manner.language, speaking_rate=manner.speaking_rate
        )

    def _ears(self, locale: str) -> RecognizerHandle:
        return self._engines.recognizer.open(self._audio_in, locale=locale)


def _require_able(handle: SynthesizerHandle | RecognizerHandle) -> None:
    if isinstance(handle, PerhapsUnable) and (why := handle.unable) is not None:
        handle.close()
        raise VoiceFailed(why)

"""The voice of a caller who is played in real audio: the local synthesizer, as another person.

The agent speaks with the same synthesizer: a faster and higher voice cannot be taken for its own. Code and voice of
Hibari are Apache-2.0, which does not restrict what is made with them; soxr is LGPL-2.1 and used as it is installed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, assert_never, cast

from voiceagent.ports import MULAW_8K, AudioFormat, SynthesizerEngine
from voiceagent.speech.samples import from_bytes, resample, to_bytes
from voiceagent.testing.audio_plan import Noise, Pause, Sound, Words
from voiceagent.testing.utterance import Utterance

if TYPE_CHECKING:
    from voiceagent.speech.samples import Samples

__all__ = ["CallerAudio"]

_WIDE = AudioFormat("pcm16", 24_000)
_PLAYED_AT_HZ = 25_800
"""Played so much faster, a voice is more than a semitone higher: another person, who is understood as well. Slower, its
pauses within a row of digits would become those at the end of it."""
_BAND_HZ = (300, 3_400)
"""What a telephone lets through."""
_NOISE_LEVEL = 0.1
_FADE_MS = 20
_SILENT_AFTER_MS = 100


class CallerAudio:
    """Makes utterances of sounds; the same sounds are always the same audio."""

    def __init__(self, synthesizer: SynthesizerEngine) -> None:
        self._synthesizer = synthesizer

    async def utterance(self, sounds: Sequence[Sound], *, name: str) -> Utterance | None:
        """Return the sounds one after the other; None where there are none. Raises VoiceFailed, ScriptError."""
        if not sounds:
            return None
        pieces = [await self._piece(sound) for sound in sounds]
        return Utterance.from_mulaw(name, b"".join([*pieces, _silence(_SILENT_AFTER_MS)]))

    async def _piece(self, sound: Sound) -> bytes:
        match sound:
            case Words(text):
                said = from_bytes(await self._synthesizer.render(text, _WIDE, voice=None), _WIDE)
                return to_bytes(resample(said, from_hz=_PLAYED_AT_HZ, to_hz=MULAW_8K.rate_hz), MULAW_8K)
            case Pause(ms):
                return _silence(ms)
            case Noise(ms):
                return to_bytes(_noise(ms), MULAW_8K)
            case _:
                assert_never(sound)


def _silence(ms: int) -> bytes:
    return to_bytes(_zeros(ms), MULAW_8K)


def _zeros(ms: int) -> Samples:
    import numpy as np

    return np.zeros(MULAW_8K.rate_hz * ms // 1_000, np.float32)


def _noise(ms: int) -> Samples:
    """Return noise in the telephone's band, faded in and out."""
    import numpy as np

    white = np.random.default_rng(ms).standard_normal(len(_zeros(ms)))
    spectrum = np.fft.rfft(white)
    at_hz = np.fft.rfftfreq(len(white), 1 / MULAW_8K.rate_hz)
    spectrum[(at_hz < _BAND_HZ[0]) | (at_hz > _BAND_HZ[1])] = 0
    banded = np.fft.irfft(spectrum, len(white))
    fade = np.clip(np.arange(len(white)) / (MULAW_8K.rate_hz * _FADE_MS / 1_000), 0, 1)
    return cast("Samples", (banded / banded.std() * _NOISE_LEVEL * fade * fade[::-1]).astype(np.float32))

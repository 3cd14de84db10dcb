"""What a scripted caller says: a recorded utterance, ready for the telephone line."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from voiceagent.audio import FRAME_MS, MULAW_SILENCE, cut_frames, mulaw_energy, pcm16_to_mulaw, read_wav
from voiceagent.errors import ScriptError, Source
from voiceagent.ports import MULAW_8K, AudioFormat

__all__ = ["VOICED_ENERGY", "Utterance", "read_utterance"]

VOICED_ENERGY = 100
"""Mean absolute sample value, about -50 dBFS: telephone speech is ten times that, line noise a third of it."""

_BELOW_LOUDEST = 18
"""A frame 25 dB below the loudest one is no voice, even where the recording is noisy."""


@dataclass(frozen=True, slots=True)
class Utterance:
    """A caller's utterance on a telephone line."""

    name: str
    frames: tuple[bytes, ...]
    """µ-law at 8 kHz, 20 ms each."""
    voiced_from_ms: int
    """Where the first voiced frame begins."""
    voiced_until_ms: int
    """Where the last voiced frame ends."""

    @classmethod
    def from_mulaw(cls, name: str, audio: bytes) -> Utterance:
        """Make an utterance of µ-law audio at 8 kHz, any length. Raises ScriptError where nothing in it is voiced."""
        frames = tuple(cut_frames(audio, bytes_per_ms=MULAW_8K.bytes_per_ms, silence=MULAW_SILENCE))
        energies = [mulaw_energy(frame) for frame in frames]
        threshold = max(VOICED_ENERGY, max(energies, default=0) // _BELOW_LOUDEST)
        voiced = [number for number, energy in enumerate(energies) if energy >= threshold]
        if not voiced:
            raise ScriptError("holds nothing but silence", source=Source(name))
        return cls(name, frames, voiced[0] * FRAME_MS, (voiced[-1] + 1) * FRAME_MS)


def read_utterance(path: Path) -> Utterance:
    """Read a 16-bit mono wave file of any rate.

    Raises ScriptError where it is none or is silent, MissingExtra where another rate than 8 kHz has to be converted
    and the extra `local` is not installed.
    """
    pcm, rate_hz = read_wav(path)
    pcm = pcm[: len(pcm) // 2 * 2]  # a file cut short may end inside a sample
    return Utterance.from_mulaw(path.name, _telephone_audio(pcm, rate_hz))


def _telephone_audio(pcm: bytes, rate_hz: int) -> bytes:
    if rate_hz == MULAW_8K.rate_hz:
        return pcm16_to_mulaw(pcm)
    from voiceagent.speech.samples import from_bytes, resample, to_bytes
    from voiceagent.speech.weights import library

    library("numpy")  # named in the error before the conversion would stumble over it
    samples = from_bytes(pcm, AudioFormat("pcm16", rate_hz))
    return to_bytes(resample(samples, from_hz=rate_hz, to_hz=MULAW_8K.rate_hz), MULAW_8K)

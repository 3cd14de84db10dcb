"""What callers say to servers that tell a voice from a tone: a sentence that is over when its last sound is."""

from __future__ import annotations

from pathlib import Path

from benchmarks.full.voice import spoken_sentence
from voiceagent.audio import FRAME_MS, mulaw_energy

__all__ = ["sentence", "without_its_silence"]

_FRAME_BYTES = 8 * FRAME_MS
_LOUD = 500
"""As for the servers that go by loudness."""


def sentence() -> Path | None:
    """Return a file of 8 kHz µ-law; None where the local engines, which speak it, are not installed."""
    spoken = spoken_sentence()
    if spoken is None:
        return None
    trimmed = spoken.with_name("next-thing-trimmed.ulaw")
    trimmed.write_bytes(without_its_silence(spoken.read_bytes()))
    return trimmed


def without_its_silence(mulaw: bytes) -> bytes:
    """Return 8 kHz µ-law without the quiet frames at its end, so that the wait for an answer begins there."""
    end = len(mulaw)
    while end > 0 and mulaw_energy(mulaw[max(0, end - _FRAME_BYTES) : end]) < _LOUD:
        end -= _FRAME_BYTES
    return mulaw[: max(0, end)]

"""What the bytes of a line are made of: G.711's codes or 16-bit samples, made of each other."""

from __future__ import annotations

from typing import Literal, assert_never

from voiceagent.audio.g711 import alaw_to_pcm16, mulaw_to_pcm16, pcm16_to_alaw, pcm16_to_mulaw

__all__ = ["Encoding", "from_pcm16", "to_pcm16"]

Encoding = Literal["mulaw", "alaw", "pcm16"]


def to_pcm16(audio: bytes, encoding: Encoding) -> bytes:
    """Return the audio as 16-bit little-endian samples."""
    match encoding:
        case "mulaw":
            return mulaw_to_pcm16(audio)
        case "alaw":
            return alaw_to_pcm16(audio)
        case "pcm16":
            return audio
        case _:
            assert_never(encoding)


def from_pcm16(pcm: bytes, encoding: Encoding) -> bytes:
    """Return 16-bit little-endian samples in this encoding. Raises ValueError for half a sample, in G.711's."""
    match encoding:
        case "mulaw":
            return pcm16_to_mulaw(pcm)
        case "alaw":
            return pcm16_to_alaw(pcm)
        case "pcm16":
            return pcm
        case _:
            assert_never(encoding)

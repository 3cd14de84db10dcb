"""Frames: audio cut into the short equal pieces that a telephone line carries."""

from __future__ import annotations

from collections.abc import Iterator

from voiceagent.audio.pcm import pad_to_multiple

__all__ = ["FRAME_MS", "cut_frames"]

FRAME_MS = 20
"""The length of a frame on every telephone dialect that we speak."""


def cut_frames(audio: bytes, *, bytes_per_ms: int, silence: int, frame_ms: int = FRAME_MS) -> Iterator[bytes]:
    """Yield equal frames of `frame_ms`; the last one is filled up with `silence` bytes.

    `silence` is MULAW_SILENCE, ALAW_SILENCE or, for 16-bit samples, 0. No audio gives no frame.
    """
    frame_bytes = bytes_per_ms * frame_ms
    padded = pad_to_multiple(audio, frame_bytes, silence=silence)
    for start in range(0, len(padded), frame_bytes):
        yield padded[start : start + frame_bytes]

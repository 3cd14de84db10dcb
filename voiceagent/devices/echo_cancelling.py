"""Echo cancelling: what the loudspeaker says is taken out of what the microphone hears, so that both may talk at once.

WebRTC's audio processing as LiveKit ships it: it finds the delay between both by itself, up to a quarter of a second
and more, and takes the echo down by some 50 dB; whoever talks at the same time stays.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from voiceagent.devices.echo import ROOM_MS, HalfDuplex
from voiceagent.errors import MissingExtra
from voiceagent.ports import AudioFormat

__all__ = ["EchoCanceller"]

_STEP_MS = 10
"""The only length of audio that it takes."""
_LEARNS_MS = 1_500
"""Of the agent's voice: within its first second an echo is 25 dB down and still understood, then 50 dB."""


class EchoCanceller:
    """Hears the caller alone; until it has learned how the room sounds, while the agent is silent. Fulfils `Echo`."""

    def __init__(self, audio: AudioFormat, *, after_ms: int) -> None:
        """`after_ms`: from when a sound is handed over to when it is heard. Raises MissingExtra."""
        try:
            self._frame: Any = import_module("livekit.rtc").AudioFrame
            processing: Any = import_module("livekit.rtc.apm")
        except ImportError as exc:
            raise MissingExtra("taking the echo out", extra="echo") from exc
        self._rate_hz = audio.rate_hz
        self._step_bytes = _STEP_MS * audio.bytes_per_ms
        self._webrtc: Any = processing.AudioProcessingModule(echo_cancellation=True, high_pass_filter=True)
        self._webrtc.set_stream_delay_ms(after_ms)
        self._turns = HalfDuplex(tail_ms=after_ms + ROOM_MS, bytes_per_ms=audio.bytes_per_ms)
        self._unlearned_bytes = _LEARNS_MS * audio.bytes_per_ms

    def play(self, audio: bytes) -> None:
        """Learn what is going to be heard."""
        for step in self._steps(audio):
            self._webrtc.process_reverse_stream(step)
        if self._unlearned_bytes > 0 and audio.strip(b"\0"):
            self._unlearned_bytes -= len(audio)
            self._turns.play(audio)

    def hear(self, audio: bytes) -> bytes:
        """Return it without that."""
        steps = self._steps(audio)
        for step in steps:
            self._webrtc.process_stream(step)
        caller = b"".join(bytes(step.data) for step in steps)
        return caller if self._unlearned_bytes <= 0 else self._turns.hear(caller)

    def _steps(self, audio: bytes) -> list[Any]:
        size = self._step_bytes
        samples = size // 2
        return [
            self._frame(bytearray(audio[at : at + size]), self._rate_hz, 1, samples)
            for at in range(0, len(audio), size)
        ]

"""What callers say, from the demo's files, and what somebody understands who listens to what they heard."""

from __future__ import annotations

import wave
from contextlib import suppress
from pathlib import Path

import numpy as np
from ear import what_the_agent_said

from voiceagent.audio import FRAME_MS, mulaw_to_pcm16
from voiceagent.errors import VoiceFailed
from voiceagent.testing.utterance import read_utterance

__all__ = ["spoken", "understood", "write_wav"]

_SPEECH = Path(__file__).parents[2] / "demo" / "speech"


def spoken(name: str) -> bytes:
    """Return what a caller says as PCM16 at 8 kHz, from the first sound on."""
    utterance = read_utterance(_SPEECH / f"{name}.wav")
    return mulaw_to_pcm16(b"".join(utterance.frames[utterance.voiced_from_ms // FRAME_MS :]))


def write_wav(to: Path, pcm16: bytes, channels: int = 1) -> None:
    """Write a recording at 8 kHz."""
    with wave.open(str(to), "wb") as written:
        written.setnchannels(channels)
        written.setsampwidth(2)
        written.setframerate(8_000)
        written.writeframes(pcm16)


async def understood(agent_pcm16: bytes, folder: Path) -> tuple[str, ...]:
    """Return what the ear makes of the agent's side: a busy machine may keep it from that at first."""
    agent = np.frombuffer(agent_pcm16, "<i2")
    recording = folder / "stereo.wav"
    write_wav(recording, np.stack([np.zeros_like(agent), agent], axis=1).tobytes(), channels=2)
    for _ in range(3):
        with suppress(VoiceFailed):
            return await what_the_agent_said(recording)
    return await what_the_agent_said(recording)

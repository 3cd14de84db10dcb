"""Echo: what is done so that an agent on a loudspeaker does not take its own voice for the caller's."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from voiceagent.audio import level_dbfs
from voiceagent.errors import MissingExtra

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Samples = NDArray[np.float64]

__all__ = ["ROOM_MS", "Echo", "EchoHeard", "HalfDuplex", "Untouched", "echo_heard", "probe_sound"]

ROOM_MS = 200
"""How long a room rings."""
_FROM_HZ, _TO_HZ, _SOUND_MS = 400.0, 3_000.0, 400
_AMPLITUDE = 0.2
"""17 dB below full scale: about as loud as the agent speaks."""
_LIKE = 0.3
"""Noise alone has 0.1 at most with a sound of this length and width; an echo 10 dB below the room's noise has 0.3."""
_AUDIBLE_DBFS = -60.0
"""What is quieter than that is no voice for anybody."""


class Echo(Protocol):
    """Stands between the call and both devices; each method is called in a thread of its own, with whole blocks."""

    def play(self, audio: bytes) -> None:
        """Learn what the loudspeaker is about to be given."""
        ...

    def hear(self, audio: bytes) -> bytes:
        """Return what the caller has said of what the microphone has heard, of the same length."""
        ...


class Untouched:
    """The microphone does not hear the loudspeaker; fulfils `Echo`."""

    def play(self, audio: bytes) -> None:
        """Nothing is to be known."""

    def hear(self, audio: bytes) -> bytes:
        """Return it as it is."""
        return audio


class HalfDuplex:
    """The caller is heard only while the agent is silent; fulfils `Echo`.

    It counts in audio: both devices take a second for a second.
    """

    def __init__(self, *, tail_ms: int, bytes_per_ms: int) -> None:
        """`tail_ms`: how long after a block has been handed over its last sound may still be heard."""
        self._tail_bytes = tail_ms * bytes_per_ms
        self._deaf_bytes = 0

    def play(self, audio: bytes) -> None:
        """Be deaf for as long as this can be heard."""
        if audio.strip(b"\0"):
            self._deaf_bytes = self._tail_bytes + len(audio)

    def hear(self, audio: bytes) -> bytes:
        """Return silence while the agent is audible."""
        if self._deaf_bytes <= 0:
            return audio
        self._deaf_bytes -= len(audio)
        return bytes(len(audio))


# --- whether it is heard ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class EchoHeard:
    """The microphone hears the loudspeaker."""

    after_ms: int
    """From when a sound is handed over to when it is heard."""
    level_db: float
    """Against what was played."""


def probe_sound(rate_hz: int) -> bytes:
    """Return the sound by which an echo is looked for: a short rising tone, 16-bit samples. Raises MissingExtra."""
    np = _numpy()
    seconds = np.arange(rate_hz * _SOUND_MS // 1_000) / rate_hz
    rise = (_TO_HZ - _FROM_HZ) / (_SOUND_MS / 1_000)
    tone = np.sin(2 * math.pi * (_FROM_HZ + rise / 2 * seconds) * seconds)
    swell = np.minimum(1.0, np.minimum(seconds, seconds[::-1]) / 0.02)  # a click at either end would be heard as one
    return (tone * swell * _AMPLITUDE * 32_767).astype("<i2").tobytes()


def echo_heard(played: bytes, heard: bytes, *, rate_hz: int) -> EchoHeard | None:
    """Look for what was played in what was heard from when it was handed over; None where it is not in there."""
    np = _numpy()
    sound = np.frombuffer(played, "<i2").astype(np.float64)
    room = np.frombuffer(heard, "<i2").astype(np.float64)
    if len(room) < len(sound) or not sound.any():
        return None
    places = len(room) - len(sound) + 1
    size = 1 << (len(room) + len(sound)).bit_length()
    alike = np.fft.irfft(np.fft.rfft(room, size) * np.conj(np.fft.rfft(sound, size)), size)[:places]
    power = np.cumsum(np.concatenate([[0.0], room**2]))
    energy = np.maximum(power[len(sound) :] - power[: -len(sound)], 1.0)
    likeness = np.abs(alike) / np.sqrt(energy * np.sum(sound**2))
    at = int(np.argmax(likeness))
    level_dbfs_of_echo = level_dbfs(heard[2 * at : 2 * (at + len(sound))])
    if likeness[at] < _LIKE or level_dbfs_of_echo < _AUDIBLE_DBFS:
        return None
    return EchoHeard(at * 1_000 // rate_hz, level_dbfs_of_echo - level_dbfs(played))


def _numpy():
    try:
        import numpy as np
    except ImportError as exc:
        raise MissingExtra("the microphone", extra="mic") from exc
    return np

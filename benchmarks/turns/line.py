"""The line: silence before and after what is said, noise at a level, G.711 and frames of 20 ms."""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.turns.material import Clip
from benchmarks.turns.sound import RATE_HZ, piece, silence
from voiceagent.audio import FRAME_MS, read_wav
from voiceagent.ports import MULAW_8K, AudioFormat
from voiceagent.speech.samples import from_bytes, to_bytes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from voiceagent.speech.samples import Samples

__all__ = ["CLEAN", "CONDITIONS", "LEAD_MS", "Condition", "Noises", "frames_of", "on_the_line"]

LEAD_MS = 1_000
"""Before the first word: a caller listens first."""
TAIL_MS = 4_000
_TALKERS = 4
_NOISE_S = 40
_RING_HZ = (440.0, 480.0)
_RING_ON_S, _RING_EVERY_S = 2, 6


@dataclass(frozen=True, slots=True)
class Condition:
    """What is on the line beside the caller."""

    noise: str | None
    snr_db: int = 0
    """How far the caller's speech is above it, both by their root mean square."""

    @property
    def name(self) -> str:
        """As the table has it."""
        return "clean" if self.noise is None else f"{self.noise} {self.snr_db} dB"


CLEAN = Condition(None)
CONDITIONS = (CLEAN, *(Condition(noise, snr_db) for noise in ("babble", "ringing") for snr_db in (15, 5)))


class Noises:
    """Long stretches of noise at the loudness of speech; a clip always meets the same part of it."""

    def __init__(self, talkers: Sequence[Path]) -> None:
        """`talkers` are folders of recordings, one voice each; without any there is no babble."""
        self.kinds: dict[str, Samples] = {"ringing": _ringing()}
        if talkers:
            self.kinds["babble"] = _babble(talkers)

    def take(self, noise: str, ms: int, *, seed: str) -> Samples:
        """Return so much of a noise, from a place that follows from `seed`."""
        import numpy as np

        whole = self.kinds[noise]
        from_sample = random.Random(seed).randrange(len(whole))  # noqa: S311 - the same place every time
        return np.resize(np.roll(whole, -from_sample), ms * RATE_HZ // 1_000)


def on_the_line(clip: Clip, condition: Condition, noises: Noises) -> bytes:
    """Return µ-law of a clip as it comes over the line: LEAD_MS before it, seconds of the same after it."""
    import numpy as np

    samples = np.concatenate([silence(LEAD_MS), clip.samples, silence(TAIL_MS)])
    if condition.noise is not None:
        ms = len(samples) * 1_000 // RATE_HZ
        noise = noises.take(condition.noise, ms, seed=clip.name)
        noise = np.pad(noise, (0, len(samples) - len(noise)))
        samples = samples + noise * 10 ** (-condition.snr_db / 20)
    return to_bytes(np.clip(samples, -1, 1).astype(np.float32), MULAW_8K)


def frames_of(audio: bytes) -> list[bytes]:
    """Return the whole frames of it."""
    size = MULAW_8K.bytes_per_ms * FRAME_MS
    return [audio[begin : begin + size] for begin in range(0, len(audio) - size + 1, size)]


def _babble(folders: Sequence[Path]) -> Samples:
    """Return several people speaking at once, each without a pause, other things in other languages."""
    import numpy as np

    draw = random.Random(_NOISE_S)  # noqa: S311 - the same babble every time
    mixed = silence(_NOISE_S * 1_000)
    for number in range(_TALKERS):
        files = sorted(folders[number % len(folders)].glob("*.wav"))
        draw.shuffle(files)
        said: list[Samples] = []
        while sum(map(len, said)) < len(mixed):
            pcm, rate_hz = read_wav(files.pop())
            if rate_hz == RATE_HZ and len(pcm) > 2 * RATE_HZ:
                said.append(piece(from_bytes(pcm[: len(pcm) // 2 * 2], AudioFormat("pcm16", rate_hz))))
        mixed = mixed + np.concatenate(said)[: len(mixed)]
    return piece(mixed)


def _ringing() -> Samples:
    """Return the North American ringing tone: another telephone in the room, 2 s of every 6."""
    import numpy as np

    at = np.arange(_NOISE_S // _RING_EVERY_S * _RING_EVERY_S * RATE_HZ) / RATE_HZ
    tone = sum((np.sin(2 * np.pi * hz * at) for hz in _RING_HZ), np.zeros_like(at))
    tone[at % _RING_EVERY_S >= _RING_ON_S] = 0.0
    on = tone[at % _RING_EVERY_S < _RING_ON_S]
    return (tone * (0.1 / float(np.sqrt((on**2).mean())))).astype(np.float32)

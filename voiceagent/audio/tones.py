"""Tones: a machine's beep found in what comes over the line, and told from speech, music and the network's own tones.

A beep is one steady frequency with next to nothing beside it. Whatever has several at once (ringing, dial tone, keys,
chords, a voice) is no tone here, and neither is one that moves on to another (information tones, melodies). 425 Hz is
what most of Europe's networks ring and are busy with. Plain Python: a frame of silence takes some 15 µs, one of sound
below 0.2 ms.
"""

from __future__ import annotations

import math
import sys
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from operator import mul

__all__ = ["LONG_MS", "SHORTEST_MS", "Tone", "ToneFinder"]

SHORTEST_MS = 120
LONG_MS = 1_500
"""A tone that has gone on for so long is told of while it lasts."""

_STEP_MS, _WINDOW_MS = 20, 40
"""A window of 40 ms tells 440 from 480 Hz."""
_LOWEST_HZ, _HIGHEST_HZ = 390, 2_150
_NETWORK_HZ = (413, 437)
_QUIETEST = (32_768 * 10 ** (-40 / 20)) ** 2
"""Power of a tone at -40 dBFS, averaged: below it nobody could hear a beep."""
_PURE = 0.85
"""Share of the window's power at the one frequency: what else there is, is 7.5 dB below it."""
_DRIFT_HZ = 12
_SWELL = 2.5
"""The power of a steady tone does not change by more than this, its first and last window left out."""
_MOVES_ON_MS = 120
"""A tone that another one follows so soon, or has just followed, is part of a melody."""


@dataclass(frozen=True, slots=True)
class Tone:
    """One steady tone, in the time of the audio that was fed: it is over, or has lasted `LONG_MS` so far."""

    hz: int
    began_ms: int
    lasted_ms: int


@dataclass(slots=True)
class _Run:
    """Windows in a row with the same tone."""

    hz: float
    power: float
    began_ms: int
    ended_ms: int
    windows: int = 1
    told: bool = False
    spoilt: bool = False
    """Another tone came right before it, or it swells: it is none of ours."""


class ToneFinder:
    """Finds tones in 16-bit audio of one rate, fed in pieces of any length."""

    def __init__(self, rate_hz: int) -> None:
        self._rate_hz = rate_hz
        self._step = rate_hz * _STEP_MS // 1_000
        self._window = rate_hz * _WINDOW_MS // 1_000
        self._samples = array("h")
        self._rest = b""
        self._at_ms = 0
        """Audio time of the first sample that is kept."""
        self._run: _Run | None = None
        self._over: _Run | None = None
        """The last run, as long as it is not known what follows it."""

    def feed(self, pcm: bytes) -> list[Tone]:
        """Take the next bytes of audio and return the tones that are known by them."""
        pcm = self._rest + pcm
        whole = len(pcm) // 2 * 2
        self._rest = pcm[whole:]
        more = array("h", pcm[:whole])
        if sys.byteorder == "big":
            more.byteswap()
        self._samples += more
        found: list[Tone] = []
        while len(self._samples) >= self._window:
            found += self._look(self._samples[: self._window])
            del self._samples[: self._step]
            self._at_ms += _STEP_MS
        return found

    def _look(self, window: array[int]) -> list[Tone]:
        heard = _tone_in(window, self._rate_hz, near_hz=self._run.hz if self._run else None)
        run = self._run
        if heard is not None and run is not None and abs(heard[0] - run.hz) <= _DRIFT_HZ:
            return self._goes_on(run, *heard)
        if run is not None:
            run.spoilt = run.spoilt or heard is not None
            self._run, self._over = None, run
        if heard is None:
            return self._nothing_follows()
        before, self._over = self._over, None
        if before is not None and abs(heard[0] - before.hz) <= _DRIFT_HZ:
            self._run = before  # it was broken off for a moment: a fax machine turns its tone over twice a second
            return self._goes_on(before, *heard)
        self._run = _Run(*heard, began_ms=self._at_ms, ended_ms=self._at_ms + _WINDOW_MS, spoilt=before is not None)
        return []

    def _goes_on(self, run: _Run, hz: float, power: float) -> list[Tone]:
        # The first window has caught the beginning of the tone only, and its power is not the tone's.
        if run.windows > 1 and not run.power / _SWELL <= power <= run.power * _SWELL:
            run.spoilt = run.spoilt or power > run.power
        elif run.windows == 1:
            run.power = power
        run.hz += (hz - run.hz) / min(run.windows + 1, 8)
        run.windows += 1
        run.ended_ms = self._at_ms + _WINDOW_MS
        if run.told or run.spoilt or run.ended_ms - run.began_ms < LONG_MS:
            return []
        run.told = True
        return [self._told(run)]

    def _nothing_follows(self) -> list[Tone]:
        over = self._over
        if over is None or self._at_ms - over.ended_ms < _MOVES_ON_MS:
            return []
        self._over = None
        if over.told or over.spoilt or over.ended_ms - over.began_ms < SHORTEST_MS:
            return []
        return [self._told(over)]

    @staticmethod
    def _told(run: _Run) -> Tone:
        return Tone(round(run.hz), run.began_ms, run.ended_ms - run.began_ms)


def _tone_in(window: array[int], rate_hz: int, *, near_hz: float | None) -> tuple[float, float] | None:
    """Return frequency and power of the one tone in a window; None where there is more, less or nothing."""
    total = sum(map(mul, window, window))
    count = len(window)
    if total < _QUIETEST * count:
        return None
    guess = near_hz if near_hz is not None else _guess(window, rate_hz)
    if guess is None:
        return None
    hz, power = _peak(window, rate_hz, guess)
    if near_hz is not None and power < _PURE * total / count:
        guess = _guess(window, rate_hz)
        if guess is None:
            return None
        hz, power = _peak(window, rate_hz, guess)
    if power < _PURE * total / count or not _LOWEST_HZ <= hz <= _HIGHEST_HZ:
        return None
    return None if _NETWORK_HZ[0] <= hz <= _NETWORK_HZ[1] else (hz, power)


def _guess(window: array[int], rate_hz: int) -> float | None:
    """Return the frequency that the window has if it has one only (Pisarenko: from two lags, so noise does no harm)."""
    count = len(window)
    one = sum(map(mul, window[1:], window)) / (count - 1)
    two = sum(map(mul, window[2:], window)) / (count - 2)
    if not one:
        return rate_hz / 4
    ratio = two / one
    cosine = (ratio + math.copysign(math.sqrt(ratio * ratio + 8), one)) / 4
    return math.acos(cosine) * rate_hz / (2 * math.pi) if -1 < cosine < 1 else None


def _peak(window: Sequence[int], rate_hz: int, guess: float) -> tuple[float, float]:
    """Return the frequency next to the guess at which the power is highest, and that power."""
    width = 1_000 / _WINDOW_MS / 2
    below, at, above = (_power(window, rate_hz, guess + offset) for offset in (-width, 0, width))
    lows, mids, highs = (math.log(power + 1) for power in (below, at, above))
    bend = lows - 2 * mids + highs
    if bend >= 0:
        return guess, at
    shift = max(-width, min(width, (lows - highs) / (2 * bend) * width))
    return guess + shift, _power(window, rate_hz, guess + shift)


def _power(window: Sequence[int], rate_hz: int, hz: float) -> float:
    """Return the power of a sine of this frequency in the window (Goertzel)."""
    turn = 2 * math.cos(2 * math.pi * hz / rate_hz)
    last = before = 0.0
    for sample in window:
        last, before = sample + turn * last - before, last
    count = len(window)
    return 2 * (last * last + before * before - turn * last * before) / (count * count)

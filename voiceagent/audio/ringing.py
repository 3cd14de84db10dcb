"""Ringing: what callers hear while somebody's telephone rings for them, as the exchange of that country makes it."""

from __future__ import annotations

import math
import sys
from array import array
from dataclasses import dataclass

__all__ = ["BRITISH", "EUROPEAN", "NORTH_AMERICAN", "RingingTone", "ringing_tone_of"]

_AMPLITUDE = 32_767 * 10 ** (-20 / 20)
"""Of each pitch: about -17 dBm0, in the middle of what ITU-T E.180 allows, and no louder than a voice."""


@dataclass(frozen=True, slots=True)
class RingingTone:
    """The ringing tone of one country, or of many."""

    country: str
    """By which carriers call it: ISO 3166, and `uk`."""
    pitches_hz: tuple[int, ...]
    """Heard together."""
    cadence_ms: tuple[int, ...]
    """Sound, silence and so on in turns, over and over."""

    @property
    def lasts_ms(self) -> int:
        """How long it is until it begins anew."""
        return sum(self.cadence_ms)

    def once(self, rate_hz: int) -> bytes:
        """Return it as 16-bit samples, from its first sound to the end of its last silence."""
        samples = array("h")
        for place, lasting_ms in enumerate(self.cadence_ms):
            count = lasting_ms * rate_hz // 1_000
            samples.extend(self._sound(count, rate_hz) if place % 2 == 0 else array("h", bytes(2 * count)))
        if sys.byteorder == "big":
            samples.byteswap()
        return samples.tobytes()

    def _sound(self, count: int, rate_hz: int) -> array[int]:
        turns = [2 * math.pi * pitch / rate_hz for pitch in self.pitches_hz]
        return array("h", (round(sum(_AMPLITUDE * math.sin(turn * at) for turn in turns)) for at in range(count)))


NORTH_AMERICAN = RingingTone("us", (440, 480), (2_000, 4_000))
BRITISH = RingingTone("uk", (400, 450), (400, 200, 400, 2_000))
EUROPEAN = RingingTone("de", (425,), (1_000, 4_000))
"""What ITU-T E.180 recommends, and most of the world rings by. The others are in its Supplement 2, by country."""


def ringing_tone_of(number: str) -> RingingTone:
    """Return how a number rings: as its own country does, where that is far from what the others do."""
    if number.startswith("+1"):
        return NORTH_AMERICAN
    return BRITISH if number.startswith("+44") else EUROPEAN

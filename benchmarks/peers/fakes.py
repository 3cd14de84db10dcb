"""Fakes: what every peer hears, thinks and says, at once; needs nothing beyond the standard library.

They run in the peers' environments, beside packages that this project does not have.
"""

from __future__ import annotations

import math
import re
import struct
import sys
import threading
from collections.abc import Callable

__all__ = ["LOUD_RMS", "ONSET_MS", "SPEECH_MS", "TOKENS", "TRANSCRIPT", "hum", "until_told"]

TRANSCRIPT = "Tell me the next thing, please."
"""What every caller has said."""

_REPLY = (
    "Here is the next thing for you: your account is in good order, the last payment came in on "
    "Tuesday, and there is nothing that you have to do about it this week."
)
TOKENS = tuple(re.split(r"(?= )", _REPLY))
"""The reply, as a language model streams it: 33 pieces."""

SPEECH_MS = 2_000
"""Of ready audio, whatever the reply says."""

LOUD_RMS = 500.0
"""Of 32768: a sample this loud on average is voice, as for the other servers."""

ONSET_MS = 60
"""Voice for this long is a caller who speaks."""

_HUM_HZ = 200
"""Whole periods at every rate that a peer may ask for."""
_HUM_PEAK = 1_000


def hum(rate_hz: int) -> bytes:
    """Return the ready audio: 16-bit little-endian mono of `SPEECH_MS`."""
    samples = [
        round(_HUM_PEAK * math.sin(math.tau * _HUM_HZ * n / rate_hz)) for n in range(rate_hz * SPEECH_MS // 1000)
    ]
    return struct.pack(f"<{len(samples)}h", *samples)


def until_told(stop: Callable[[], None]) -> None:
    """Call `stop` from a thread when whoever started this process closes its standard input."""

    def wait() -> None:
        sys.stdin.read()
        stop()

    threading.Thread(target=wait, daemon=True).start()

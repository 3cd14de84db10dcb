"""The byte order of 16-bit audio: carriers write "L16" and do not all mean the same by it.

By RFC 2586 it is the network's (big-endian). Read in the wrong order a voice is noise near full scale, so the order in
which audio is the quieter one is the right one; only digital silence says nothing.
"""

from __future__ import annotations

from array import array
from typing import Literal

from voiceagent.audio import level_dbfs

__all__ = ["ByteOrder", "L16Order"]

L16Order = Literal["big", "little", "measured"]
"""`measured`: big-endian until the caller's line has made its first sound, whatever is said before that; once it is
known which it is, it is better set."""

_DECISIVE_DB = 12.0


class ByteOrder:
    """The order of one connection's samples: set, or found out from what the caller sends."""

    __slots__ = ("_known", "_measuring", "_order")

    def __init__(self, order: L16Order) -> None:
        self._order: Literal["big", "little"] = "little" if order == "little" else "big"
        self._measuring = order == "measured"
        self._known = False

    def incoming(self, audio: bytes) -> bytes | None:
        """Return the carrier's samples, whole ones, as little-endian; None, once, where the order set sounds wrong."""
        if not self._known and self._sounds_wrong(audio):
            return None
        return audio if self._order == "little" else _swapped(audio)

    def outgoing(self, audio: bytes) -> bytes:
        """Return little-endian samples as the carrier wants them."""
        return audio if self._order == "little" else _swapped(audio)

    def _sounds_wrong(self, audio: bytes) -> bool:
        as_little_db, as_big_db = level_dbfs(audio), level_dbfs(_swapped(audio))
        if abs(as_little_db - as_big_db) < _DECISIVE_DB:
            return False
        self._known = True
        sounds_like: Literal["big", "little"] = "little" if as_little_db < as_big_db else "big"
        if self._measuring:
            self._order = sounds_like
        return sounds_like != self._order


def _swapped(audio: bytes) -> bytes:
    samples = array("h", audio)
    samples.byteswap()
    return samples.tobytes()

"""The uplink: the caller's audio on its way to a speech model, kept until it is certain who is to hear it."""

from __future__ import annotations

from voiceagent.audio import ALAW_SILENCE, MULAW_SILENCE
from voiceagent.ports import AudioFormat

__all__ = ["Uplink"]

_SILENCE = {"mulaw": MULAW_SILENCE, "alaw": ALAW_SILENCE, "pcm16": 0}

_KEPT_MS = 15_000
"""Behind what has been sent. A caller who talks through a change of session for longer is heard from here on."""


class Uplink:
    """Every byte the caller has sent, by its position from the beginning of the call, for as long as it may be wanted.

    A session is fed from one position on, in order, without a gap. While it is held nothing leaves: then either the
    same session goes on, or another one begins at the position where the first one is to have ended.

    What no session may hear is kept as silence: it can be sent long after the caller has said it, and again.
    """

    def __init__(self, audio: AudioFormat) -> None:
        """Take audio of the caller in this format."""
        self._bytes_per_ms = audio.bytes_per_ms
        self._silence = bytes([_SILENCE[audio.encoding]])
        self._kept = bytearray()
        self._kept_from = 0
        self._next = 0
        """Position of what is sent next."""
        self.held = True
        """Nobody is there to hear it, or not for the moment."""
        self.withheld = False
        """What arrives is not for any session to hear."""

    @property
    def end(self) -> int:
        """Position behind the last byte that has arrived."""
        return self._kept_from + len(self._kept)

    @property
    def sent(self) -> int:
        """Position behind the last byte that a session was given."""
        return self._next

    def position_of(self, audio_ms: int) -> int:
        """Return the position of a moment in the caller's audio."""
        return audio_ms * self._bytes_per_ms

    def arrived(self, audio: bytes) -> None:
        """The next audio of the caller."""
        self._kept += self._silence * len(audio) if self.withheld else audio
        excess = len(self._kept) - _KEPT_MS * self._bytes_per_ms
        if excess > self._bytes_per_ms * 1_000:  # a second at a time: moving the rest costs more than keeping it
            del self._kept[:excess]
            self._kept_from += excess
            self._next = max(self._next, self._kept_from)

    def due(self) -> bytes:
        """Return what is to be sent now, and take it for sent; nothing while it is held."""
        if self.held:
            return b""
        audio = bytes(self._kept[self._next - self._kept_from :])
        self._next = self.end
        return audio

    def rewind(self, position: int) -> None:
        """What is sent next begins here, or where what is kept begins."""
        self._next = min(max(position, self._kept_from), self.end)

    def withhold(self, position: int) -> None:
        """No session may hear what has arrived from here on, nor what arrives from now on."""
        self.withheld = True
        begins = max(position - self._kept_from, 0)
        self._kept[begins:] = self._silence * (len(self._kept) - begins)

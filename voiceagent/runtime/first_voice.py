"""The first voice of a call: until the caller is known (`own_voice`), a faint one may be somebody behind them."""

from __future__ import annotations

from voiceagent.audio import FRAME_MS, level_dbfs, to_pcm16
from voiceagent.ports import AudioFormat

__all__ = ["FirstVoice"]

_USUAL_DBFS = -20.0
"""Networks are set to -26 for all that is said (ITU-T P.56, G.101), about -23 in its louder half: a caller of whom
nothing is known may be 9 dB softer than that."""
_NETWORK_HZ = 8_000
"""Of lines that somebody sets a level on. What a microphone gives has no usual one, and whoever takes the agent's echo
out of it takes some of the caller with it.
"""
_FAINT_DB = 12
"""Distance alone makes 32 dB of 5 cm against 2 m, and a room takes some of it back; callers vary by less."""
_IN_VAIN = 3
"""Utterances: whoever speaks more often, and nobody louder, is the caller."""
_INAUDIBLE_DBFS = -60.0
"""The codec's own grain: nobody's voice."""
_AN_UTTERANCE_MS = 400
"""Coughs are shorter, and louder than speech."""


class FirstVoice:
    """Tells a voice that may be the caller's from one in the background, as long as the caller is not known."""

    def __init__(self, audio: AudioFormat) -> None:
        self._format = audio
        self._faint = 0
        self._known = audio.rate_hz != _NETWORK_HZ

    def below_db(self, voice: bytes) -> int | None:
        """Take the beginning of an utterance; returns how far it is below a usual one, None where it may be theirs."""
        if self._known or (level := self._louder_half_dbfs(voice)) < _INAUDIBLE_DBFS:
            return None
        below_db = round(_USUAL_DBFS - level)
        if below_db >= _FAINT_DB and self._faint < _IN_VAIN:
            self._faint += 1
            return below_db
        self._known = len(voice) >= _AN_UTTERANCE_MS * self._format.bytes_per_ms
        return None

    def _louder_half_dbfs(self, voice: bytes) -> float:
        """Return the level of the louder half of the frames: what lies between two syllables says nothing."""
        pcm = to_pcm16(voice, self._format.encoding)
        frame_bytes = 2 * self._format.rate_hz // 1_000 * FRAME_MS
        frames = sorted((pcm[at : at + frame_bytes] for at in range(0, len(pcm), frame_bytes)), key=level_dbfs)
        return level_dbfs(b"".join(frames[len(frames) // 2 :]))

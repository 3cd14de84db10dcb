"""Own voice: how loud this caller is, so that people behind them do not interrupt the agent.

A voice that begins while the agent speaks, and is much quieter than the caller's, is held back. It is heard after all
as soon as it is loud enough or the agent has finished, and after some seconds anyway: callers move away from phones.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Mapping, Sequence

from voiceagent.audio import FRAME_MS, alaw_to_pcm16, level_dbfs, mulaw_level_dbfs
from voiceagent.ports import AudioFormat, SpeechOff, SpeechOn, VadHandle

__all__ = ["OwnVoice"]

_QUIETER_DB = 12.0
"""A caller's soft sentence is 6 dB below their loud one; people across a room are 15 dB and more below."""
_MOMENT_MS = 200
"""A syllable: shorter, a click in the background would be a voice."""
_KNOWN_AFTER_MS = 1_000
"""Of the caller's voice; before that nothing is held back."""
_REMEMBERED = 4
"""Utterances; of these the second loudest counts: one shout shuts nobody out, and a murmur lets nobody else in."""
_LOUD_SHARE = 0.8
"""The level that so much of an utterance stays below: its vowels, whatever pauses are in it."""
_HELD_BACK_MS = 6_000
"""Whoever has spoken for so long in vain is the caller, further away than before."""
_BEFORE_MS = 500
"""So much of a voice that was held back is heard when the agent has finished: an answer may begin a little early."""

_LEVEL_DBFS: Mapping[str, Callable[[bytes], float]] = {
    "mulaw": mulaw_level_dbfs,
    "alaw": lambda codes: level_dbfs(alaw_to_pcm16(codes)),
    "pcm16": level_dbfs,
}


class OwnVoice:
    """The voice activity of one call, without what is far quieter than the caller. Fulfils `VadHandle`."""

    __slots__ = (
        "_agent_speaks",
        "_audio",
        "_bytes_per_ms",
        "_caller",
        "_frame_bytes",
        "_held_since_ms",
        "_in_vain_ms",
        "_latest",
        "_level_dbfs",
        "_levels",
        "_now_ms",
        "_vad",
    )

    def __init__(self, vad: VadHandle, audio: AudioFormat, *, agent_speaks: Callable[[], bool]) -> None:
        """`agent_speaks` says whether the agent can be heard now."""
        self._vad = vad
        self._audio = audio
        self._bytes_per_ms = audio.bytes_per_ms
        self._frame_bytes = self._bytes_per_ms * FRAME_MS
        self._level_dbfs = _LEVEL_DBFS[audio.encoding]
        self._agent_speaks = agent_speaks
        self._caller = _Loudness()
        self._levels: list[float] | None = None
        """Of each frame of the voice that is on; None where none is."""
        self._held_since_ms: int | None = None
        """Since when a voice is on that nobody has been told of."""
        self._in_vain_ms = 0
        self._now_ms = 0
        self._latest = b""
        """The frame that was fed last."""

    def feed(self, audio: bytes) -> Sequence[SpeechOn | SpeechOff]:
        """Take the next caller audio, any length, and return what is decided."""
        size = self._frame_bytes
        if len(audio) == size:
            return self._frame(audio)  # as nearly all of it comes
        return [change for at in range(0, len(audio), size) for change in self._frame(audio[at : at + size])]

    def late(self, change: SpeechOn | SpeechOff) -> Sequence[SpeechOn | SpeechOff]:
        """Take what was decided only after the latest frame was fed, as if it had been decided with it."""
        if self._levels:
            self._levels.pop()
        decided = self._changed(change)
        self._measure()
        return decided + self._heard_after_all()

    @property
    def audible_since_ms(self) -> int | None:
        """Audio time from which the line has not been silent."""
        return self._vad.audible_since_ms

    def close(self) -> None:
        """Forget this call."""
        self._vad.close()

    def _frame(self, audio: bytes) -> Sequence[SpeechOn | SpeechOff]:
        changes = self._vad.feed(audio)
        decided = [told for change in changes for told in self._changed(change)] if changes else []
        self._now_ms += len(audio) // self._bytes_per_ms
        self._latest = audio
        if self._levels is None:
            return decided  # no voice is on: there is nothing to be measured or held back
        self._measure()
        return decided + self._heard_after_all()

    def _measure(self) -> None:
        if self._levels is not None:
            whole = len(self._latest) - len(self._latest) % self._audio.sample_bytes
            self._levels.append(self._level_dbfs(self._latest[:whole]))

    def _heard_after_all(self) -> list[SpeechOn | SpeechOff]:
        if self._held_since_ms is None or (heard_from_ms := self._heard_from(self._held_since_ms)) is None:
            return []
        self._held_since_ms, self._in_vain_ms = None, 0
        return [SpeechOn(heard_from_ms)]

    def _changed(self, change: SpeechOn | SpeechOff) -> list[SpeechOn | SpeechOff]:
        if isinstance(change, SpeechOn):
            self._levels = []
            if self._caller.dbfs is None or not self._agent_speaks():
                return [change]
            self._held_since_ms = change.at_ms
            return []
        levels, self._levels = self._levels or [], None
        if self._held_since_ms is not None:
            self._in_vain_ms += change.at_ms - self._held_since_ms
            self._held_since_ms = None
            return []
        self._caller.spoke(levels)
        return [change]

    def _heard_from(self, since_ms: int) -> int | None:
        """Return from when on a voice is to be heard that was held back; None: it still is."""
        own_dbfs = self._caller.dbfs
        if own_dbfs is None or _last_moment(self._levels or []) >= own_dbfs - _QUIETER_DB:
            return since_ms
        if self._in_vain_ms + self._now_ms - since_ms >= _HELD_BACK_MS:
            self._caller = _Loudness()
            return max(since_ms, self._now_ms - _BEFORE_MS)
        return None if self._agent_speaks() else max(since_ms, self._now_ms - _BEFORE_MS)


class _Loudness:
    """How loud the caller has been, by what they have said."""

    def __init__(self) -> None:
        self._said: deque[float] = deque(maxlen=_REMEMBERED)
        self._spoken_ms = 0

    @property
    def dbfs(self) -> float | None:
        """Their level; None where they have not said enough."""
        if self._spoken_ms < _KNOWN_AFTER_MS:
            return None
        return sorted(self._said)[-2:][0]

    def spoke(self, levels: Sequence[float]) -> None:
        """They have finished an utterance, whose frames had these levels."""
        if not levels:
            return
        self._spoken_ms += len(levels) * FRAME_MS
        self._said.append(sorted(levels)[int(len(levels) * _LOUD_SHARE)])


def _last_moment(levels: Sequence[float]) -> float:
    """Return the level of the last moment: it is asked at every frame, so that none is missed."""
    moment = levels[-_MOMENT_MS // FRAME_MS :]
    if not moment:
        return -math.inf
    return 10 * math.log10(sum(10 ** (level / 10) for level in moment) / len(moment))

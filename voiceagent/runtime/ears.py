"""Ears: the caller's audio, cut into utterances and held against the clock."""

from __future__ import annotations

from collections.abc import Callable

from voiceagent.core import events as ev
from voiceagent.core.ids import UtteranceId
from voiceagent.nobody import to_nobody
from voiceagent.ports import AudioFormat, Clock, SpeechOff, SpeechOn, VadHandle
from voiceagent.runtime.first_voice import FirstVoice

__all__ = ["Ears"]

_PRE_ROLL_MS = 300
"""Audio kept from before the voice was noticed: the first consonant is in it."""
_POST_ROLL_MS = 300
"""Audio kept from after the voice was off."""
_LEVEL_OF_MS = 400
"""The beginning of an utterance, of which it is known how loud it is before anything is decided about it."""
_TRIMMED_MS = 1_000
"""What is forgotten goes so much at a time: moving the rest for every frame would cost more than the memory."""
_LONGEST_UTTERANCE_MS = 60_000
_MOST_UTTERANCES = 8
"""Kept until they are transcribed, which is at once; more come only where nobody wants them."""
_MOST_LATE_MS = 500
"""What a line may hold back and still deliver; beyond this, audio has been lost."""


class Ears:
    """Cuts the caller's audio into utterances and keeps each until it is transcribed."""

    __slots__ = (
        "_bytes_per_ms",
        "_closed",
        "_count",
        "_current",
        "_cut",
        "_first_voice",
        "_heard_ms",
        "_kept",
        "_kept_from_ms",
        "_level_wanted",
        "_off_since_ms",
        "_on_since_ms",
        "_paused",
        "_post",
        "_suffix",
        "_time",
        "_vad",
    )

    def __init__(
        self,
        vad: VadHandle,
        audio: AudioFormat,
        clock: Clock,
        post: Callable[[ev.Event], None],
        *,
        suffix: str = "",
    ) -> None:
        """`suffix` tells the ids of these utterances from those of the call's earlier connections."""
        self._vad = vad
        self._bytes_per_ms = audio.bytes_per_ms
        self._post: Callable[[ev.Event], None] = post
        self._time = _AudioTime(clock)
        self._kept = bytearray()
        self._kept_from_ms = 0
        """Audio time of the first byte that is kept."""
        self._heard_ms = 0
        self._count = 0
        self._suffix = suffix
        self._first_voice = FirstVoice(audio)
        self._level_wanted = False
        """Of the utterance that is being spoken it is not known yet how loud it is."""
        self._current: tuple[UtteranceId, int] | None = None
        """The utterance that is being spoken, and where its audio begins."""
        self._cut: dict[UtteranceId, bytes] = {}
        self._paused: dict[UtteranceId, tuple[int, int]] = {}
        """From when to when of audio time the voice was on, of the last utterances."""
        self._on_since_ms = 0
        self._off_since_ms = 0
        self._closed = False

    def hear(self, audio: bytes) -> None:
        """Take the next caller audio: the voice in it is posted as it comes on and goes off."""
        self._kept += audio
        self._heard_ms = self._kept_from_ms + len(self._kept) // self._bytes_per_ms
        self._time.heard(self._heard_ms)
        for change in self._vad.feed(audio):
            self.decided(change)
        if self._level_wanted and self._heard_ms >= self._on_since_ms + _LEVEL_OF_MS:
            self._listen_how_loud(self._on_since_ms + _LEVEL_OF_MS)
        if self._heard_ms - self._kept_from_ms > 2 * _PRE_ROLL_MS + _TRIMMED_MS:
            self._forget()

    def decided(self, change: SpeechOn | SpeechOff) -> None:
        """The voice came on or went off in audio that has been heard."""
        match change:
            case SpeechOn(at_ms):
                self._voice_on(at_ms)
            case SpeechOff(at_ms):
                self._voice_off(at_ms)

    @property
    def speaking(self) -> bool:
        """Whether the caller's voice is on, as far as is known."""
        return self._current is not None

    @property
    def began_ms(self) -> int | None:
        """Audio time at which the utterance begins that is being spoken, with what leads up to it; None in silence."""
        return None if self._current is None else self._current[1]

    @property
    def audible_since_ms(self) -> int | None:
        """Audio time from which the line has not been silent; None where it is: there nobody has begun to speak."""
        return self._vad.audible_since_ms

    def lasted(self, utterance: UtteranceId) -> tuple[int, int] | None:
        """Return from when to when of audio time an utterance lasted that has paused; None where that is forgotten."""
        return self._paused.get(utterance)

    def so_far(self, utterance: UtteranceId) -> bytes:
        """Return the audio of an utterance that goes on, up to now; nothing where it does not."""
        if self._current is None or self._current[0] != utterance:
            return b""
        return bytes(self._kept[self._place(self._current[1]) :])

    def take(self, utterance: UtteranceId) -> bytes:
        """Return the audio of an utterance that has paused, once; one that goes on and on ends here."""
        if self._current is not None and self._current[0] == utterance:
            self._cut_off(utterance, self._current[1], until_ms=self._heard_ms)
            self._current = None
        return self._cut.pop(utterance, b"")

    def close(self) -> None:
        """The call is over: nothing more is heard. Closing again does nothing."""
        if not self._closed:
            self._closed = True
            self._vad.close()
            self._post = to_nobody  # whoever was told has this, and shall not be kept by it

    def _voice_on(self, at_ms: int) -> None:
        self._count += 1
        utterance = UtteranceId(f"c{self._count}{self._suffix}")
        self._on_since_ms, self._level_wanted = at_ms, True
        # What was said before is another utterance's: its last word would be understood twice.
        self._current = (utterance, max(at_ms - _PRE_ROLL_MS, self._kept_from_ms, self._off_since_ms))
        self._post(ev.CallerStartedSpeaking(utterance, self._time.of(at_ms)))

    def _listen_how_loud(self, until_ms: int) -> None:
        self._level_wanted = False
        if self._current is None:
            return
        voice = bytes(self._kept[self._place(self._on_since_ms) : self._place(until_ms)])
        if voice and (below_db := self._first_voice.below_db(voice)) is not None:
            self._post(ev.VoiceFoundFaint(self._current[0], below_db))

    def _voice_off(self, at_ms: int) -> None:
        if self._current is None:
            return
        if self._level_wanted:
            self._listen_how_loud(at_ms)
        utterance, from_ms = self._current
        self._current = None
        self._off_since_ms = at_ms
        self._cut_off(utterance, from_ms, until_ms=at_ms + _POST_ROLL_MS)
        self._paused[utterance] = (self._on_since_ms, at_ms)
        if len(self._paused) > _MOST_UTTERANCES:
            del self._paused[next(iter(self._paused))]
        self._post(ev.CallerPaused(utterance, self._time.of(at_ms)))

    def _cut_off(self, utterance: UtteranceId, from_ms: int, *, until_ms: int) -> None:
        self._cut[utterance] = bytes(self._kept[self._place(from_ms) : self._place(until_ms)])
        if len(self._cut) > _MOST_UTTERANCES:
            del self._cut[next(iter(self._cut))]

    def _place(self, audio_ms: int) -> int:
        # A voice that was held back is told of seconds later: its beginning may be forgotten by then.
        return max(0, audio_ms - self._kept_from_ms) * self._bytes_per_ms

    def _forget(self) -> None:
        keep_from_ms = self._heard_ms - _PRE_ROLL_MS * 2
        if self._current is not None:
            keep_from_ms = max(self._current[1], self._heard_ms - _LONGEST_UTTERANCE_MS)
            self._current = (self._current[0], keep_from_ms)
        if keep_from_ms - self._kept_from_ms > _TRIMMED_MS:
            del self._kept[: self._place(keep_from_ms)]
            self._kept_from_ms = keep_from_ms


class _AudioTime:
    """What the clock showed when a moment of the audio was spoken.

    Audio arrives when it has been spoken or later, never before; and where some of it is lost, what follows would be
    dated earlier and earlier. So the two are held together, and what is told never lies ahead and never goes back.
    """

    __slots__ = ("_clock", "_told_ms", "_zero_ms")

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._zero_ms: int | None = None
        """The clock when audio time was 0."""
        self._told_ms = 0

    def heard(self, audio_ms: int) -> None:
        """Audio has arrived up to this moment of it."""
        latest_zero_ms = self._clock.now_ms() - audio_ms
        if self._zero_ms is None or not 0 <= latest_zero_ms - self._zero_ms <= _MOST_LATE_MS:
            self._zero_ms = latest_zero_ms

    def of(self, audio_ms: int) -> int:
        """Return the clock at a moment of the audio."""
        at_ms = min((self._zero_ms or 0) + audio_ms, self._clock.now_ms())
        self._told_ms = max(self._told_ms, at_ms)
        return self._told_ms

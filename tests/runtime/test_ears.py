"""The caller's audio, cut into utterances and dated by the clock."""

from __future__ import annotations

import tracemalloc
from collections.abc import Mapping, Sequence

from hypothesis import given
from hypothesis import strategies as st

from voiceagent.core.events import CallerPaused, CallerStartedSpeaking, Event, VoiceFoundFaint
from voiceagent.core.ids import UtteranceId
from voiceagent.ports import MULAW_8K, SpeechOff, SpeechOn
from voiceagent.runtime.ears import Ears
from voiceagent.testing.manual_clock import ManualClock

FRAME_MS = 20
FRAME = bytes(FRAME_MS * MULAW_8K.bytes_per_ms)


class VoiceAt:
    """Voice activity that is known beforehand: what is decided at which moment of the audio."""

    def __init__(self, decisions: Mapping[int, SpeechOn | SpeechOff]) -> None:
        self._decisions = dict(decisions)
        self._heard_ms = 0

    def feed(self, audio: bytes) -> Sequence[SpeechOn | SpeechOff]:
        self._heard_ms += len(audio) // MULAW_8K.bytes_per_ms
        due = [at_ms for at_ms in self._decisions if at_ms <= self._heard_ms]
        return [self._decisions.pop(at_ms) for at_ms in sorted(due)]

    @property
    def audible_since_ms(self) -> int | None:
        return None

    def close(self) -> None:
        """Nothing is held."""


class Restless:
    """Hears the voice come on and go off again in every frame."""

    def __init__(self) -> None:
        self._now_ms = 0

    def feed(self, audio: bytes) -> Sequence[SpeechOn | SpeechOff]:
        at_ms, self._now_ms = self._now_ms, self._now_ms + len(audio) // MULAW_8K.bytes_per_ms
        return [SpeechOn(at_ms), SpeechOff(self._now_ms)]

    @property
    def audible_since_ms(self) -> int | None:
        return None

    def close(self) -> None:
        """Nothing is held."""


def _speech(on_ms: int, off_ms: int) -> dict[int, SpeechOn | SpeechOff]:
    """Decided 100 ms after the voice came on and 200 ms after it went off."""
    return {on_ms + 100: SpeechOn(on_ms), off_ms + 200: SpeechOff(off_ms)}


def test_an_utterance_has_the_first_consonant_and_the_last_in_it() -> None:
    clock, events = ManualClock(), list[Event]()
    ears = Ears(VoiceAt(_speech(2_000, 3_000)), MULAW_8K, clock, events.append)
    audio = b"".join(bytes([second]) * 8_000 for second in range(5))
    for begin in range(0, len(audio), 160):
        clock.advance(FRAME_MS)
        ears.hear(audio[begin : begin + 160])
    assert events == [
        CallerStartedSpeaking(UtteranceId("c1"), 2_000),
        CallerPaused(UtteranceId("c1"), 3_000),
    ]
    heard = ears.take(UtteranceId("c1"))
    assert [heard.count(bytes([second])) // 8 for second in (1, 2, 3)] == [300, 1_000, 200]
    assert ears.take(UtteranceId("c1")) == b""


def test_audio_that_comes_all_at_once_is_cut_into_the_same_utterances() -> None:
    clock, events = ManualClock(10_000), list[Event]()
    ears = Ears(VoiceAt({**_speech(1_000, 2_000), **_speech(5_000, 6_000)}), MULAW_8K, clock, events.append)
    ears.hear(b"".join(bytes([second]) * 8_000 for second in range(8)))
    first, second = ears.take(UtteranceId("c1")), ears.take(UtteranceId("c2"))
    assert set(first) == {0, 1, 2}
    assert set(second) == {4, 5, 6}
    assert [event.at_ms for event in events if isinstance(event, CallerPaused)] == [4_000, 8_000]


def test_what_is_being_said_can_be_had_before_its_end_and_is_still_there_then() -> None:
    clock, events = ManualClock(), list[Event]()
    ears = Ears(VoiceAt(_speech(1_000, 3_000)), MULAW_8K, clock, events.append)
    voice = UtteranceId("c1")
    ears.hear(bytes(1_000 * MULAW_8K.bytes_per_ms))
    assert ears.so_far(voice) == b""
    ears.hear(b"\x01" * 1_000 * MULAW_8K.bytes_per_ms)
    assert len(ears.so_far(voice)) == 1_300 * MULAW_8K.bytes_per_ms, "with what leads up to it"
    ears.hear(b"\x01" * 1_500 * MULAW_8K.bytes_per_ms)
    assert ears.so_far(voice) == b"", "its end is known"
    assert len(ears.take(voice)) == 2_600 * MULAW_8K.bytes_per_ms


def test_what_nobody_transcribes_is_forgotten_however_much_comes() -> None:
    ears = Ears(Restless(), MULAW_8K, ManualClock(), lambda _: None)
    tracemalloc.start()
    for _ in range(30_000):
        ears.hear(FRAME)
    used_bytes, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert used_bytes < 100_000
    assert ears.take(UtteranceId("c1")) == b""
    assert ears.take(UtteranceId("c30000"))


def test_a_voice_that_never_stops_is_kept_for_a_minute_only() -> None:
    ears = Ears(VoiceAt({100: SpeechOn(0)}), MULAW_8K, ManualClock(), lambda _: None)
    tracemalloc.start()
    for _ in range(30_000):
        ears.hear(FRAME)
    used_bytes, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert used_bytes < 70_000 * MULAW_8K.bytes_per_ms


def test_audio_that_was_lost_does_not_make_everything_after_it_early() -> None:
    clock, events = ManualClock(), list[Event]()
    ears = Ears(VoiceAt(_speech(2_000, 3_000)), MULAW_8K, clock, events.append)
    for number in range(200):
        clock.advance(FRAME_MS)
        if number == 50:
            clock.advance(7_000)  # seven seconds that the line has swallowed
        ears.hear(FRAME)
    assert [event.at_ms for event in events if isinstance(event, CallerPaused)] == [10_000]


def test_a_line_that_was_late_and_has_caught_up_is_dated_rightly() -> None:
    clock, events = ManualClock(), list[Event]()
    ears = Ears(VoiceAt(_speech(2_000, 3_000)), MULAW_8K, clock, events.append)
    clock.advance(400)
    for _ in range(20):  # the first 400 ms come all at once
        ears.hear(FRAME)
    for _ in range(150):
        clock.advance(FRAME_MS)
        ears.hear(FRAME)
    assert [event.at_ms for event in events if isinstance(event, CallerStartedSpeaking | CallerPaused)] == [
        2_000,
        3_000,
    ]


@given(
    arrivals=st.lists(st.tuples(st.integers(0, 2_000), st.integers(1, 200)), min_size=1, max_size=60),
    voice=st.lists(st.integers(100, 5_000), max_size=6),
)
def test_no_moment_lies_ahead_of_the_clock_nor_goes_back_nor_far_from_the_truth(
    arrivals: list[tuple[int, int]], voice: list[int]
) -> None:
    clock = ManualClock(1_000)
    told: list[tuple[int, int]] = []

    def note(event: Event) -> None:
        if isinstance(event, CallerStartedSpeaking | CallerPaused):
            told.append((clock.now_ms(), event.at_ms))

    edges = sorted(dict.fromkeys(voice))
    decisions = {at_ms: SpeechOff(at_ms) if number % 2 else SpeechOn(at_ms) for number, at_ms in enumerate(edges)}
    ears = Ears(VoiceAt(decisions), MULAW_8K, clock, note)
    for passed_ms, heard_ms in arrivals:
        clock.advance(passed_ms)
        ears.hear(bytes(heard_ms * MULAW_8K.bytes_per_ms))
    moments = [at_ms for _, at_ms in told]
    assert moments == sorted(moments)
    assert all(now_ms - 500 - 200 <= at_ms <= now_ms for now_ms, at_ms in told)


FAINT = bytes([0xD8])
"""µ-law of a sample 34 dB below full scale."""


def _told_of(audio: bytes, decisions: Mapping[int, SpeechOn | SpeechOff]) -> list[tuple[int, Event]]:
    """Return every event with the clock at which it was posted."""
    clock, told = ManualClock(), list[tuple[int, Event]]()
    ears = Ears(VoiceAt(decisions), MULAW_8K, clock, lambda event: told.append((clock.now_ms(), event)))
    for begin in range(0, len(audio), 160):
        clock.advance(FRAME_MS)
        ears.hear(audio[begin : begin + 160])
    return told


def test_a_faint_voice_is_told_of_once_before_anything_is_decided_about_it() -> None:
    told = _told_of(FAINT * 8 * 4_000, _speech(1_000, 3_000))
    assert [(at_ms, event) for at_ms, event in told if isinstance(event, VoiceFoundFaint)] == [
        (1_400, VoiceFoundFaint(UtteranceId("c1"), 14))
    ]


def test_a_faint_word_is_told_of_before_its_end() -> None:
    told = [event for _, event in _told_of(FAINT * 8 * 4_000, {1_100: SpeechOn(1_000), 1_320: SpeechOff(1_150)})]
    assert [type(event) for event in told] == [CallerStartedSpeaking, VoiceFoundFaint, CallerPaused]


def test_a_voice_that_was_held_back_is_not_called_faint_for_what_came_after_its_beginning() -> None:
    beginning = b"\x90" * 8 * 2_060
    told = [event for _, event in _told_of(beginning + FAINT * 8 * 3_000, {4_660: SpeechOn(1_660)})]
    assert [type(event) for event in told] == [CallerStartedSpeaking], "so much is kept no more"

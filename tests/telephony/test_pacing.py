"""Speech goes out ahead of the ear, but not far, and can be taken back."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voiceagent.core.events import PlayoutReached, PlayoutStarted, PlayoutStopped
from voiceagent.ports import MULAW_8K, AudioFormat
from voiceagent.telephony.codec import ClearAudio, PlayAudio, SetMark
from voiceagent.telephony.pacing import BURST_MS, CATCH_UP_MS, MAX_QUEUED_MS, Pacer, silence_byte

LEAD_MS = 400


class Line:
    """A pacer, and what came out of it."""

    def __init__(self, *, marks=True, lead_ms=LEAD_MS, frame_ms=20, audio=MULAW_8K):
        self.sent = []
        self.told = []
        self.now = 0
        self.pacer = Pacer(
            audio, lead_ms=lead_ms, marks=marks, send=self.sent.append, post=self.told.append, frame_ms=frame_ms
        )

    def say(self, utterance, length_ms, *, clause=0, last=True):
        self.pacer.play(utterance, b"x" * (8 * length_ms))
        self.pacer.end_clause(utterance, clause, last=last)

    def until(self, at):
        while self.now < at:
            self.pacer.advance(self.now)
            self.now += 20
        self.pacer.advance(self.now)

    @property
    def audio_ms(self):
        return sum(len(c.audio) for c in self.sent if isinstance(c, PlayAudio)) // 8

    @property
    def marks(self):
        return [c.name for c in self.sent if isinstance(c, SetMark)]


def test_the_first_audio_goes_out_at_once_and_starts_the_utterance():
    line = Line()
    line.pacer.play("a1", bytes(160))
    line.pacer.advance(0)
    assert line.sent == [PlayAudio(bytes(160))]
    assert line.told == [PlayoutStarted("a1", 0)]


def test_speech_runs_ahead_by_the_lead_and_no_further():
    line = Line()
    line.say("a1", 5_000)
    line.until(0)
    assert line.audio_ms == CATCH_UP_MS
    for at in range(300, 4_000, 100):
        line.until(at)
        assert LEAD_MS - BURST_MS <= line.audio_ms - line.now <= LEAD_MS


def test_a_far_side_that_is_further_than_reckoned_gets_the_next_piece_at_once():
    line = Line()
    line.say("a1", 1_200)
    line.say("a2", 5_000)
    line.until(1_000)
    sent_ms = line.audio_ms
    line.pacer.advance(1_001)
    assert line.audio_ms == sent_ms, "nothing is due"
    line.pacer.mark_returned("0.1", 1_001)
    line.pacer.advance(1_001)
    assert line.audio_ms >= sent_ms + BURST_MS, "200 ms are heard that by the clock were not"


def test_what_is_said_after_a_clear_goes_out_at_once():
    line = Line()
    line.say("a1", 5_000)
    line.until(1_000)
    line.pacer.clear(1_001)
    line.sent.clear()
    line.pacer.play("a2", b"x" * 800)
    line.pacer.advance(1_001)
    assert line.audio_ms == BURST_MS


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["say", "say", "clear", "mark", "blocked", "held", "free", "pass", "pass", "pass"]),
            st.integers(1, 900),
        ),
        max_size=25,
    ),
    st.sampled_from([40, 100, 400]),
)
def test_every_piece_goes_out_at_the_first_beat_at_which_there_is_room_for_it(happens, lead_ms):
    """Against a pacer that is made to look at every beat, by a mark before each that may mean anything."""
    lazy, eager = Line(lead_ms=lead_ms), Line(lead_ms=lead_ms)
    now, takes, said = 0, True, 0
    for what, number in happens:
        for line in (lazy, eager):
            if what == "say":
                line.say(f"a{said}", number * 3)
            elif what == "clear":
                line.pacer.clear(now)
            elif what == "mark" and line.marks:
                line.pacer.mark_returned(line.marks[number % len(line.marks)], now)
            elif what in ("held", "free"):
                line.pacer.held = what == "held"
        takes = what != "blocked" if what in ("blocked", "free") else takes
        said += what == "say"
        for _ in range(number // 20 if what == "pass" else 1):
            now += 20
            lazy.pacer.advance(now, may_send=takes)
            eager.pacer.mark_returned("never sent", now)
            eager.pacer.advance(now, may_send=takes)
            assert (lazy.sent, lazy.told) == (eager.sent, eager.told)


def test_speech_goes_out_in_bursts_of_several_frames():
    line = Line()
    line.say("a1", 4_000)
    line.until(4_000)
    pieces = [c for c in line.sent if isinstance(c, PlayAudio)]
    assert line.audio_ms == 4_000
    assert len(pieces) <= 4_000 / BURST_MS


def test_where_the_far_side_keeps_nothing_speech_goes_out_frame_by_frame():
    line = Line(marks=False, lead_ms=40)
    line.say("a1", 1_000)
    line.pacer.advance(0)
    assert line.audio_ms == 40, "one frame that is heard and one that is ready"
    for late_ms in [0, 9, 0, 17, 3, 0, 19, 1]:
        line.now += 20
        before_ms = line.audio_ms
        line.pacer.advance(line.now + late_ms)
        assert line.audio_ms == before_ms + 20, "a beat that is a little late neither skips a frame nor doubles one"


@pytest.mark.parametrize("began_ms", range(20))
def test_where_the_far_side_keeps_nothing_every_beat_has_its_frame_wherever_between_beats_speech_began(began_ms):
    line = Line(marks=False, lead_ms=40)
    line.say("a1", 4_000)
    line.pacer.advance(began_ms)
    sent_ms = []
    for beat in range(1, 190):
        now_ms = 20 * beat + (3, 0, 2, 1, 0, 3, 1)[beat % 7]
        before_ms = line.audio_ms
        line.pacer.advance(now_ms)
        sent_ms += [now_ms] * ((line.audio_ms - before_ms) // 20)
    gaps = [later - earlier for earlier, later in pairwise(sent_ms)]
    assert 17 <= min(gaps) <= max(gaps) <= 23


def test_speech_is_filled_up_to_frames_of_the_far_sides_length():
    line = Line(frame_ms=30)
    line.say("a1", 100)
    line.until(400)
    assert line.audio_ms == 120
    assert all(len(c.audio) % (30 * 8) == 0 for c in line.sent if isinstance(c, PlayAudio))


def test_the_end_of_a_clause_is_filled_up_to_a_whole_frame_with_silence():
    line = Line()
    line.pacer.play("a1", b"x" * 250)
    line.pacer.advance(0)
    assert line.audio_ms == 20, "what does not fill a frame waits for more"
    line.pacer.end_clause("a1", 0, last=True)
    line.until(100)
    assert b"".join(c.audio for c in line.sent if isinstance(c, PlayAudio)) == b"x" * 250 + b"\xff" * 70


@pytest.mark.parametrize(("audio", "silence_ms"), [(MULAW_8K, 0), (AudioFormat("pcm16", 16_000), 20)])
def test_the_last_word_is_pushed_out_of_what_makes_a_telephones_rate_of_it(audio, silence_ms):
    line = Line(audio=audio)
    line.pacer.play("a1", b"x" * 100 * audio.bytes_per_ms)
    line.pacer.end_clause("a1", 0, last=True)
    line.pacer.end_line()
    line.until(100)
    silence = [PlayAudio(bytes(silence_ms * audio.bytes_per_ms))] if silence_ms else []
    assert line.sent == [PlayAudio(b"x" * 100 * audio.bytes_per_ms), SetMark("0.1"), *silence, SetMark("0.2")]
    assert line.pacer.unheard_ms(100) == silence_ms


def test_an_utterance_cut_off_by_another_is_filled_up_too():
    line = Line()
    line.pacer.play("a1", b"x" * 10)
    line.pacer.play("a2", b"y" * 160)
    line.until(0)
    assert [c.audio for c in line.sent] == [b"x" * 10 + b"\xff" * 150, b"y" * 160]


def test_a_clause_is_told_of_when_its_mark_returns():
    line = Line()
    line.say("a1", 100)
    line.until(100)
    assert line.pacer.mark_returned(line.marks[0], 130)
    assert line.told == [PlayoutStarted("a1", 0), PlayoutReached("a1", 0, 100, finished=True)]
    assert not line.pacer.busy


def test_an_utterance_without_audio_still_completes():
    line = Line()
    line.pacer.end_clause("a1", 0, last=True)
    line.pacer.advance(0)
    line.pacer.mark_returned(line.marks[0], 20)
    assert line.told == [PlayoutReached("a1", 0, 0, finished=True)]


def test_there_is_one_mark_per_clause_and_none_per_burst():
    line = Line()
    line.say("a1", 3_000, clause=0, last=False)
    line.say("a1", 3_000, clause=1, last=True)
    line.until(7_000)
    assert len(line.marks) == 2


def test_a_far_side_without_marks_is_believed_to_have_played_in_time():
    line = Line(marks=False)
    line.say("a1", 300)
    line.until(280)
    assert line.told == [PlayoutStarted("a1", 0)]
    line.until(300)
    assert line.told[-1] == PlayoutReached("a1", 0, 300, finished=True)
    assert line.marks == []


@pytest.mark.parametrize("began_ms", range(20))
def test_what_a_far_side_without_marks_has_played_is_told_on_the_nearest_beat(began_ms):
    line = Line(marks=False, lead_ms=40)
    line.say("a1", 300)
    line.pacer.advance(began_ms)
    line.now = 20
    while not any(isinstance(event, PlayoutReached) for event in line.told):
        line.pacer.advance(line.now)
        line.now += 20
    assert abs(line.now - 20 - (began_ms + 300)) <= 10


def test_clear_takes_everything_back_and_says_what_was_heard():
    line = Line()
    line.say("a1", 2_000)
    line.say("a2", 2_000)
    line.until(1_000)
    line.sent.clear()
    line.pacer.clear(1_000)
    assert line.sent == [ClearAudio()]
    assert line.told[-2:] == [PlayoutStopped("a1", 1_000, exact=False), PlayoutStopped("a2", 0, exact=True)]
    line.until(3_000)
    assert line.sent == [ClearAudio()]


def test_a_second_clear_says_nothing():
    line = Line()
    line.say("a1", 500)
    line.until(0)
    line.pacer.clear(10)
    line.sent.clear()
    line.told.clear()
    line.pacer.clear(20)
    assert line.sent == []
    assert line.told == []


def test_audio_that_comes_late_for_a_stopped_utterance_is_not_played():
    line = Line()
    line.say("a1", 500, last=False)
    line.until(0)
    line.pacer.clear(10)
    assert not line.pacer.play("a1", bytes(160))
    assert not line.pacer.end_clause("a1", 1, last=True)
    assert line.pacer.play("a2", bytes(160))


def test_nothing_is_sent_while_the_socket_takes_nothing():
    line = Line()
    line.say("a1", 500)
    line.pacer.advance(0, may_send=False)
    assert line.sent == []


def test_more_speech_than_can_wait_is_dropped():
    line = Line()
    assert line.pacer.play("a1", bytes(8 * MAX_QUEUED_MS + 160))
    assert not line.pacer.play("a1", bytes(160))


@pytest.mark.parametrize(
    ("audio", "byte"),
    [(MULAW_8K, b"\xff"), (AudioFormat("alaw", 8000), b"\xd5"), (AudioFormat("pcm16", 16000), b"\0")],
)
def test_silence_is_another_byte_in_each_format(audio, byte):
    assert silence_byte(audio) == byte


pieces = st.lists(st.tuples(st.sampled_from(["a1", "a2"]), st.integers(0, 3_000)), max_size=8)


@given(pieces)
def test_whatever_is_said_goes_out_whole_in_order_and_in_whole_frames(said):
    line = Line()
    expected = b""
    for clause, (utterance, length) in enumerate(said):
        audio = bytes([65 + clause]) * length
        line.pacer.play(utterance, audio)
        line.pacer.end_clause(utterance, clause, last=False)
        expected += audio
    line.until(6_000)
    out = [c.audio for c in line.sent if isinstance(c, PlayAudio)]
    assert all(len(audio) % 160 == 0 for audio in out)
    assert b"".join(out).replace(b"\xff", b"") == expected
    assert len(line.marks) == len(said)
    for mark in line.marks:
        line.pacer.mark_returned(mark, 6_000)
    reached = [e for e in line.told if isinstance(e, PlayoutReached)]
    assert [r.clause for r in reached] == list(range(len(said)))

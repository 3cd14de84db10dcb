"""Silence where the carrier sends none, and a limit where it sends too much."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from voiceagent.ports import MULAW_8K
from voiceagent.telephony.inbound import GAP_MS, Allowance, InboundLine

FRAME = bytes(160)


def test_frames_in_time_need_no_silence():
    line = InboundLine(MULAW_8K, now_ms=0)
    for at in range(20, 1_000, 20):
        assert line.accept(FRAME, at)
        assert line.silence_due_ms(at + 19) == 0


def test_a_gap_is_filled_after_sixty_milliseconds_and_then_frame_by_frame():
    line = InboundLine(MULAW_8K, now_ms=0)
    assert [line.silence_due_ms(at) for at in (20, 40, 60, 80, 100, 110, 120)] == [0, 0, 60, 20, 20, 0, 20]


def test_audio_ends_a_gap():
    line = InboundLine(MULAW_8K, now_ms=0)
    line.silence_due_ms(60)
    line.accept(FRAME, 70)
    assert line.silence_due_ms(70 + GAP_MS - 1) == 0
    assert line.silence_due_ms(70 + GAP_MS + 10) > 0


def test_audio_that_was_only_late_is_made_up_for_at_the_next_gap():
    line = InboundLine(MULAW_8K, now_ms=0)
    filled = sum(line.silence_due_ms(at) for at in range(20, 201, 20))
    assert filled == 200
    for _ in range(10):
        line.accept(FRAME, 200)
    assert sum(line.silence_due_ms(at) for at in range(220, 401, 20)) == 0
    assert sum(line.silence_due_ms(at) for at in range(420, 501, 20)) > 0


def test_after_a_stall_of_ours_not_the_whole_of_it_is_filled_at_once():
    line = InboundLine(MULAW_8K, now_ms=0)
    assert line.silence_due_ms(600) == 80


def test_audio_ten_times_faster_than_time_is_dropped_after_two_seconds_of_it():
    line = InboundLine(MULAW_8K, now_ms=0)
    taken = sum(line.accept(FRAME, at) for at in range(0, 10_000, 2))
    assert 600 <= taken <= 605, "ten seconds of it, and two ahead"


@given(st.lists(st.tuples(st.integers(0, 400), st.integers(0, 12)), max_size=60))
def test_what_is_handed_on_stays_close_to_the_time_that_passed(steps):
    line = InboundLine(MULAW_8K, now_ms=0)
    now, handed_on, real = 0, 0, 0
    for gap, frames in steps:
        for _ in range(gap // 20):
            now += 20
            handed_on += line.silence_due_ms(now)
        for _ in range(frames):
            if real + 20 > now:
                break
            real += 20
            handed_on += 20 if line.accept(FRAME, now) else 0
        assert handed_on <= 2 * now + 20
        assert handed_on >= real


def test_an_allowance_refills_with_time():
    allowance = Allowance(per_second=10, at_once=3, now_ms=0)
    assert [allowance.take(0) for _ in range(4)] == [True, True, True, False]
    assert [allowance.take(at) for at in (99, 100, 150, 200)] == [False, True, False, True]

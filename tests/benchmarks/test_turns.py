"""The arithmetic of the benchmark of turn-taking: cut-offs, delays, wrong words, and who is tuned on."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.turns.arithmetic import (
    TurnEnd,
    Turns,
    half_of,
    per_hour,
    truncation_error,
    word_errors,
    words_heard,
)
from benchmarks.turns.listening import listen
from benchmarks.turns.others import after_silence, by_model
from benchmarks.turns.recogniser import Heard
from voiceagent.audio import FRAME_MS
from voiceagent.ports import SpeechOff, SpeechOn

FRAME = bytes(160)


def test_a_turn_that_is_taken_before_the_last_word_is_a_cut_off() -> None:
    early, late, never = (TurnEnd("clip", 3_000, taken_ms) for taken_ms in (2_999, 3_400, None))
    assert early.cut_off
    assert early.delay_ms is None
    assert not late.cut_off
    assert late.delay_ms == 400
    assert not never.cut_off
    assert never.delay_ms is None


def test_a_row_counts_its_clips_and_leaves_cut_offs_out_of_the_delays() -> None:
    row = Turns.of(TurnEnd("clip", 1_000, taken_ms) for taken_ms in (900, 1_300, 1_500, 1_700, None))
    assert (row.clips, row.cut_off, row.never) == (5, 1, 1)
    assert row.cut_off_share == pytest.approx(0.2)
    assert (row.p50_ms, row.p95_ms) == (500, 700)
    assert Turns.of([]).cut_off_share == 0


def test_wrong_words_are_counted_as_they_are_heard() -> None:
    assert word_errors("press five to leave a message", "Press 5 to leave a message.") == (0, 6)
    assert word_errors("four zero nine", "409") == (0, 3)
    assert word_errors("twenty callers", "20 collars") == (1, 2)
    assert word_errors("one two three", "one three") == (1, 3)
    assert word_errors("hello", "oh hello there") == (2, 1)
    assert word_errors("", "noise") == (1, 0)


def test_a_word_is_heard_once_its_last_sound_was() -> None:
    assert [words_heard((400, 900, 1_300), heard_ms) for heard_ms in (399, 400, 1_299, 5_000)] == [0, 1, 2, 3]


def test_the_history_is_wrong_by_the_words_that_nobody_heard_and_those_that_are_missing() -> None:
    text = "your balance is two hundred dollars"
    assert truncation_error("your balance", text, heard=2) == 0
    assert truncation_error("your balance is two", text, heard=2) == 2
    assert truncation_error("", text, heard=3) == -3
    assert truncation_error("something else", text, heard=2) == 4
    assert truncation_error("your balance is two hundred dollars and more", text, heard=6) == 14


def test_false_alarms_are_told_by_the_hour() -> None:
    assert per_hour(2, 60_000) == pytest.approx(120)
    assert per_hour(0, 0) == 0


def test_a_sentence_is_in_one_half_for_ever_whoever_says_it() -> None:
    halves = {text: half_of("anybody", text, whole_speakers={}) for text in map(str, range(1_000))}
    assert 400 < sum(half == "tuning" for half in halves.values()) < 600
    assert halves == {text: half_of("somebody else", f"  {text}. ", whole_speakers={}) for text in halves}
    assert half_of("anybody", "No more messages.", whole_speakers={}) == "tuning"
    assert half_of("anybody", "Your message has been saved.", whole_speakers={}) == "report"


def test_a_speaker_can_be_in_one_half_as_a_whole() -> None:
    assert {half_of("one", str(text), whole_speakers={"one": "report"}) for text in range(20)} == {"report"}


def test_the_clips_that_come_with_the_project_are_split_into_two_halves() -> None:
    pytest.importorskip("soxr")
    from benchmarks.turns.material import clips

    shipped = list(clips(None, None, Path("demo/speech"), None))
    tuning, report = ({clip.text for clip in shipped if clip.half == half} for half in ("tuning", "report"))
    assert tuning
    assert report
    assert not tuning & report
    assert {clip.half for clip in shipped if clip.speaker == "kokoro-jm_kumo"} == {"report"}
    assert not any(clip.human for clip in shipped)


# --- ways to find the end --------------------------------------------------------------------------------------------


def voice(*changes: SpeechOn | SpeechOff) -> list[tuple[int, SpeechOn | SpeechOff]]:
    """Return changes as a detector tells them: a voice 64 ms late, its end 200 ms late."""
    late = {SpeechOn: 64, SpeechOff: 200}
    return [((change.at_ms + late[type(change)]) // FRAME_MS, change) for change in changes]


TWO_PARTS = voice(SpeechOn(1_000), SpeechOff(2_000), SpeechOn(2_600), SpeechOff(4_000))


def test_a_fixed_silence_cuts_off_whoever_pauses_for_longer() -> None:
    assert after_silence(TWO_PARTS, 500) == 2_500
    assert after_silence(TWO_PARTS, 700) == 4_700
    assert after_silence(voice(SpeechOn(1_000)), 500) is None


def test_the_packaged_model_is_asked_at_every_pause_and_waits_where_it_says_no() -> None:
    frames = [FRAME] * 400
    heard: list[int] = []

    def judge(audio: bytes) -> tuple[float, int]:
        heard.append(len(audio) // 8)
        return (0.9 if len(heard) == 2 else 0.1), 30

    assert by_model(TWO_PARTS, frames, judge) == 4_220 + 30
    assert heard == [2_220 - 500, 4_220 - 500]  # from half a second before the first word on
    assert by_model(TWO_PARTS, frames, lambda _: (0.1, 30)) == 4_000 + 3_000


def test_a_clip_is_listened_to_as_in_a_call() -> None:
    said = {"first": "four five one nine", "second": "two two seven eight"}
    frames = [FRAME] * 400

    def hear(audio: bytes) -> Heard:
        return Heard(said["first"] if len(audio) // 8 < 1_700 else said["second"], took_ms=150)

    whole = listen("digits", TWO_PARTS, frames, hear)
    assert whole.text == "four five one nine two two seven eight"
    assert whole.taken_ms == 4_220 + 150  # its words come later than the patience after a complete number ends
    assert listen("digits", TWO_PARTS, frames, hear, took_ms=0).taken_ms == 4_300
    assert listen("yes_no", TWO_PARTS, frames, lambda _: Heard("yes", 0)).taken_ms == 2_300


def test_an_end_of_turn_model_is_heard_like_in_a_call() -> None:
    frames = [FRAME] * 400
    asked: list[int] = []

    def judge(audio: bytes) -> tuple[float, int]:
        asked.append(len(audio) // 8)
        return 0.95, 100

    alone = listen("free", TWO_PARTS, frames, lambda _: Heard("My card was stolen.", 0)).taken_ms
    with_it = listen("free", TWO_PARTS, frames, lambda _: Heard("My card was stolen.", 0), judge=judge).taken_ms
    assert (alone, with_it) == (2_680, 2_540)
    assert asked == [1_520]  # the utterance, with what leads up to it and follows it

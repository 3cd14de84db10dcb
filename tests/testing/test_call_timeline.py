"""What is measured in a call: when the agent spoke, how long the caller waited, how punctual the carrier was."""

from __future__ import annotations

from voiceagent.testing.call_report import BargeIn, CallerTurn, barge_ins, caller_turns
from voiceagent.testing.lateness import Lateness
from voiceagent.testing.timeline import (
    AgentSpeechStarted,
    AgentSpeechStopped,
    CallerUtteranceEnded,
    CallerUtteranceStarted,
    Closed,
    DigitSent,
    SpeechMeter,
    TimelineEvent,
)

LOUD = b"\x20" * 160
SILENT = b"\xff" * 160
END = Closed(9_000, "caller", 1000, "")


def heard(frames: list[bytes]) -> list[TimelineEvent]:
    meter = SpeechMeter(energy=100, quiet_ms=400)
    found = [meter.hear(frame, number * 20) for number, frame in enumerate(frames)]
    return [event for event in found if event]


def test_speech_begins_with_its_first_loud_frame_and_ends_after_its_last():
    frames = [SILENT] * 5 + [LOUD] * 10 + [SILENT] * 30
    assert heard(frames) == [AgentSpeechStarted(100), AgentSpeechStopped(300)]


def test_a_pause_inside_a_sentence_does_not_end_it():
    frames = [LOUD] * 10 + [SILENT] * 19 + [LOUD] * 10 + [SILENT] * 20
    assert heard(frames) == [AgentSpeechStarted(0), AgentSpeechStopped(780)]


def test_four_hundred_milliseconds_of_quiet_end_it():
    assert heard([LOUD] + [SILENT] * 19) == [AgentSpeechStarted(0)]
    assert heard([LOUD] + [SILENT] * 20) == [AgentSpeechStarted(0), AgentSpeechStopped(20)]


def test_the_wait_for_an_answer_is_from_the_end_of_the_voice_to_the_first_sound():
    turn = (CallerUtteranceStarted(1_000, "a.wav"), CallerUtteranceEnded(2_000, "a.wav"))
    answer = (AgentSpeechStarted(2_740), AgentSpeechStopped(4_000))
    assert list(caller_turns((*turn, *answer, END))) == [CallerTurn("a.wav", 1_000, 2_000, 740)]


def test_an_agent_that_does_not_let_the_caller_finish_has_a_negative_wait():
    timeline = (
        CallerUtteranceStarted(1_000, "a.wav"),
        AgentSpeechStarted(1_800),
        CallerUtteranceEnded(2_000, "a.wav"),
        AgentSpeechStopped(4_000),
        END,
    )
    assert [turn.answered_after_ms for turn in caller_turns(timeline)] == [-200]


def test_the_tail_of_an_interrupted_sentence_is_no_answer():
    timeline = (
        AgentSpeechStarted(0),
        CallerUtteranceStarted(1_000, "stop.wav"),
        AgentSpeechStopped(1_260),
        CallerUtteranceEnded(1_400, "stop.wav"),
        AgentSpeechStarted(2_000),
        AgentSpeechStopped(3_000),
        END,
    )
    assert list(barge_ins(timeline)) == [BargeIn("stop.wav", 1_000, 260)]
    assert [turn.answered_after_ms for turn in caller_turns(timeline)] == [600]


def test_an_answer_belongs_to_the_turn_before_it_only():
    timeline = (
        CallerUtteranceStarted(0, "a.wav"),
        CallerUtteranceEnded(500, "a.wav"),
        CallerUtteranceStarted(3_000, "b.wav"),
        CallerUtteranceEnded(3_500, "b.wav"),
        AgentSpeechStarted(4_000),
        AgentSpeechStopped(5_000),
        END,
    )
    assert [turn.answered_after_ms for turn in caller_turns(timeline)] == [None, 500]


def test_keys_pressed_in_a_row_are_one_turn():
    timeline = (
        DigitSent(1_000, "1"),
        DigitSent(1_200, "2"),
        AgentSpeechStarted(1_900),
        AgentSpeechStopped(2_500),
        DigitSent(4_000, "#"),
        END,
    )
    assert list(caller_turns(timeline)) == [
        CallerTurn("12", 1_000, 1_200, 700),
        CallerTurn("#", 4_000, 4_000, None),
    ]


def test_one_late_frame_in_a_hundred_is_the_maximum_and_not_the_ninety_ninth_percentile():
    assert Lateness.of({0: 99, 35: 1}) == Lateness(max_ms=35, p99_ms=0)
    assert Lateness.of({0: 98, 20: 1, 35: 1}) == Lateness(max_ms=35, p99_ms=20)
    assert Lateness.of({7: 3}) == Lateness(max_ms=7, p99_ms=7)
    assert Lateness.of({}) == Lateness(max_ms=0, p99_ms=0)

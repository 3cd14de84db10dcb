"""When speech starts and ends, given windows with voice or without."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from voiceagent.ports import SpeechOff, SpeechOn
from voiceagent.speech.gate import Activity, VoiceGate


def decided(pattern: str, *, onset_ms: int = 60, pause_ms: int = 100) -> list[SpeechOn | SpeechOff]:
    """Run windows of 20 ms through a gate: V is voice, u unsure, . silence."""
    kinds: dict[str, Activity] = {"V": "voice", "u": "unsure", ".": "silence"}
    gate = VoiceGate(onset_ms=onset_ms, pause_ms=pause_ms)
    windows = [
        gate.window(kinds[letter], begin_ms=20 * place, end_ms=20 * place + 20) for place, letter in enumerate(pattern)
    ]
    return [change for change in windows if change is not None]


def test_voice_starts_where_its_first_window_began():
    assert decided("..VVV") == [SpeechOn(40)]


def test_a_click_starts_nothing():
    assert decided("..VV..VV..V..") == []


def test_an_unsure_window_is_no_part_of_an_onset():
    assert decided("VVuVV") == []


def test_voice_ends_where_it_was_last_heard_not_where_that_is_known():
    assert decided("VVVV.....") == [SpeechOn(0), SpeechOff(80)]


def test_a_gap_between_syllables_does_not_end_speech():
    assert decided("VVV....VVV.....") == [SpeechOn(0), SpeechOff(200)]


def test_a_fading_voice_is_still_voice():
    assert decided("VVVuu.....") == [SpeechOn(0), SpeechOff(100)]


def test_a_second_utterance_starts_anew():
    assert decided("VVV.....VVV.....") == [SpeechOn(0), SpeechOff(60), SpeechOn(160), SpeechOff(220)]


@given(st.text(alphabet="Vu.", max_size=200))
def test_starts_and_ends_alternate_in_rising_time(pattern: str):
    changes = decided(pattern)
    assert [type(change) for change in changes] == [SpeechOn, SpeechOff] * (len(changes) // 2) + [SpeechOn] * (
        len(changes) % 2
    )
    times = [change.at_ms for change in changes]
    assert times == sorted(times)

"""When speech starts and ends, given windows with voice or without."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voiceagent.ports import SpeechOff, SpeechOn
from voiceagent.speech.gate import Activity, Background, VoiceGate


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


@given(st.lists(st.sampled_from([0.0, 1e-7, 3e-7, 1e-5, 2e-4, 0.02, 0.3]), min_size=1, max_size=250))
def test_the_background_is_the_quietest_moment_of_the_last_three_seconds(powers: list[float]):
    background = Background(window_ms=32)
    levels = [-40.0]
    for number, power in enumerate(powers, 1):
        moment = powers[max(0, number - 6) : number]
        levels.append(10 * math.log10(sum(moment) / len(moment) + 1e-9))
        quietest = min(levels[-93:])
        assert background.window(power) == pytest.approx(levels[-1] - min(max(quietest, -62), -30))
        alone = 10 * math.log10(power + 1e-9) - min(quietest, -30)
        assert background.latest_above_db == pytest.approx(alone), "the codec's grain does not count here"

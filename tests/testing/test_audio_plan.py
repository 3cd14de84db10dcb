"""What becomes of a scripted conversation that is spoken: sounds, tolerances, and what cannot be spoken."""

from __future__ import annotations

from dataclasses import replace

import pytest

from voiceagent.testing import (
    CallScript,
    CallTurn,
    Coughs,
    Expect,
    Faults,
    HangsUp,
    HostSays,
    MakesNoise,
    Presses,
    Range,
    Says,
    StaysSilent,
    Waits,
)
from voiceagent.testing.audio_plan import (
    LATER_MS,
    NOT_COMPARED,
    Noise,
    Pause,
    Words,
    in_audio,
    left_out,
    sounds_of,
    why_not,
)

SCRIPT = CallScript("a call", (CallTurn(Says("Hello.")),))


def test_words_are_spoken() -> None:
    assert sounds_of(Says("What is my balance?")) == (Words("What is my balance?"),)


def test_an_ellipsis_is_a_pause_to_breathe() -> None:
    assert sounds_of(Says("four five … one nine")) == (Words("four five"), Pause(600), Words("one nine"))


def test_a_cough_and_a_noise_are_bursts_of_noise() -> None:
    (cough,) = sounds_of(Coughs())
    assert isinstance(cough, Noise)
    assert cough.ms < 500
    assert sounds_of(MakesNoise(2_000)) == (Noise(2_000),)


@pytest.mark.parametrize("act", [Presses("12"), StaysSilent(500), HangsUp(), HostSays("closing"), Waits()], ids=str)
def test_everything_else_has_no_sound(act: Presses | StaysSilent | HangsUp | HostSays | Waits) -> None:
    assert sounds_of(act) == ()


def test_times_get_a_tolerance() -> None:
    spoken = in_audio(Expect(within_ms=1_500, longest_silence_ms=4_000, filler_after_ms=Range(800, 2_000)))
    assert spoken.within_ms == 1_500 + LATER_MS
    assert spoken.longest_silence_ms == 4_000 + LATER_MS
    assert spoken.filler_after_ms == Range(800, 2_000 + LATER_MS)


def test_times_that_do_not_matter_still_do_not() -> None:
    assert in_audio(Expect(phase="desk")) == Expect(phase="desk")


def test_what_depends_on_the_very_words_or_on_the_first_sound_is_not_compared() -> None:
    exact = Expect(history=("caller: Hello.",), history_not=("1234",), interrupts_caller=False, hears=("Hello",))
    assert in_audio(exact) == Expect(hears=("Hello",))


def test_what_is_not_compared_is_named_in_its_order() -> None:
    script = replace(SCRIPT, in_the_end=Expect(interrupts_caller=False, history=("agent: Hello",), phase="desk"))
    assert left_out(script) == ("history", "interrupts_caller")
    assert set(left_out(script)) <= set(NOT_COMPARED)
    assert left_out(SCRIPT) == ()


def test_a_plain_conversation_can_be_spoken() -> None:
    assert why_not(SCRIPT, locale="en-US") is None


@pytest.mark.parametrize(
    ("script", "locale", "said"),
    [
        (replace(SCRIPT, faults=Faults(model_fails=(1,))), "en-US", "its faults are simulated"),
        (replace(SCRIPT, xfail="not mended yet"), "en-US", "known to fail: not mended yet"),
        (SCRIPT, "de-DE", "English, not de-DE"),
    ],
)
def test_one_that_cannot_be_spoken_says_why(script: CallScript, locale: str, said: str) -> None:
    reason = why_not(script, locale=locale)
    assert reason is not None
    assert said in reason

"""A caller's words take their time, with a pause at every ellipsis; who was on when can be told afterwards."""

from __future__ import annotations

from voiceagent.testing.caller_voice import BREATH_MS, CallerVoice


def test_words_take_as_long_as_their_letters() -> None:
    (breath,) = CallerVoice().says("what is my balance", 1_000)
    assert (breath.words, breath.begins_ms, breath.lasting_ms) == ("what is my balance", 1_000, 18 * 65)


def test_an_ellipsis_is_a_pause_between_two_breaths() -> None:
    voice = CallerVoice()
    first, second = voice.says("I would like … my balance", 0)
    assert second.begins_ms - first.ends_ms == BREATH_MS
    assert voice.spells == [(first.begins_ms, first.ends_ms), (second.begins_ms, second.ends_ms)]
    assert voice.ends_ms == second.ends_ms


def test_breaths_share_a_given_time() -> None:
    assert [breath.lasting_ms for breath in CallerVoice().says("one … two", 0, lasting_ms=1_000)] == [500, 500]


def test_a_key_ends_the_wait_for_the_caller_too() -> None:
    voice = CallerVoice()
    voice.says("hello", 0)
    voice.pressed(9_000)
    assert voice.ends_ms == 9_000

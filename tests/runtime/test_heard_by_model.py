"""Whose words a speech model sends: by the audio they are, or by how late and how long they are."""

from __future__ import annotations

from voiceagent.core.ids import UtteranceId
from voiceagent.ports import CallerTranscribed
from voiceagent.runtime.heard_by_model import Heard, HeardByModel, Match

FIRST, SECOND, THIRD = UtteranceId("c1"), UtteranceId("c2"), UtteranceId("c3")


def heard(*spans: tuple[UtteranceId, int, int], cut_short: tuple[UtteranceId, ...] = ()) -> HeardByModel:
    """Utterances from when to when; each pause is noticed 200 ms later."""
    model = HeardByModel()
    for utterance, from_ms, to_ms in spans:
        model.add(utterance, Heard((), to_ms + 200, from_ms, to_ms, counts=utterance not in cut_short))
    return model


def match(model: HeardByModel, text: str, at_ms: int, of: tuple[int, int] | None = None) -> Match | None:
    return model.match(CallerTranscribed(text, final=True, heard_ms=of), at_ms, speaking=False)


def test_words_that_are_late_as_usual_are_those_of_the_utterance_that_long_ago() -> None:
    model = heard((FIRST, 0, 1_000))
    assert match(model, "When are you?", 4_200) == Match(FIRST)
    model.add(SECOND, Heard((), 6_200, 5_000, 6_000))
    model.add(THIRD, Heard((), 8_700, 7_500, 8_500))
    assert match(model, "I have a visit", 9_200) == Match(SECOND)
    assert model.is_open(THIRD)


def test_words_of_several_utterances_in_one_are_the_first_ones() -> None:
    model = heard((FIRST, 0, 400), (SECOND, 1_000, 1_800))
    assert match(model, "Listen and be quick", 2_900) == Match(FIRST, (SECOND,))


def test_words_are_not_those_of_a_cough_that_was_too_short_for_them() -> None:
    model = heard((FIRST, 0, 200), (SECOND, 1_500, 3_000))
    assert match(model, "What counters are there?", 4_100) == Match(SECOND, nothing_in=(FIRST,))


def test_words_of_which_the_model_heard_the_beginning_do_not_count() -> None:
    model = heard((FIRST, 0, 700), cut_short=(FIRST,))
    assert match(model, "Please cance", 1_700) == Match(None)


def test_the_provider_knows_best_which_audio_it_has_transcribed() -> None:
    model = heard((FIRST, 0, 1_000), (SECOND, 2_500, 3_500))
    model.from_ms = 500
    assert match(model, "I have a visit", 4_400, of=(2_020, 2_980)) == Match(SECOND)
    assert model.is_open(FIRST)


def test_the_silence_around_its_audio_takes_no_words_from_a_neighbour() -> None:
    model = heard((FIRST, 0, 1_000), (SECOND, 1_300, 2_300))
    assert match(model, "I have a visit", 2_400, of=(0, 1_500)) == Match(FIRST)
    assert match(model, "I have a bill", 2_900, of=(900, 2_800)) == Match(SECOND)


def test_words_that_go_on_are_those_of_the_last_utterance_that_is_known() -> None:
    model = heard((FIRST, 0, 1_500))
    assert match(model, "I have", 2_000) == Match(FIRST)
    assert match(model, "a visit", 2_300) == Match(FIRST)


def test_words_are_as_late_as_words_before_them_may_have_been() -> None:
    model = heard((FIRST, 0, 1_400))
    model.add(SECOND, Heard((), 4_400, 3_300, 4_200))
    assert match(model, "Back to the reception", 4_900) == Match(FIRST)  # 3.3 s late, or half a second
    model.add(THIRD, Heard((), 6_000, 4_900, 5_800))
    assert match(model, "I have a visit", 7_700) == Match(SECOND)


def test_words_that_may_be_of_another_utterance_are_asked_for_where_no_more_come() -> None:
    model = heard((FIRST, 0, 900), (SECOND, 2_000, 2_900))
    assert match(model, "I have a visit", 4_000) == Match(SECOND, nothing_in=(FIRST,))
    assert [*model.give_up(next_from_ms=None)] == [FIRST, SECOND]


def test_what_another_session_hears_again_does_not_count_again() -> None:
    model = heard((FIRST, 0, 1_000), (SECOND, 1_500, 2_200), cut_short=(SECOND,))
    assert match(model, "I have a visit", 1_900) == Match(FIRST)
    assert model.give_up(next_from_ms=0) == {}
    assert match(model, "I have a visit", 2_900) == Match(None)
    assert match(model, "Please cance", 3_300) == Match(None)

"""Noise, backchannels and unfinished sentences; and which locale is which language."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voiceagent import language
from voiceagent.errors import PhaseError
from voiceagent.language import Completeness, language_for

ENGLISH = language_for("en")


@pytest.mark.parametrize("text", ["You", "So.", "The", "", "...", "the the", "[BLANK_AUDIO]", "(music)"])
def test_what_recognizers_make_of_noise_is_noise(text: str):
    assert ENGLISH.is_noise(text)


@pytest.mark.parametrize("text", ["you know", "yes", "to", "oh", "um", "So I need help", "4"])
def test_words_are_no_noise(text: str):
    assert not ENGLISH.is_noise(text)


@pytest.mark.parametrize("text", ["Uh-huh.", "mm-hm", "Okay.", "right", "okay, right", "I see", "Got it."])
def test_listening_is_a_backchannel(text: str):
    assert ENGLISH.is_backchannel(text)


@pytest.mark.parametrize("text", ["Mm-hm.", "Mhm", "Mmm", "Mmhmm", "Mama.", "M-hm, okay"])
def test_a_hum_is_a_backchannel_whatever_a_recognizer_writes_for_it(text: str):
    assert ENGLISH.is_backchannel(text)


@pytest.mark.parametrize("text", ["okay stop", "No", "wait", "", "right, the savings account", "um"])
def test_taking_the_floor_is_no_backchannel(text: str):
    assert not ENGLISH.is_backchannel(text)


@pytest.mark.parametrize("text", ["my", "ma'am", "Mam", "Mum.", "Ma", "M", "Mu"])
def test_what_somebody_answers_with_is_no_hum(text: str):
    assert not ENGLISH.is_backchannel(text)


@pytest.mark.parametrize(
    "text",
    [
        "Hold on, hold on a second.",
        "Just a minute, please.",
        "Um, let me see.",
        "Let me just find my card.",
        "Hang on, I have it here somewhere",
    ],
)
def test_asking_for_a_moment_is_heard(text: str):
    assert ENGLISH.asks_to_wait(text)


@pytest.mark.parametrize(
    "text", ["Hold on, what is my limit?", "Let me see my transactions.", "I was on hold", "yes", "", "wait"]
)
def test_wanting_something_is_not_asking_for_a_moment(text: str):
    assert not ENGLISH.asks_to_wait(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("I want to, um,", Completeness.INCOMPLETE),
        ("My account number is", Completeness.INCOMPLETE),
        ("I lost my card and.", Completeness.INCOMPLETE),
        ("I'd like to.", Completeness.INCOMPLETE),
        ("Well...", Completeness.INCOMPLETE),
        ("um", Completeness.INCOMPLETE),
        ("", Completeness.INCOMPLETE),
        ("four five one nine", Completeness.OPEN),
        ("I want to transfer two hundred", Completeness.OPEN),
        ("Could you repeat that please?", Completeness.COMPLETE),
        ("What is it for?", Completeness.COMPLETE),
        ("I lost my debit card yesterday and I need to block it.", Completeness.COMPLETE),
        ("yes", Completeness.COMPLETE),
        ("I am", Completeness.COMPLETE),
        ("hold on", Completeness.COMPLETE),
        ("Can you tell me?", Completeness.INCOMPLETE),
        ("Hi, I'd like to know.", Completeness.INCOMPLETE),
        ("Can you tell me my balance?", Completeness.COMPLETE),
        ("There are currently.", Completeness.INCOMPLETE),
        ("It is more than.", Completeness.INCOMPLETE),
        ("If this is correct.", Completeness.INCOMPLETE),
        ("If it is lost, block it.", Completeness.COMPLETE),
        ("To leave a message.", Completeness.OPEN),
        ("To my savings account.", Completeness.COMPLETE),
        ("The person at Extension.", Completeness.INCOMPLETE),
        ("I'm calling about account number.", Completeness.INCOMPLETE),
        ("Please enter the conference PIN number.", Completeness.COMPLETE),
        ("I have a new phone number.", Completeness.COMPLETE),
        ("If this is correct, press.", Completeness.INCOMPLETE),
        ("If possible, please.", Completeness.COMPLETE),
        ("Please.", Completeness.INCOMPLETE),
        ("I'm sorry.", Completeness.INCOMPLETE),
    ],
)
def test_the_words_tell_whether_more_will_come(text: str, expected: Completeness):
    assert ENGLISH.completeness(text) is expected


@pytest.mark.parametrize("text", ["What is my balance?", "My balance, please.", "No, thank you.", "Okay, bye!"])
def test_a_question_or_a_please_leaves_the_floor(text: str):
    assert ENGLISH.hands_over(text)


@pytest.mark.parametrize("text", ["", "My card was stolen.", "Please.", "Please block my card.", "Yes"])
def test_a_statement_does_not_leave_the_floor(text: str):
    assert not ENGLISH.hands_over(text)


@pytest.mark.parametrize("text", ["two hundred", "A thousand.", "200", "3,000.", "I'd say a hundred"])
def test_a_number_that_stops_there_may_go_on(text: str):
    assert ENGLISH.number_may_go_on(text)


@pytest.mark.parametrize(
    "text", ["", "two hundred dollars", "twelve", "twenty", "255.", "1.00", "0", "a hundred of them"]
)
def test_a_number_that_nothing_can_follow_does_not_go_on(text: str):
    assert not ENGLISH.number_may_go_on(text)


@given(st.text())
def test_no_text_breaks_the_hearing(text: str):
    ENGLISH.is_noise(text)
    ENGLISH.is_backchannel(text)
    ENGLISH.number_may_go_on(text)
    assert isinstance(ENGLISH.completeness(text), Completeness)


@pytest.mark.parametrize("locale", ["en", "en-GB", "en_US", "EN"])
def test_a_region_falls_back_to_its_language(locale: str):
    assert language_for(locale).locale == "en"


def test_an_unknown_locale_is_the_authors_mistake():
    with pytest.raises(PhaseError, match=r"no language for locale 'eng'; did you mean 'en'\?"):
        language_for("eng")
    with pytest.raises(PhaseError, match=r"'xx-YY' \(known: en, es\)"):
        language_for("xx-YY")


def test_every_public_name_exists():
    assert all(hasattr(language, name) for name in language.__all__)

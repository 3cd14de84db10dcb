"""What the agent says, and what is left of it when it is cut off: to the word, nothing lost and nothing twice."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voiceagent.core.agent_speech import AgentSpeech, Spoken
from voiceagent.core.effects import Speak
from voiceagent.core.ids import UtteranceId
from voiceagent.language import language_for

_words = st.text(st.characters(categories=["L", "N", "P"]), min_size=1, max_size=12)
_clauses = st.lists(
    st.tuples(st.lists(_words, min_size=1, max_size=8).map(" ".join), st.none() | st.integers(0, 5_000)),
    min_size=1,
    max_size=5,
)


def saying(speech: AgentSpeech, *clauses: str, lasting_ms: int | None = 1_000) -> Spoken:
    """An utterance of these clauses."""
    spoken = speech.begin("reply", interruptible=True)
    for number, text in enumerate(clauses):
        speech.add(spoken, text, last=number == len(clauses) - 1)
        if lasting_ms is not None:
            speech.queued(spoken.id, number, lasting_ms)
    return spoken


def test_utterances_and_clauses_are_numbered() -> None:
    speech = AgentSpeech(language_for("en"))
    first = speech.begin("said", interruptible=False)
    assert speech.add(first, "Hello.", last=False) == Speak(UtteranceId("a1"), 0, "Hello.", "said", last=False)
    assert speech.add(first, "", last=True) == Speak(UtteranceId("a1"), 1, "", "said", last=True)
    assert speech.begin("reply", interruptible=True).id == "a2"
    assert speech.begin("reply", interruptible=True, utterance=UtteranceId("u1")).id == "u1"


def test_the_agent_is_busy_until_an_utterance_was_heard() -> None:
    speech = AgentSpeech(language_for("en"))
    spoken = saying(speech, "Hello there.")
    assert speech.busy
    assert speech.started(spoken.id, 100) is spoken
    assert speech.started(spoken.id, 100) is None
    assert speech.busy
    assert speech.reached(spoken.id, 0, 1_000, finished=True) is spoken
    assert not speech.busy
    assert (spoken.heard_text, spoken.unheard_text) == ("Hello there.", "")


def test_what_is_over_stays_over() -> None:
    speech = AgentSpeech(language_for("en"))
    spoken = saying(speech, "Hello there.")
    assert speech.stopped(spoken.id, 0) is spoken
    assert speech.reached(spoken.id, 0, 1_000, finished=True) is None
    assert speech.stopped(spoken.id, 1_000) is None
    assert speech.started(spoken.id, 100) is None
    assert spoken.heard_text == ""


def test_an_unknown_utterance_is_nothing() -> None:
    speech = AgentSpeech(language_for("en"))
    stranger = UtteranceId("a99")
    assert speech.get(stranger) is None
    assert speech.started(stranger, 0) is None
    assert speech.reached(stranger, 0, 0, finished=True) is None
    assert speech.stopped(stranger, 0) is None
    speech.queued(stranger, 0, 100)


@pytest.mark.parametrize("clause", [-1, 1, 99])
def test_a_length_of_a_clause_that_is_not_there_changes_nothing(clause: int) -> None:
    speech = AgentSpeech(language_for("en"))
    spoken = saying(speech, "Hello.", lasting_ms=700)
    speech.queued(spoken.id, clause, 5)
    assert spoken.clauses[0].duration_ms == 700


@pytest.mark.parametrize(
    ("heard_ms", "heard"),
    [
        (0, ""),
        (100, ""),
        (999, "one two"),
        (1_000, "one two three"),
        (1_800, "one two three four five"),
        (2_000, "one two three four five six"),
        (9_000, "one two three four five six"),
    ],
)
def test_a_sentence_is_cut_where_it_was_heard_to(heard_ms: int, heard: str) -> None:
    speech = AgentSpeech(language_for("en"))
    spoken = saying(speech, "one two three", "four five six")
    speech.stopped(spoken.id, heard_ms)
    assert spoken.heard_text == heard


def test_a_clause_whose_audio_is_not_known_is_estimated_by_its_words() -> None:
    speech = AgentSpeech(language_for("en"))
    spoken = saying(speech, "one two three four", lasting_ms=None)
    two_words_ms = sum(sum(length) for length in language_for("en").word_lengths("one two"))
    speech.stopped(spoken.id, two_words_ms)
    assert (spoken.heard_text, spoken.unheard_text) == ("one two", "three four")


def test_a_sentence_is_cut_at_the_word_that_the_synthesizer_has_told() -> None:
    for heard_ms, heard in ((999, ""), (1_000, "one"), (1_099, "one"), (1_100, "one two"), (1_200, "one two three")):
        speech = AgentSpeech(language_for("en"))
        spoken = speech.begin("reply", interruptible=True)
        speech.add(spoken, "one two three", last=True)
        speech.queued(spoken.id, 0, 1_500, (1_000, 1_100, 1_200))
        speech.stopped(spoken.id, heard_ms)
        assert spoken.heard_text == heard


def test_what_is_told_of_other_words_is_not_believed() -> None:
    speech = AgentSpeech(language_for("en"))
    spoken = speech.begin("reply", interruptible=True)
    speech.add(spoken, "one two three", last=True)
    speech.queued(spoken.id, 0, 1_500, (1_000, 1_100))
    speech.stopped(spoken.id, 700)
    assert spoken.heard_text == "one"


def test_an_amount_takes_as_long_as_it_is_spoken_and_not_as_it_is_written() -> None:
    speech = AgentSpeech(language_for("en"))
    spoken = saying(speech, "You owe us $1,250.50 today.", lasting_ms=3_600)
    speech.stopped(spoken.id, 1_800)
    assert spoken.heard_text == "You owe us"
    by_letters = 3_600 * len("You owe us $1,250.50") // len("You owe us $1,250.50 today.")
    assert by_letters > 1_800 + 800


def test_a_word_before_a_pause_is_heard_before_the_pause_is_over() -> None:
    speech = AgentSpeech(language_for("en"))
    spoken = saying(speech, "No.", lasting_ms=600)
    speech.stopped(spoken.id, 400)
    assert spoken.heard_text == "No."


@given(_clauses, st.integers(0, 20_000))
def test_what_was_heard_and_what_was_not_is_the_whole_sentence(
    clauses: list[tuple[str, int | None]], heard_ms: int
) -> None:
    speech = AgentSpeech(language_for("en"))
    spoken = speech.begin("reply", interruptible=True)
    for number, (text, duration_ms) in enumerate(clauses):
        speech.add(spoken, text, last=False)
        if duration_ms is not None:
            speech.queued(spoken.id, number, duration_ms)
    speech.add(spoken, "", last=True)
    speech.stopped(spoken.id, heard_ms)
    assert [*spoken.heard_text.split(), *spoken.unheard_text.split()] == spoken.text.split()


@given(_clauses, st.integers(0, 20_000), st.integers(0, 5_000))
def test_who_listens_longer_hears_at_least_as_much(
    clauses: list[tuple[str, int | None]], heard_ms: int, longer_ms: int
) -> None:
    heard: list[str] = []
    for cut_ms in (heard_ms, heard_ms + longer_ms):
        speech = AgentSpeech(language_for("en"))
        spoken = saying(speech, *(text for text, _ in clauses))
        speech.stopped(spoken.id, cut_ms)
        heard.append(spoken.heard_text)
    assert heard[1].startswith(heard[0])


def test_only_the_last_finished_utterances_are_remembered_and_no_unfinished_one_is_forgotten() -> None:
    speech = AgentSpeech(language_for("en"))
    waiting = saying(speech, "Still here.")
    for number in range(30):
        spoken = saying(speech, f"Sentence {number}.")
        speech.reached(spoken.id, 0, 1_000, finished=True)
        speech.forget_finished(keep=4)
    assert speech.unfinished == (waiting,)
    assert [speech.get(UtteranceId(f"a{number}")) is not None for number in (1, 2, 27, 28, 31)] == [
        True,
        False,
        False,
        True,
        True,
    ]


def test_what_is_said_is_measured_in_the_language_of_the_phase_that_says_it() -> None:
    speech = AgentSpeech(language_for("en"))
    before = speech.begin("said", interruptible=True)
    speech.language = language_for("es")
    after = speech.begin("said", interruptible=True)
    for spoken in (before, after):
        speech.add(spoken, "Usted debe 1999 euros.", last=True)
        speech.queued(spoken.id, 0, 3_000)
        speech.stopped(spoken.id, 2_200)
    assert (before.heard_text, before.unheard_text) == ("Usted debe 1999", "euros.")
    assert (after.heard_text, after.unheard_text) == ("Usted debe", "1999 euros.")

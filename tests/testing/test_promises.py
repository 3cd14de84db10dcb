"""Promises hold in every call; each is broken by the defect it is there for, in calls that expect nothing at all."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from voiceagent.core.agent_speech import Spoken
from voiceagent.core.confirmations import Confirmation, digest_of
from voiceagent.core.doing import Doing
from voiceagent.core.fillers import FillerPolicy
from voiceagent.core.ids import UtteranceId
from voiceagent.core.tool_calls import ToolCall
from voiceagent.testing import CallOutcome

Play = Callable[..., CallOutcome]

WORLD = """
agent: desk
model:
  rules:
    - {phase: hello, calls: check_member, arguments: {code: ⟨code⟩}}
    - {caller_says: story, says: "Once upon a time, there was a desk, and everybody who came to it was served."}
    - {caller_says: book, calls: book, arguments: {seats: 2}}
    - says: All right.
tools:
  check_member: {result: {member: true}}
  opening_hours: {result: {until: six}}
  book: {result: {booked: "{{ seats }}"}}
"""
INTERRUPTED = "call: [says: one two three four, says: A story., {says: Stop it., at: {heard: time there was}}]"
WAITING = "faults: {model_stalls: 2}\ncall: [says: one two three four, says: Are you there]"
BOOKING = "call: [says: one two three four, says: Book two., says: 'Yes.', says: Book two., says: 'Yes.']"
EARLY = "call: [says: one two three four, says: Book two., {says: 'Yes.', at: {heard: Shall I}}]"


@pytest.mark.parametrize("call", [INTERRUPTED, WAITING, BOOKING, EARLY])
def test_every_promise_is_kept(play: Play, call: str) -> None:
    outcome = play(call, head=WORLD, schedules=5, runtime=2)
    assert outcome.failure is None


def broken(play: Play, call: str) -> list[tuple[str, str]]:
    """What is told of a call."""
    failure = play(call, head=WORLD).failure
    assert failure is not None
    return [(found.what, found.got) for found in failure.mismatches]


def test_the_history_is_what_was_heard_to_the_word(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Spoken, "heard_text", property(lambda spoken: spoken.text))
    assert broken(play, INTERRUPTED) == [("the history", "'everybody who came'")]


def test_no_filler_is_said_twice_in_a_row(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FillerPolicy, "_next_phrase", lambda _, phrases: phrases[0])
    assert ("fillers", "'Still looking,' again") in broken(play, WAITING)


def test_nothing_irreversible_is_done_before_its_question_was_heard(
    play: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    def started(doing: Doing, call: ToolCall) -> None:
        read_back = UtteranceId("nobody heard it")
        doing._start(
            call, Confirmation(1, call.id, read_back, call.epoch, 0, "", digest_of(call.tool.name, call.arguments))
        )

    monkeypatch.setattr(Doing, "_confirmable", started)
    assert broken(play, BOOKING)[0][0] == "book"


def test_what_is_irreversible_has_a_key_of_its_own(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Confirmation, "key", lambda _, call: str(call))
    assert broken(play, BOOKING) == [("book", "scripted")]

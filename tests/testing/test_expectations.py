"""Expectations: each is met by what it describes, and each is missed by something else."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from voiceagent.spec.flow import Flow
from voiceagent.testing import CallOutcome, ScriptedCall, ScriptedModel, say
from voiceagent.testing.expectations import Stretch

Play = Callable[..., CallOutcome]

CALL = """
call:
  - waits:
    expect: {{ {first} }}
  - says: My code is one two three four.
    expect: {{ {second} }}
  - says: When are you open?
    expect: {{ {third} }}
in_the_end: {{ {end} }}
"""

MET = {
    "first": [
        "phase: hello",
        "phases: hello",
        "hears: 'HELLO, this is  the desk!'",
        "hears: [Hello, your code]",
        "hears_not: goodbye",
        "hears_matching: ^hello.*code.$",
        "ended: no",
        "fillers: 0",
        "calls_not: check_member",
    ],
    "second": [
        "phase: desk",
        "phases: desk",
        "hears: 'What can I do for you?'",
        "hears_not: Hello",
        "calls: check_member",
        "calls_not: [book, look_left]",
        "facts: {member: true}",
        "offered: [opening_hours, book]",
        "offered_not: check_member",
        "history: 'caller: My code is ⟨code#1: 4 digits⟩'",
        "history_not: one two three four",
    ],
    "third": [
        "hears: until six in the evening",
        "calls: {opening_hours: {day: today}}",
        "prefetch_hits: 1",
        "prefetch_joins: 0",
        "within_ms: 1500",
        "longest_silence_ms: 1500",
        "tokens_at_most: 600",
        "fillers: 0..1",
        "interrupts_caller: no",
    ],
    "end": ["phases: [hello, desk]", "calls: [check_member, opening_hours]", "hears: [Hello, six]", "prefetch_hits: 1"],
}

MISSED = {
    ("first", "phase: desk"): ("phase", "desk", "hello"),
    ("first", "phases: [hello, desk]"): ("phases", "hello, desk", "hello"),
    ("first", "hears: Goodbye"): ("hears", "'Goodbye'", "'Hello, this is the desk. What is your code?'"),
    ("first", "hears: this the"): ("hears", "'this the'", "'Hello, this is the desk. What is your code?'"),
    ("first", "hears_not: the desk"): (
        "hears_not",
        "nothing like 'the desk'",
        "'Hello, this is the desk. What is your code?'",
    ),
    ("first", "hears_matching: ^desk"): ("hears_matching", "^desk", "'Hello, this is the desk. What is your code?'"),
    ("first", "ended: yes"): ("ended", "the call is over", "the call goes on, in phase hello"),
    ("first", "transferred_to: office"): ("transferred_to", "office", "no transfer"),
    ("first", "presses: 12#"): ("presses", "12#", "no keys"),
    ("first", "calls: book"): ("calls", "book()", "no calls"),
    ("first", "fillers: 1..2"): ("fillers", "1..2", "0"),
    ("first", "filler_after_ms: 0..9000"): ("filler_after_ms", "0..9000 ms", "no filler"),
    ("first", "offered: book"): ("offered", "book", "the model was not asked"),
    ("first", "offered_not: book"): ("offered_not", "no book", "the model was not asked"),
    ("first", "tokens_at_most: 600"): ("tokens_at_most", "at most 600", "the model was not asked"),
    ("second", "facts: {member: false}"): ("facts", "member: false", "member: true"),
    ("second", "facts: {side: left}"): ("facts", 'side: "left"', "side: null"),
    ("second", "calls_not: check_member"): ("calls_not", "no check_member", "check_member(code=⟨code#1: 4 digits⟩)"),
    ("second", "calls: [check_member, check_member]"): (
        "calls",
        "check_member()",
        "check_member(code=⟨code#1: 4 digits⟩)",
    ),
    ("second", "offered_not: book"): ("offered_not", "no book", "opening_hours, look_left, look_right, book, person"),
    ("third", "calls: {opening_hours: {day: sunday}}"): (
        "calls",
        "opening_hours(day=sunday)",
        "opening_hours(day=today)",
    ),
    ("third", "prefetch_hits: 0"): ("prefetch_hits", "0", "1"),
    ("third", "prefetch_joins: 1"): ("prefetch_joins", "1", "0"),
    ("third", "tokens_at_most: 10"): ("tokens_at_most", "at most 10", None),
    ("third", "within_ms: 20"): ("within_ms", "an answer within 20 ms", None),
    ("third", "longest_silence_ms: 20"): ("longest_silence_ms", "at most 20 ms", None),
    ("third", "interrupts_caller: yes"): ("interrupts_caller", "yes", "no"),
    ("third", "history: bananas"): ("history", "'bananas'", None),
    ("third", "history_not: Hello"): ("history_not", "nothing like 'Hello'", None),
    ("end", "phases: [hello]"): ("phases", "hello", "hello, desk"),
    ("end", "calls_not: opening_hours"): ("calls_not", "no opening_hours", None),
}


def call(turn: str, expected: str) -> str:
    return CALL.format(**{"first": "", "second": "", "third": "", "end": "", turn: expected})


@pytest.mark.parametrize(("turn", "expected"), [(turn, line) for turn, lines in MET.items() for line in lines])
def test_an_expectation_is_met(play: Play, turn: str, expected: str) -> None:
    failure = play(call(turn, expected)).failure
    assert failure is None, failure


@pytest.mark.parametrize(("where", "told"), MISSED.items(), ids=[expected for _, expected in MISSED])
def test_an_expectation_is_missed(play: Play, where: tuple[str, str], told: tuple[str, str, str | None]) -> None:
    failure = play(call(*where)).failure
    assert failure is not None
    what, wanted, got = told
    (missed,) = failure.mismatches
    assert (missed.what, missed.expected) == (what, wanted)
    assert got is None or missed.got == got
    assert failure.turn == {"first": 1, "second": 2, "third": 3, "end": 0}[where[0]]
    assert missed.source is not None
    assert missed.source.line == {"first": 20, "second": 22, "third": 24, "end": 25}[where[0]]


@pytest.mark.parametrize(("expected", "met"), [("12#", True), ("12", False)])
def test_keys_are_expected_of_the_agent(play: Play, expected: str, met: bool) -> None:
    pressed = play(
        f"call:\n  - waits\n  - host_event: a_machine_answers\n    expect: {{presses: '{expected}', phase: menu}}"
    )
    assert (pressed.failure is None) == met, pressed.failure


def test_numbers_are_the_same_number_however_they_are_written(play: Play) -> None:
    booked = """
call:
  - says: one two three four
  - says: Book two seats.
    expect: {hears: Shall I book 2 seats}
  - says: Yes.
    expect: {calls: {book: {seats: %s}}}
"""
    head = """
agent: desk
model:
  rules:
    - {phase: hello, calls: check_member, arguments: {code: ⟨code⟩}}
    - {caller_says: book, calls: book, arguments: {seats: 2}}
    - {after_tool: book, says: Done.}
    - says: Yes?
tools: {check_member: {result: {member: true}}, opening_hours: {result: 1}, book: {result: 1}}
"""
    assert play(booked % "2", head=head).passed
    assert play(booked % '"2.0"', head=head).passed
    assert not play(booked % "3", head=head).passed
    assert not play(booked % "true", head=head).passed


SLOW = """
agent: desk
model:
  lines:
    hello: [{calls: check_member, arguments: {code: ⟨code⟩}}]
    desk: [{calls: opening_hours}, We are open until six.]
tools:
  check_member: {result: {member: true}}
  opening_hours: {takes_ms: %s, result: {until: six}}
call:
  - says: one two three four
    expect: {%s}
"""


@pytest.mark.parametrize(
    "expected",
    ["fillers: 1..2", "filler_after_ms: 800..2500", "hears: [One moment, until six]", "longest_silence_ms: 5000"],
)
def test_a_slow_tool_has_its_filler(play: Play, expected: str) -> None:
    assert play("", head=SLOW % ("6000", expected)).failure is None


def test_an_answer_that_waits_for_the_fetch_has_joined_it(play: Play) -> None:
    assert play("", head=SLOW % ("6000", "prefetch_joins: 1, prefetch_hits: 0")).failure is None


def test_a_filler_is_no_answer(play: Play) -> None:
    failure = play("", head=SLOW % ("6000", "within_ms: 3000")).failure
    assert failure is not None
    assert failure.mismatches[0].what == "within_ms"


TELLING = """
agent: desk
model:
  rules:
    - {phase: hello, calls: check_member, arguments: {code: ⟨code⟩}}
    - {caller_says: story, says: "Once upon a time, there was a desk, and everybody who came to it was served."}
    - {caller_says: hours, calls: opening_hours}
    - says: Yes?
tools:
  check_member: {result: {member: true}}
  opening_hours: {takes_ms: 3000, result: {until: six}}
call:
  - says: one two three four
  - says: Tell me a story.
  - says: The hours, please, as quickly as you can.
    at: {heard: a time}
    expect: {%s}
"""


def test_the_rest_of_an_old_answer_is_none(play: Play) -> None:
    fast = TELLING.replace("hours, calls: opening_hours", "hours, says: Until six.")
    assert play("", head=fast % "within_ms: 1500").failure is None
    slow = fast.replace("tools:", "settings: {first_token_ms: 4000}\ntools:")
    failure = play("", head=slow % "within_ms: 1500").failure
    assert failure is not None, "what is on when the caller interrupts begins before they have spoken"
    assert failure.mismatches[0].what == "within_ms"


@pytest.mark.parametrize(
    ("turn", "at_most_ms", "got"),
    [
        ("coughs: ", 9_000, "nothing is heard"),
        ("stays_silent_ms: 3000", 2_900, "3000 ms"),
        ("hangs_up: ", 9_000, None),
        ("stays_silent_ms: 3000", 3_000, None),
    ],
)
def test_silence_without_an_end_is_the_longest(play: Play, turn: str, at_most_ms: int, got: str | None) -> None:
    failure = play(f"call: [waits, {{{turn}, expect: {{longest_silence_ms: {at_most_ms}}}}}]").failure
    assert (failure and failure.mismatches[0].got) == got


def test_a_number_without_its_zeros_is_another(play: Play) -> None:
    head = SLOW % ("100", "facts: {side: %s}")
    for side, wanted, same in (
        ("'007'", "'007'", True),
        ("'007'", "7", False),
        ("'007'", "'07'", False),
        ("'7.50'", "7.5", True),
    ):
        text = head.replace("calls: opening_hours", "calls: look_left")
        text = text.replace("opening_hours: {", f"look_left: {{result: {{side: {side}}}}}\n  opening_hours: {{")
        assert play("", head=text % wanted).passed is same, (side, wanted)


def test_an_agent_that_begins_while_the_callers_voice_is_on_talks_over_them(desk: Flow) -> None:
    call = ScriptedCall(desk, model=ScriptedModel({"hello": [say("Pardon?")]})).start().says("Good morning")
    assert Stretch(call, from_ms=0, from_entry=0).talked_over == []
    answered_ms = next(clause.starts_ms for clause in call.voice.said if clause.text == "Pardon?")
    call.caller.spells.append((answered_ms - 100, answered_ms + 10))
    assert Stretch(call, from_ms=0, from_entry=0).talked_over == [], "both began at once"
    call.caller.spells.append((answered_ms - 300, answered_ms + 10))
    assert Stretch(call, from_ms=0, from_entry=0).talked_over == ["Pardon?"]
    assert Stretch(call, from_ms=answered_ms + 1, from_entry=0).talked_over == []

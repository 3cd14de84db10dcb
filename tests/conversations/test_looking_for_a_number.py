"""Callers who have to look up the number that they were asked for: the floor stays theirs, until silence ends it."""

from __future__ import annotations

from tests.conversations.conftest import PlaceCall
from voiceagent.core import effects as fx
from voiceagent.testing import ScriptedCall


def asked_for_the_number(place_call: PlaceCall) -> ScriptedCall:
    call = place_call().says("I want to know my balance")
    assert call.heard[-1] == "What is your account number?"
    return call


def asked(call: ScriptedCall) -> int:
    return len(call.record.effects(fx.AskModel))


def test_nobody_answers_half_an_answer_and_the_whole_one_is_one_turn(place_call: PlaceCall) -> None:
    call = asked_for_the_number(place_call)
    before = asked(call)
    call.says("It's, uh…").says("let me get my card")
    assert asked(call) == before
    assert call.conversation.deadline_ms is not None  # the silence ladder runs
    call.says("four five one nine two two seven")
    assert asked(call) == before + 1
    assert call.heard[-1] == "And your PIN?"
    newest = [m.text for m in call.conversation.transcript.messages() if m.role == "caller"][-1]
    assert newest == "It's, uh let me get my card ⟨account#1: 7 digits⟩"


def test_the_record_says_why_nobody_answered(place_call: PlaceCall) -> None:
    call = asked_for_the_number(place_call).says("It's, uh…")
    held = call.record.effects(fx.NoteDecision)[-1]
    assert (held.what, held.reason) == ("turn held", "the account is still to come")
    assert "turn held" in call.record.timeline()


def test_who_says_no_more_is_asked_whether_they_are_there_and_let_go_by_the_ladder(place_call: PlaceCall) -> None:
    call = asked_for_the_number(place_call)
    call.says("It's, uh…").run_ms(8_000)
    assert call.heard[-1] == "Are you still there?"
    call.says("um").run_ms(8_000)
    assert call.heard[-1] == "I cannot hear you. Are you there?"
    call.says("um").run_ms(8_000).until_quiet()
    assert call.heard[-1] == "Goodbye."


def test_who_looks_for_their_card_is_given_the_time(place_call: PlaceCall) -> None:
    call = asked_for_the_number(place_call)
    said = len(call.heard)
    call.says("Let me get my card.").run_ms(25_000)
    assert len(call.heard) == said
    call.run_ms(8_000)
    assert call.heard[-1] == "Are you still there?"


def test_a_question_instead_of_the_number_is_answered_at_once(place_call: PlaceCall) -> None:
    call = asked_for_the_number(place_call)
    before = asked(call)
    call.says("What is that for?")
    assert asked(call) == before + 1

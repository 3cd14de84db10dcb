"""Money moves only after a yes to exactly these words."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from voiceagent.core import effects as fx
from voiceagent.core import events as ev
from voiceagent.testing import After, ScriptedCall, ask_for, say

Place = Callable[..., ScriptedCall]

ASKS = [say("How can I help?"), ask_for("send_money", '{"amount": 250}'), say("All right.")]


def test_a_transfer_is_read_back_and_done_after_a_yes(authenticated: Place) -> None:
    call = authenticated(ASKS).says("Send two hundred and fifty")
    assert call.heard[-1] == "Shall I send 250 dollars to savings?"
    assert call.ran("send_money") == 0
    call.says("Yes, that's correct.")
    assert call.ran("send_money") == 1
    started = call.record.effects(fx.StartTool)[-1]
    assert started.idempotency_key == "scripted:1"
    assert started.arguments == {"customer_id": "cust-1", "amount": 250, "to": "savings"}


@pytest.mark.parametrize(
    "words", ["No.", "Hmm, I am not sure", "Actually make it three hundred", "Yes but to checking"]
)
def test_a_transfer_without_a_clear_yes_is_refused(authenticated: Place, words: str) -> None:
    call = authenticated(ASKS).says("Send two hundred and fifty").says(words)
    assert call.ran("send_money") == 0
    results = [m for m in call.record.shown[-1].history if m.role == "tool_result" and m.tool == "send_money"]
    assert [m.failed for m in results] == [True]


def test_a_yes_before_the_read_back_was_heard_does_not_count(authenticated: Place) -> None:
    call = authenticated(ASKS).says("Send two hundred and fifty", then_wait=False)
    call.until(ev.PlayoutStarted).run_ms(300).says("Yes yes do it")
    assert call.ran("send_money") == 0


def test_a_yes_that_comes_too_late_does_not_count(authenticated: Place) -> None:
    call = authenticated(ASKS).says("Send two hundred and fifty")
    for _ in range(9):
        call.run_ms(4_000).coughs()
    call.until_quiet()
    assert "I did not get a clear yes, so I have not done anything." in call.heard
    call.says("Yes")
    assert call.ran("send_money") == 0


def test_the_key_one_is_a_yes_too(authenticated: Place) -> None:
    call = authenticated(ASKS).says("Send two hundred and fifty").presses("1")
    assert call.ran("send_money") == 1


def test_a_write_that_ends_after_its_phase_is_reported_once(authenticated: Place) -> None:
    call = authenticated(ASKS, tools={"send_money": After(4_000, {"sent": True})})
    call.says("Send two hundred and fifty").says("Yes", then_wait=False).until(fx.StartTool).presses(
        "0", then_wait=False
    )
    call.run_ms(200)
    assert call.phase == "human"
    call.run_ms(3_900)
    notes = [m.text for m in call.conversation.transcript.messages() if m.role == "note"]
    assert len(notes) <= 1
    assert call.record.effects(fx.CancelTool) == []


def test_a_yes_to_the_read_back_is_not_waited_on(authenticated: Place) -> None:
    call = authenticated(ASKS).says("Send two hundred and fifty").says("Yes.", then_wait=False).until(fx.StartTool)
    over = [noted for noted in call.record.effects(fx.NoteDecision) if noted.what == "turn over"][-1]
    assert (over.reason, over.waited_ms) == ("it answers what was read back", 400)


def test_a_soft_yes_into_the_end_of_the_read_back_is_the_callers(authenticated: Place) -> None:
    call = authenticated(ASKS).says("Send two hundred and fifty", then_wait=False)
    call.until_heard("Shall I send 250")
    voice, began_ms = ev.UtteranceId("soft"), call.now_ms
    call.happens(ev.CallerStartedSpeaking(voice, began_ms)).run_ms(300)
    call.happens(ev.VoiceFoundFaint(voice, 16)).happens(ev.CallerPaused(voice, began_ms + 300)).run_ms(50)
    call.happens(ev.TranscriptFinal(voice, "Yes, please.")).until_quiet()
    assert [noted.what for noted in call.record.effects(fx.NoteDecision)][-2:] == ["barge-in", "turn over"]
    assert "Yes, please." in [message.text for message in call.record.shown[-1].history]
    assert call.ran("send_money") == 0

"""Calls from hello to goodbye, and the ways in which they go wrong, on the core alone."""

from __future__ import annotations

from collections.abc import Callable

from voiceagent.core import effects as fx
from voiceagent.core import events as ev
from voiceagent.errors import ToolFailed
from voiceagent.testing import After, ScriptedCall, ask_for, say

Place = Callable[..., ScriptedCall]


def test_a_caller_is_greeted_authenticated_answered_and_let_go(authenticated: Place) -> None:
    call = authenticated([ask_for("balance"), say("You have twelve dollars fifty."), ask_for("finish")])
    assert call.heard[-1] == "You have twelve dollars fifty."
    call.says("Thank you, goodbye.")
    assert call.record.phases == ["greeting", "authentication", "inquiry", "goodbye"]
    assert call.heard[-1] == "Goodbye."
    assert call.ended


def test_each_phase_shows_the_model_its_own_prompt_and_tools_only(authenticated: Place) -> None:
    call = authenticated([say("Hello again.")])
    offered = {request.phase: request.tools for request in call.record.shown}
    assert offered["greeting"] == ("authenticate", "human") or set(offered["greeting"]) == {"authenticate", "human"}
    assert set(offered["authentication"]) == {"verify", "human"}
    assert set(offered["inquiry"]) == {"balance", "transactions", "send_money", "finish", "human"}
    assert call.record.shown[-1].prompt == "Answer questions."
    assert call.record.shown[-1].late_facts == "Customer cust-1."


def test_a_wrong_pin_three_times_leads_to_a_person(place_call: Place) -> None:
    left = iter([2, 1, 0])

    def refuse(_: object) -> object:
        return {"verified": False, "customer_id": None, "attempts_left": next(left)}

    lines = [say("What is your account number?"), say("And your PIN?")]
    for attempt in (2, 3, 4):
        pin = f'{{"account": "⟨account#1: 7 digits⟩", "pin": "⟨pin#{attempt}: 4 digits⟩"}}'
        lines += [ask_for("verify", pin), say("That was not right. Your PIN please?")]
    call = place_call({"authentication": lines}, tools={"verify": refuse})
    call.says("My balance please").says("four five one nine two two seven")
    for _ in range(3):
        call.says("nine nine nine nine")
    assert call.phase == "human"
    assert call.heard[-1] == "I will put you through."
    assert call.record.effects(fx.Transfer) == [fx.Transfer("desk")]
    assert call.facts["verified"] is False


def test_a_tool_of_another_phase_is_refused_whatever_the_model_says(place_call: Place) -> None:
    call = place_call({"greeting": [ask_for("balance"), say("I cannot do that yet.")]})
    call.says("My balance, now")
    assert call.ran("balance") == 0
    assert call.record.effects(fx.StartTool) == []
    refused = call.record.shown[-1].history[-1]
    assert refused.failed
    assert "no function" in refused.text


def test_a_tool_without_its_grant_is_neither_offered_nor_run(place_call: Place) -> None:
    call = place_call({"authentication": [ask_for("send_money", '{"amount": 5}'), say("No.")]})
    call.says("Send money")
    assert call.ran("send_money") == 0


def test_a_generation_that_the_caller_interrupted_starts_no_tool(authenticated: Place) -> None:
    story = ask_for("balance", words="Let me tell you a long story about your account first, one moment please.")
    call = authenticated([say("Yes?"), story, say("I see.")])
    runs = call.ran("balance")
    call.says("What do I have?", then_wait=False).until(ev.ReplyStarted)
    call.says("Stop, stop, never mind that.", then_wait=False)
    assert call.ran("balance") == runs


def test_an_answer_that_is_not_known_yet_is_covered_by_two_tiers_of_fillers(authenticated: Place) -> None:
    call = authenticated([ask_for("transactions"), say("Rent and food.")], tools={"transactions": After(9_000, [])})
    waiting_since_ms = call.record.at(fx.AskModel)[-3]  # the caller has said the last digit of the PIN
    assert call.record.fillers == ["One moment.", "Still looking, thank you for waiting."]
    spoken = [(now, out.effect) for now, _, outgoing in call.journal for out in outgoing]
    onset_ms = next(now for now, effect in spoken if isinstance(effect, fx.Speak) and effect.kind == "filler")
    assert 800 <= onset_ms - waiting_since_ms <= 1_300
    assert call.heard[-1] == "Rent and food."


def test_a_filler_that_the_caller_talks_over_stops_and_the_lookup_goes_on(authenticated: Place) -> None:
    call = authenticated(
        [say("Yes?"), ask_for("transactions"), say("Of course.")], tools={"transactions": After(6_000, ["rent"])}
    )
    call.says("My last transactions", then_wait=False).until(ev.PlayoutStarted)
    stops = len(call.record.effects(fx.StopPlayout))
    call.says("Take your time, I am in no hurry at all.")
    assert len(call.record.effects(fx.StopPlayout)) == stops + 1
    assert call.record.effects(fx.CancelTool) == []
    results = [
        m for m in call.conversation.transcript.messages() if m.role == "tool_result" and m.tool == "transactions"
    ]
    assert [m.text for m in results] == ['["rent"]']


def test_a_failing_tool_is_told_to_the_model_and_the_call_goes_on(authenticated: Place) -> None:
    call = authenticated(
        [ask_for("transactions"), say("I cannot see them right now.")],
        tools={"transactions": After(100, ToolFailed("the service is down"))},
    )
    assert call.heard[-1] == "I cannot see them right now."
    assert "the service is down" in call.record.shown[-1].history[-1].text


def test_hanging_up_while_a_tool_runs_ends_everything(authenticated: Place) -> None:
    call = authenticated([say("Yes?"), ask_for("transactions")], tools={"transactions": After(20_000, [])})
    call.says("My last transactions", then_wait=False).until(fx.StartTool)
    call.hangs_up()
    assert call.ended
    assert len(call.record.effects(fx.CancelTool)) == 1
    assert call.conversation.handle(ev.TimePassed(), call.now_ms + 60_000) == ()


def test_a_model_that_fails_twice_hands_the_call_to_a_person(place_call: Place) -> None:
    call = place_call()
    call.says("Hello", then_wait=False).until(fx.AskModel)
    for _ in range(2):
        asked = call.record.effects(fx.AskModel)[-1].reply
        call.happens(ev.ReplyFailed(asked, "503"))
    call.until_quiet()
    assert call.phase == "human"
    assert any("sorry" in words for words in call.heard)


def test_a_caller_who_says_nothing_is_asked_then_let_go(authenticated: Place) -> None:
    call = authenticated([say("What else?")])
    call.run_ms(30_000)
    assert "Are you still there?" in call.heard
    assert call.heard[-1] == "Goodbye."
    assert call.ended


def test_silence_does_not_count_while_something_is_looked_up(authenticated: Place) -> None:
    call = authenticated([ask_for("transactions"), say("Here.")], tools={"transactions": After(15_000, [])})
    assert "Are you still there?" not in call.heard


def test_a_caller_who_is_not_understood_is_asked_again_then_put_through(authenticated: Place) -> None:
    call = authenticated([say("What else?")])
    call.says("", lasting_ms=1_500)
    assert call.heard[-1] == "Sorry?"
    call.says("", lasting_ms=1_500)
    assert call.phase == "human"


def test_zero_leads_to_a_person_from_everywhere(place_call: Place) -> None:
    call = place_call()
    call.presses("0")
    assert call.phase == "human"


def test_a_host_event_that_nobody_waits_for_changes_nothing(place_call: Place) -> None:
    call = place_call()
    call.host_says("fire alarm")
    assert call.phase == "greeting"


def test_a_call_that_lasts_too_long_is_ended_politely(place_call: Place) -> None:
    call = place_call({"greeting": [say("Go on.")]})
    for _ in range(70):
        if call.ended:
            break
        call.says("And another thing I wanted to say is this", lasting_ms=25_000)
    assert call.ended
    assert call.heard[-1].startswith("We have reached the time limit")

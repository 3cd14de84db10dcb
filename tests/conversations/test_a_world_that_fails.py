"""What goes wrong outside never leaves the caller in silence, and never does more than they asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest

from voiceagent import (
    Facts,
    Flow,
    HangUpAfter,
    Phase,
    Prompt,
    Say,
    Silent,
    TransferTo,
    Transition,
    TurnLimitReached,
    tool,
)
from voiceagent.core import effects as fx
from voiceagent.core import events as ev
from voiceagent.core.ids import Epoch, LegId, ReplyId, UtteranceId
from voiceagent.ports import ReplyDone
from voiceagent.testing import After, Faults, ScriptedCall, ScriptedModel, Timing, ask_for, say

Place = Callable[..., ScriptedCall]

SENDS = [say("How can I help?"), ask_for("send_money", '{"amount": 250}'), say("All right."), say("Anything else?")]


def spoken(call: ScriptedCall) -> list[str]:
    """Everything the agent has begun to say, fillers included."""
    return [speak.text for speak in call.record.effects(fx.Speak) if speak.text]


# --- models ----------------------------------------------------------------------------------------------------------


def begun_reply(call: ScriptedCall) -> ReplyId:
    return call.record.effects(fx.AskModel)[-1].reply


@pytest.fixture
def mute(place_call: Place) -> ScriptedCall:
    """A call in the inquiry phase whose model sends nothing by itself any more."""
    call = place_call({"inquiry": [say("How can I help?")]})
    call.says("I want to know my balance").says("four five one nine two two seven").says("one two three four")
    call.world.faults = Faults(model_stalls=range(1_000))  # what comes is in the hands of the test
    return call


def test_a_model_that_stalls_in_mid_sentence_is_covered_and_given_up(mute: ScriptedCall) -> None:
    call = mute.says("What is my balance?", then_wait=False).until(fx.AskModel)
    reply = begun_reply(call)
    call.run_ms(300).happens(ev.ReplyStarted(reply, call.conversation.state.epoch))
    call.happens(ev.ReplyText(reply, "Let me see,")).run_ms(4_000)
    assert call.record.fillers == ["One moment."]
    call.run_ms(40_000)
    assert "I am sorry, something went wrong on my side." in spoken(call)
    assert call.phase == "human"


def test_a_model_that_stalls_after_a_request_is_given_up(mute: ScriptedCall) -> None:
    call = mute.says("What is my balance?", then_wait=False).until(fx.AskModel)
    reply = begun_reply(call)
    call.happens(ev.ToolRequested(reply, "q1", "balance", {})).run_ms(60_000)
    assert call.phase == "human"


def test_a_model_that_fails_after_its_first_words_every_time_is_given_up(mute: ScriptedCall) -> None:
    call = mute.says("What is my balance?", then_wait=False).until(fx.AskModel)
    for _ in range(2):
        reply = begun_reply(call)
        call.happens(ev.ReplyText(reply, "Let me see.")).happens(ev.ReplyFailed(reply, "overloaded"))
    call.until_quiet()
    assert call.record.phases[-1] == "human"
    assert spoken(call).count("I am sorry, something went wrong on my side.") == 1


def test_an_empty_reply_has_failed(authenticated: Place) -> None:
    call = authenticated([say("How can I help?"), [ReplyDone()]]).says("What is my balance?")
    assert call.record.phases[-1] == "human"
    assert "I am sorry, something went wrong on my side." in spoken(call)


def test_a_model_that_never_understands_leads_to_a_person(authenticated: Place) -> None:
    confused = [*say("I can tell you your balance.")[:-1], ReplyDone(understood=False)]
    call = authenticated([say("How can I help?"), confused])
    for _ in range(3):
        call.says("Mumble mumble jumble")
    assert call.record.phases[-1] == "human"


def test_one_answer_that_was_understood_makes_up_for_those_that_were_not(authenticated: Place) -> None:
    confused = [*say("I can tell you your balance.")[:-1], ReplyDone(understood=False)]
    call = authenticated([say("How can I help?"), confused, say("Twelve fifty."), confused, say("Good.")])
    for _ in range(4):
        call.says("Mumble mumble jumble")
    assert call.phase == "inquiry"


# --- phases in which no model speaks ---------------------------------------------------------------------------------


@tool
async def hours() -> str:
    """When we are open."""
    raise AssertionError("scripted tools never run")


SHORT = Flow(
    name="short",
    initial="desk",
    prompts={"desk.md": Prompt("Answer one question.")},
    phases=(
        Phase(name="desk", prompt="desk.md", on_enter=Say(text="Yes?"), tools=(hours,), max_turns=1),
        Phase(name="human", on_enter=Say(text="I will put you through."), ends=TransferTo(target="desk")),
    ),
    transitions=(Transition(on=TurnLimitReached(), to="human"),),
)


def test_a_phase_without_a_model_ends_the_call_as_it_says() -> None:
    call = ScriptedCall(SHORT, model=ScriptedModel({"desk": [say("From nine to six.")]})).start()
    call.says("When are you open?").says("And on Sundays?", then_wait=False).until(fx.SwapPhase).run_ms(100)
    call.says("Hello? Is anybody there?").until_quiet()
    assert [ask.request.phase for ask in call.record.effects(fx.AskModel)] == ["desk"]
    assert spoken(call)[-1] == "I will put you through."
    assert [transfer.target for transfer in call.record.effects(fx.Transfer)] == ["desk"]


# --- swaps -----------------------------------------------------------------------------------------------------------


def swapping(place_call: Place) -> ScriptedCall:
    """A call whose first transition has been decided, and whose voice has not answered."""
    call = place_call({"greeting": [ask_for("authenticate"), say("Where were we?")]})
    call.world.timing = Timing(swap_ms=1_000_000)
    return call.says("My balance please", then_wait=False).until(fx.SwapPhase).run_ms(0)


def test_a_swap_that_fails_leads_back_to_the_phase_that_is_in_force(place_call: Place) -> None:
    call = swapping(place_call)
    assert call.phase == "authentication"
    call.happens(ev.SwapFailed(Epoch(2), "no session"))
    assert call.phase == "greeting"
    call.happens(ev.PhaseSwapped(Epoch(3))).run_ms(5_000)
    assert call.heard[-2:] == ["I am sorry, something went wrong on my side.", "Where were we?"]
    assert "[moving on to authentication was not possible]" in [m.text for m in call.record.shown[-1].history]
    assert "authenticate" in call.record.shown[-1].tools


def test_a_swap_that_nobody_answers_has_failed(place_call: Place) -> None:
    call = swapping(place_call).run_ms(5_100)
    assert call.phase == "greeting"


def test_a_call_that_cannot_be_led_back_ends_with_words(place_call: Place) -> None:
    call = swapping(place_call)
    call.happens(ev.SwapFailed(Epoch(2), "no session")).happens(ev.SwapFailed(Epoch(3), "no session")).until_quiet()
    assert call.ended
    assert spoken(call)[-1] == call.flow.phrases.not_available


def test_news_of_a_swap_that_is_over_changes_nothing(authenticated: Place) -> None:
    call = authenticated([say("How can I help?")])
    call.happens(ev.SwapFailed(Epoch(2), "late")).happens(ev.PhaseSwapped(Epoch(1)))
    assert call.phase == "inquiry"
    assert not call.conversation.state.swapping


# --- voices that do not end ------------------------------------------------------------------------------------------


def test_a_television_does_not_keep_the_agent_silent_for_ever(authenticated: Place) -> None:
    call = authenticated([say("How can I help?")])
    before = len(spoken(call))
    call.happens(ev.CallerStartedSpeaking(UtteranceId("c90"), call.now_ms)).run_ms(60_000)
    assert "Sorry?" in spoken(call)[before:]
    call.run_ms(60_000)
    assert call.ended


def test_an_utterance_that_was_answered_does_not_begin_again(authenticated: Place) -> None:
    call = authenticated([say("How can I help?"), say("Twelve fifty.")]).says("What is my balance?")
    last = [event.utterance for _, event, _ in call.journal if isinstance(event, ev.CallerStartedSpeaking)][-1]
    call.happens(ev.CallerStartedSpeaking(last, call.now_ms))
    assert not call.conversation._hearing.turn_open


# --- what was asked under another name -------------------------------------------------------------------------------


class DeskFacts(Facts):
    proved: bool = False
    customer: str | None = None


@tool(grants="files", grants_when="proved", sets=("proved", "customer"))
async def check(who: str) -> dict[str, object]:
    """Check who is calling."""
    raise AssertionError("scripted tools never run")


@tool(requires="files", binds=("customer",), fresh_ms=60_000)
async def mine(customer: str) -> str:
    """What this customer has."""
    raise AssertionError("scripted tools never run")


DESK = Flow(
    name="desk",
    initial="desk",
    facts=DeskFacts,
    prompts={"desk.md": Prompt("Check who is calling, then answer.")},
    phases=(
        Phase(name="desk", prompt="desk.md", on_enter=Say(text="Yes?"), tools=(check, mine)),
        Phase(name="over", ends=HangUpAfter()),
    ),
    transitions=(Transition(on=Silent(), to="over"),),
)


IS_A = ask_for("check", '{"who": "A"}')


def at_the_desk(lines: list[list[object]]) -> ScriptedCall:
    """A call to a desk at which A and C are known, and B is not."""
    tools = {
        "check": lambda given: {"proved": given["who"] != "B", "customer": given["who"]},
        "mine": lambda given: After(400, f"{given['customer']}'s things"),
    }
    return ScriptedCall(DESK, model=ScriptedModel({"desk": lines}), tools=tools).start()  # pyright: ignore[reportArgumentType] - lists of lines


def test_a_second_identity_that_is_not_proved_takes_away_the_first() -> None:
    call = at_the_desk(
        [ask_for("check", '{"who": "A"}'), say("Hello A."), ask_for("check", '{"who": "B"}'), say("No.")]
    )
    call.says("I am A").says("I am B")
    assert call.facts["customer"] == "B"
    assert call.conversation.state.grants == {}
    assert "mine" not in call.record.shown[-1].tools


def test_what_is_looked_up_for_one_identity_is_not_told_to_the_next() -> None:
    both = [*ask_for("mine")[:-1], *ask_for("check", '{"who": "C"}')]
    call = at_the_desk(
        [ask_for("check", '{"who": "A"}'), say("Hello A."), both, say("Well."), ask_for("mine"), say("So.")]
    )
    call.says("I am A").says("I am C, and what have I got?")
    assert "A's things" not in " ".join(m.text for m in call.record.shown[-1].history if m.role == "tool_result")
    call.says("What have I got?")
    assert call.record.effects(fx.ServeFromCache) == []
    assert call.tool_runs[-1] == ("mine", {"customer": "C"})


def test_a_write_whose_outcome_nobody_knows_makes_remembered_answers_stale(authenticated: Place) -> None:
    lines = [*SENDS[:2], say("I do not know."), ask_for("balance"), say("So.")]
    call = authenticated(lines, tools={"send_money": After(600_000, None)}).says("Send two hundred and fifty")
    call.says("Yes", then_wait=False).until(fx.StartTool)
    started = call.record.effects(fx.StartTool)[-1].call
    call.happens(ev.ToolFailed(started, "unknown", "no answer came")).run_ms(3_000)
    ran = call.ran("balance")
    call.says("What is left?", then_wait=False).run_ms(3_000)
    assert call.ran("balance") == ran + 1


# --- turns -----------------------------------------------------------------------------------------------------------


def test_the_key_one_is_a_yes_to_what_is_read_back_again_after_a_reprompt(authenticated: Place) -> None:
    call = authenticated(SENDS).says("Send two hundred and fifty")
    call.run_ms(5_200)
    assert spoken(call)[-2:] == ["Are you still there?", "Shall I send 250 dollars to savings?"]
    call.presses("1")
    assert call.ran("send_money") == 0  # the question has not been heard again
    call.presses("1")
    assert call.ran("send_money") == 1
    assert call.heard[-1] == "All right."


@pytest.mark.parametrize("words", ["Stop it, what is my limit?", ""])
def test_news_of_a_stop_that_comes_after_the_turn_is_judged_by_what_the_turn_was(
    authenticated: Place, words: str
) -> None:
    long = "Your account was opened nine years ago and everything about it is in good order, as far as I can see."
    call = authenticated([say("Yes?"), say(long), say("A hundred dollars.")])
    call.says("Tell me about my account", then_wait=False).until(ev.PlayoutStarted).run_ms(2_000)
    caller = UtteranceId("c90")
    call.happens(ev.CallerStartedSpeaking(caller, call.now_ms)).until(fx.StopPlayout)
    stopped = call.world.pending.withhold(ev.PlayoutStopped)
    call.world.words[caller] = words
    call.run_ms(250).happens(ev.CallerPaused(caller, call.now_ms)).run_ms(3_000).happens(stopped[0]).until_quiet()
    assert any("good order" in text for text in spoken(call)[-2:]) is (words == "")
    asked = len(call.record.shown)
    call.says("", lasting_ms=600)
    assert len(call.record.shown) == asked
    assert sum("good order" in text for text in spoken(call)) <= 2


def test_a_yes_on_the_last_syllable_of_the_question_counts(authenticated: Place) -> None:
    call = authenticated(SENDS).says("Send two hundred and fifty", then_wait=False).until(ev.PlayoutStarted)
    length_ms = call.record.effects(fx.Speak)[-1].text.__len__() * 65
    call.run_ms(length_ms - 250).says("Yeah.", lasting_ms=300)
    assert call.ran("send_money") == 1


def test_a_yes_in_the_middle_of_the_question_does_not_count_because_of_a_hum_after_it(authenticated: Place) -> None:
    call = authenticated(SENDS).says("Send two hundred and fifty", then_wait=False).until(ev.PlayoutStarted)
    call.run_ms(600).says("Yeah.", lasting_ms=300, then_wait=False)
    call.run_ms(900).says("Um.", lasting_ms=300)
    assert call.ran("send_money") == 0


def test_the_time_for_a_yes_does_not_run_out_while_it_is_being_said(authenticated: Place) -> None:
    call = authenticated(SENDS).says("Send two hundred and fifty")
    deadline_ms = call.conversation._confirming.deadline_ms()
    assert deadline_ms is not None
    while call.now_ms < deadline_ms - 4_500:
        call.coughs().run_ms(1_000)
    call.run_ms(max(0, deadline_ms - 1_000 - call.now_ms)).says("Yes please", lasting_ms=3_000)
    assert "I did not get a clear yes, so I have not done anything." not in spoken(call)
    assert call.ran("send_money") == 1


def test_last_words_are_heard_whatever_noise_there_is(authenticated: Place) -> None:
    call = authenticated([say("How can I help?"), ask_for("finish")])
    call.says("That was all, thank you", then_wait=False).until(fx.SwapPhase).until(ev.PlayoutStarted)
    call.says("", lasting_ms=450).until_quiet()
    assert call.ended
    assert call.record.effects(fx.StopPlayout) == []
    assert call.heard[-1] == "Goodbye."


# --- keys ------------------------------------------------------------------------------------------------------------


def test_a_number_begun_aloud_and_finished_on_the_keys_is_one_number(place_call: Place) -> None:
    call = place_call().says("My balance please")
    call.says("four five one", then_wait=False).run_ms(400).presses("9227")
    assert call.record.shown[-1].history[-1].text == "⟨account#1: 7 digits⟩"


def test_a_key_and_a_long_sentence_do_not_make_time_stand_still(authenticated: Place) -> None:
    call = authenticated([say("How can I help?"), say("I see.")]).presses("9", then_wait=False).run_ms(1_000)
    call.says("Well, this is something that I really have to explain to you at some length", lasting_ms=5_000)
    assert call.record.shown[-1].history[-1].text.endswith("length 9")


def test_a_key_and_words_that_never_come_do_not_make_time_stand_still(authenticated: Place) -> None:
    call = authenticated([say("How can I help?"), say("I see.")])
    caller = UtteranceId("c90")
    call.happens(ev.CallerStartedSpeaking(caller, call.now_ms)).run_ms(1_000)
    call.happens(ev.CallerPaused(caller, call.now_ms)).run_ms(2_500).happens(ev.DigitsPressed("5")).run_ms(4_000)
    assert call.record.shown[-1].history[-1].text == "5"


def test_the_hash_key_behind_a_complete_number_is_no_answer(place_call: Place) -> None:
    call = place_call().says("My balance please").presses("4519227")
    asked = len(call.record.shown)
    call.presses("#")
    assert len(call.record.shown) == asked


def test_a_wrong_key_before_the_right_one_does_no_harm(authenticated: Place) -> None:
    call = authenticated([say("How can I help?")]).presses("*0")
    assert call.record.phases[-1] == "human"


def test_a_pin_that_is_transcribed_too_late_is_not_added_to_the_next(place_call: Place) -> None:
    opened: list[object] = []

    def verify(given: Mapping[str, object]) -> dict[str, object]:
        opened.append(given["pin"])
        return {"verified": True, "customer_id": "cust-1", "attempts_left": 3}

    call = place_call({"inquiry": [say("How can I help?")]}, tools={"verify": verify})
    call.says("My balance please").says("four five one nine two two seven")
    call.world.timing = Timing(transcript_ms=6_000)
    call.says("one two three four", then_wait=False).run_ms(5_000)
    call.world.timing = Timing()
    call.until_quiet().says("one two three four")
    assert call.phase == "inquiry"
    assert opened == ["1234"]


# --- legs ------------------------------------------------------------------------------------------------------------


def test_a_leg_that_is_lost_twice_is_hung_up_once(authenticated: Place) -> None:
    call = authenticated([say("How can I help?")])
    call.happens(ev.LegLost(LegId("leg1"), "gone")).happens(ev.LegLost(LegId("leg1"), "gone"))
    assert len(call.record.effects(fx.HangUp)) == 1


def test_nothing_happens_before_somebody_is_there(place_call: Place) -> None:
    call = place_call()
    fresh = type(call)(call.flow, model=call.world.model)
    for event in (ev.DigitsPressed("0"), ev.CallerStartedSpeaking(UtteranceId("c1"), 0), ev.TimePassed()):
        assert fresh.conversation.handle(event, 0) == ()
    fresh.happens(ev.LegAttached(LegId("leg1"), "script"))
    assert fresh.record.phases == []
    fresh.happens(ev.CallStarted(locale="en-US", time_zone="Europe/Berlin", unix_ms=7)).run_ms(10)
    assert fresh.record.phases == ["greeting"]
    assert fresh.conversation.state.time_zone == "Europe/Berlin"

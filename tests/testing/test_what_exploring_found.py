"""What exploring has found: each of these calls broke an invariant once."""

from __future__ import annotations

from itertools import pairwise

from voiceagent.core import effects as fx
from voiceagent.core import events as ev
from voiceagent.testing import Deed, Fault, Faults, ScriptedCall, Timing
from voiceagent.testing.fault_plan import FaultPlan
from voiceagent.testing.lab_agent import LAB, PIN
from voiceagent.testing.lab_far_side import LabBank, LabModel
from voiceagent.testing.promises import history_as_heard


def _call(*faults: Fault, world: Faults | None = None, timing: Timing | None = None) -> ScriptedCall:
    """A call to the laboratory whose model and tools fail by plan."""
    plan = FaultPlan(1, faults=faults)
    bank = LabBank(plan, "core", customer=lambda: "ada")
    tools = bank.tools(lambda _name: None)
    call = ScriptedCall(LAB, model=LabModel(plan), tools=tools, faults=world, timing=timing)
    return call.start().says("my account")


def test_a_pin_that_is_still_being_said_when_its_phase_ends_stays_secret() -> None:
    """Core seed 479: the host application ends the phase in the middle of the PIN."""
    call = _call()
    spoken = " ".join(PIN)
    call.says(spoken, then_wait=False).host_says("closing_time")
    assert any("4 digits⟩" in str(event) for _, event, _ in call.journal)
    assert not any(spoken in str(event) for _, event, _ in call.journal)


def test_a_pin_that_is_still_being_pressed_when_its_phase_ends_stays_secret() -> None:
    """The same with keys: two of them before the end of the phase, and two after it."""
    call = _call()
    call.presses("4815162").presses(PIN[:2], then_wait=False).happens(ev.HostEvent("closing_time")).presses(PIN[2:])
    pressed = [event.digits for _, event, _ in call.journal if isinstance(event, ev.DigitsPressed)]
    assert pressed == ["•"] * 11


def test_a_caller_who_is_asked_for_a_yes_after_a_failed_reply_is_not_left_in_silence() -> None:
    """Core seed 53: the model breaks off after it has asked for a payment; the read-back waits for its yes."""
    call = _call(Fault("model_attacks", 4, 0), world=Faults(model_breaks_off=(4,)))
    call.presses("4815162").presses(PIN)
    call.until(fx.Speak).until_quiet()
    assert any(isinstance(event, ev.ReplyFailed) for _, event, _ in call.journal)
    assert max(after.starts_ms - before.ends_ms for before, after in pairwise(call.voice.said)) <= 5_000


def test_what_could_not_be_said_does_not_stand_in_the_history_as_heard() -> None:
    """Core seed 8: the first sentence cannot be spoken."""
    call = _call(world=Faults(synthesis_fails=(1,)))
    assert "Hello." not in call.heard


def test_words_that_come_twice_stand_in_the_history_once() -> None:
    """Core seed 2 of the plan with `transcript_twice`."""
    call = _call(world=Faults(transcript_twice=(2,)))
    call.says("balance", then_wait=False).says("hours", then_wait=False).until_quiet()
    said = " ".join(m.text for m in call.conversation.transcript.messages() if m.role == "caller")
    assert said.count("balance") == 1


def test_a_plan_without_faults_breaks_nothing() -> None:
    """So that the defects above are what they say, and not the laboratory's."""
    call = _call()
    call.says(" ".join("4815162")).presses(PIN).says("What is my balance")
    assert call.phase == "desk"
    assert history_as_heard(call, from_entry=0) == []
    assert Deed(-1, "says").words == ""


def test_what_has_not_begun_when_the_caller_does_waits_until_they_have_finished() -> None:
    """The answer is being made into speech when the caller goes on: they were first."""
    call = _call(timing=Timing(synthesis_ms=400)).says("When are you open", then_wait=False)
    call.until(fx.Speak).says("and on which days do you do that then")
    (begins_ms, ends_ms) = call.caller.spells[-1]
    assert [clause for clause in call.voice.said if begins_ms < clause.starts_ms < ends_ms] == []
    assert call.record.effects(fx.StopPlayout) != []


def test_what_has_waited_for_a_cough_is_said_after_it() -> None:
    """The same, but nobody has said anything: nothing is lost."""
    call = _call(timing=Timing(synthesis_ms=400)).says("When are you open", then_wait=False)
    call.until(fx.Speak).coughs().until_quiet()
    assert call.heard[-1] == "And your PIN?"


def test_a_reply_that_was_kept_back_when_the_line_broke_is_made_again() -> None:
    """Core seed 7144: the caller has cut in, and the connection breaks before anybody knows whether they meant it."""
    call = _call(timing=Timing(first_token_ms=1_200)).says("What do you want", then_wait=False)
    call.until(fx.AskModel).run_ms(1_100).says("", lasting_ms=400, then_wait=False)
    assert any(isinstance(event, ev.ReplyFinished) for _, event, _ in call.journal[-4:])
    call.loses_connection().connects_again()
    assert call.heard[-2:] == ["Sorry, we were cut off for a moment.", "And your PIN?"]

"""Calls that we have placed: who answers them, a person or a machine, and what each of them hears."""

from __future__ import annotations

import pytest

from voiceagent import BeepHeard, Flow, HangUpAfter, MachineAnswers, PersonAnswers, Phase, Say, Transition, Wait
from voiceagent.core import effects as fx
from voiceagent.core import events as ev
from voiceagent.core.ids import LegId
from voiceagent.testing import Faults, ScriptedCall, ScriptedModel

OPENING = "Good morning, this is the clinic about your appointment."
MESSAGE = "This is the clinic. Please call us back about your appointment. Goodbye."
GREETING = (
    "Hi, this is Anna and I am not able to come to the phone right now, so please leave your name "
    "and your number after the tone and I will get back to you as soon as I can."
)

FLOW = Flow(
    name="reminder",
    initial="reach",
    phases=(
        Phase(
            name="reach",
            on_enter=Say(text=OPENING),
            transitions=(Transition(on=MachineAnswers(), to="await_beep"),),
        ),
        Phase(
            name="await_beep",
            on_enter=Wait(),
            transitions=(
                Transition(on=BeepHeard(silence_ms=2_500), to="leave_message"),
                Transition(on=PersonAnswers(), to="reach"),
            ),
        ),
        Phase(name="leave_message", on_enter=Say(text=MESSAGE), ends=HangUpAfter()),
    ),
)


def answered(*, outbound: bool = True, faults: Faults | None = None) -> ScriptedCall:
    """A call that was answered, and nothing has been said yet."""
    call = ScriptedCall(FLOW, model=ScriptedModel({}), faults=faults)
    return call.start(outbound=outbound, then_wait=False).run_ms(300)


def decided(call: ScriptedCall) -> list[tuple[str, str]]:
    """Who it was taken to be, and why."""
    return [
        (noted.what, noted.reason) for noted in call.record.effects(fx.NoteDecision) if noted.confidence is not None
    ]


def began_speaking_ms(call: ScriptedCall) -> int:
    """When the agent was first heard."""
    return next(now_ms for now_ms, event, _ in call.journal if isinstance(event, ev.PlayoutStarted))


def beep(call: ScriptedCall, *, hz: int = 1_000, ms: int = 400) -> ScriptedCall:
    """A tone has just come to its end."""
    return call.happens(ev.ToneHeard(hz, ms, call.now_ms - ms))


# --- people ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("words", ["Hello?", "Yes?", "Martin Miller.", "Miller and Sons, good morning."])
def test_a_person_who_answers_is_spoken_to_within_a_second_and_a_half(words: str) -> None:
    call = answered().says(words, then_wait=False)
    silent_ms = call.now_ms
    call.until(ev.PlayoutStarted)
    assert call.now_ms - silent_ms <= 1_500
    call.until_quiet()
    assert call.heard == [OPENING]
    assert [what for what, _ in decided(call)] == ["a person answers"]
    call.assert_replays()


def test_a_person_whose_words_do_not_come_is_spoken_to_all_the_same() -> None:
    call = answered(faults=Faults(transcript_stalls=(1,))).says("Hello?", then_wait=False)
    silent_ms = call.now_ms
    assert call.until(ev.PlayoutStarted).now_ms - silent_ms <= 1_500


def test_what_they_answer_with_is_the_first_message_of_the_history() -> None:
    call = answered().says("Hello?")
    assert [(m.role, m.text) for m in call.conversation.transcript.messages()] == [
        ("caller", "Hello?"),
        ("agent", OPENING),
    ]


def test_a_person_who_says_a_long_hello_is_heard_out() -> None:
    call = answered().says("Hello, who is this? I am sorry, I can hardly hear you, can you hear me at all now?")
    assert decided(call) == [("a person answers", "a greeting, and they wait")]
    assert call.heard == [OPENING]


def test_somebody_who_says_nothing_is_spoken_to() -> None:
    call = answered().until_quiet()
    assert decided(call) == [("a person answers", "nobody says anything")]
    assert call.heard == [OPENING]
    assert began_speaking_ms(call) <= 4_000


def test_keys_are_pressed_by_people() -> None:
    call = answered().presses("1")
    assert decided(call) == [("a person answers", "they press keys")]
    assert call.heard[0] == OPENING


def test_nobody_who_calls_us_is_taken_for_a_machine() -> None:
    call = answered(outbound=False).until_quiet()
    call.says(GREETING)
    beep(call).until_quiet()
    assert call.heard[0] == OPENING
    assert decided(call) == []
    assert call.record.effects(fx.ListenForTones) == []
    assert call.phase == "reach"


# --- machines --------------------------------------------------------------------------------------------------------


def test_a_machine_is_not_talked_over_and_is_left_the_message_after_its_beep() -> None:
    call = answered().says(GREETING, then_wait=False).run_ms(300)
    assert (call.phase, call.heard) == ("await_beep", [])
    beep(call).until_quiet()
    beep_ms = call.now_ms
    assert began_speaking_ms(call) <= beep_ms
    assert call.heard == [MESSAGE]
    assert call.ended
    assert decided(call) == [("a machine answers", "a voice that talks on")]
    assert [n.reason for n in call.record.effects(fx.NoteDecision) if n.what == "beep"] == [
        "a tone of 1000 Hz for 400 ms"
    ]
    call.assert_replays()


def test_a_machine_without_a_beep_is_left_the_message_after_a_silence() -> None:
    call = answered().says(GREETING, then_wait=False)
    silent_ms = call.now_ms
    call.until_quiet()
    assert call.heard == [MESSAGE]
    assert 2_400 <= began_speaking_ms(call) - silent_ms <= 3_200
    assert call.ended


def test_what_a_machine_says_meanwhile_is_neither_answered_nor_asked_about() -> None:
    call = answered().says(GREETING, then_wait=False).run_ms(1_500)
    call.says("To listen to this menu again.", then_wait=False).run_ms(1_500)
    assert (call.phase, call.heard) == ("await_beep", [])
    assert call.record.effects(fx.AskModel) == []


def test_the_words_of_a_recording_are_known_for_it_at_once() -> None:
    call = answered().says("You have reached the Miller family.", then_wait=False)
    assert decided(call) == [("a machine answers", "a recording's words")]


def test_a_voice_that_talks_on_is_a_machine_before_its_words_are_known() -> None:
    call = answered().says("", lasting_ms=6_000, then_wait=False)
    assert decided(call) == [("a machine answers", "a voice that talks on")]
    assert len(call.record.effects(fx.TranscribeSoFar)) == 1
    assert call.heard == []


def test_a_beep_out_of_nothing_is_a_machines() -> None:
    call = beep(answered()).until_quiet()
    assert decided(call) == [("a machine answers", "a beep of 1000 Hz")]
    assert call.heard == [MESSAGE]


def test_a_machine_that_greets_and_pauses_is_found_out_when_it_goes_on() -> None:
    call = answered().says("Hi there!", then_wait=False).until(ev.PlayoutStarted)
    call.says("You have reached Anna. Leave a message after the beep.", then_wait=False).run_ms(400)
    assert [what for what, _ in decided(call)] == ["a person answers", "a machine answers"]
    beep(call).until_quiet()
    assert call.heard[-1] == MESSAGE


def test_a_person_who_speaks_of_a_message_is_no_machine() -> None:
    call = answered().says("Hello?")
    call.says("She is not available right now, can I take a message?", then_wait=False).run_ms(1_500)
    assert [what for what, _ in decided(call)] == ["a person answers"]
    assert call.phase == "reach"


def test_somebody_taken_for_a_machine_is_spoken_to_when_they_ask_who_it_is() -> None:
    call = answered().happens(ev.CarrierDetected("machine_start"))
    assert (call.phase, call.heard) == ("await_beep", [])
    call.says("Hello? Who is this?")
    assert [what for what, _ in decided(call)] == ["a machine answers", "a person answers"]
    assert call.heard == [OPENING]
    assert call.phase == "reach"


def test_whoever_hangs_up_during_the_greeting_is_left_nothing() -> None:
    call = answered().says(GREETING, then_wait=False, lasting_ms=4_000)
    call.hangs_up()
    assert call.record.effects(fx.HangUp)
    assert call.heard == []
    call.assert_replays()


# --- fax machines ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("hz", "ms"), [(2_100, 1_500), (1_100, 500)])
def test_a_fax_machine_is_hung_up_on_without_a_word(hz: int, ms: int) -> None:
    call = beep(answered().run_ms(1_600), hz=hz, ms=ms).until_quiet()
    assert [what for what, _ in decided(call)] == ["a fax answers"]
    assert [hung.reason for hung in call.record.effects(fx.HangUp)] == ["a fax machine has answered"]
    assert call.heard == []


# --- the carrier -----------------------------------------------------------------------------------------------------


def test_a_carrier_that_says_machine_late_stops_the_opening() -> None:
    call = answered().says("Anna Miller", then_wait=False).until(ev.PlayoutStarted)
    call.happens(ev.CarrierDetected("machine_end_beep")).until_quiet()
    assert decided(call)[-1] == ("a machine answers", "the carrier says machine_end_beep")
    assert call.heard[-1] == MESSAGE
    assert call.ended


def test_a_carrier_that_says_human_has_them_spoken_to_when_they_pause() -> None:
    call = answered().says("Hello", then_wait=False, lasting_ms=2_000)
    call.happens(ev.CarrierDetected("human"))
    assert call.until(ev.PlayoutStarted).now_ms >= 2_300
    assert [what for what, _ in decided(call)] == ["a person answers"]


@pytest.mark.parametrize("word", ["unknown", "not_sure", "silence", "no_beep_detected", "a new word"])
def test_a_carrier_that_does_not_know_decides_nothing(word: str) -> None:
    call = answered().happens(ev.CarrierDetected(word))
    assert decided(call) == []
    assert call.says("Hello?").heard == [OPENING]


def test_a_carrier_may_know_before_it_connects_us() -> None:
    call = ScriptedCall(FLOW, model=ScriptedModel({}))
    started = ev.CallStarted("en-US", "UTC", 0, parameters={"answered_by": "machine_end_beep"}, outbound=True)
    call.happens(started).happens(ev.LegAttached(LegId("l"), "test")).until_quiet()
    assert call.heard == [MESSAGE]


# --- tones -----------------------------------------------------------------------------------------------------------


def test_tones_are_listened_for_only_as_long_as_they_say_something() -> None:
    call = answered().says("Hello?")
    assert [listen.on for listen in call.record.effects(fx.ListenForTones)] == [True]
    call.run_ms(40_000).says("I am still here.")
    assert [listen.on for listen in call.record.effects(fx.ListenForTones)] == [True, False]
    beep(call).until_quiet()
    assert call.phase == "reach"

"""A caller who tells something long hears that they are listened to, and nobody counts it as a turn."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from voiceagent import (
    BeepHeard,
    Flow,
    HangUpAfter,
    MachineAnswers,
    Phase,
    Prompt,
    Requested,
    Say,
    Transition,
    Wait,
    YesNo,
)
from voiceagent.core import effects as fx
from voiceagent.core import events as ev
from voiceagent.core.ids import CallId
from voiceagent.core.state import Inherited
from voiceagent.runtime.inspection import inspect_journal
from voiceagent.runtime.journal_file import read_journal
from voiceagent.testing import RuntimeCall, ScriptedCall, ScriptedModel, say

STORY = (
    "Well it all began last Tuesday when I came home from work and found that the package was not there and… so I "
    "asked my neighbour who said that nobody had come by the whole day and… then I called the shop."
)


def _flow(**phase: Any) -> Flow:
    return Flow(
        name="desk",
        initial="complaint",
        prompts={"desk/complaint.md": Prompt("Listen to the complaint.")},
        phases=(
            Phase(
                name="complaint",
                prompt="desk/complaint.md",
                on_enter=Say(text="What happened?"),
                transitions=(Transition(on=Requested(name="end", description="Over."), to="end"),),
                **phase,
            ),
            Phase(name="end", on_enter=Say(text="Goodbye."), ends=HangUpAfter()),
        ),
    )


def _model() -> ScriptedModel:
    return ScriptedModel({"complaint": [say("I am sorry to hear that.")]})


def on_the_core(flow: Flow) -> ScriptedCall:
    return ScriptedCall(flow, model=_model(), inherited=Inherited(CallId("c1"))).start()


def asides(call: ScriptedCall | RuntimeCall) -> list[str]:
    return [speak.text for speak in call.record.effects(fx.Speak) if speak.kind == "backchannel"]


@pytest.fixture(params=["core", "runtime"])
def listening(request: pytest.FixtureRequest) -> Iterator[ScriptedCall | RuntimeCall]:
    flow = _flow(backchannels=("Mm-hm.", "I see."))
    if request.param == "core":
        yield on_the_core(flow)
        return
    with RuntimeCall(flow, model=_model()) as call:
        yield call.start()
        call.hangs_up()


def test_a_long_story_is_listened_to_out_loud_and_the_turn_goes_on(listening: ScriptedCall | RuntimeCall) -> None:
    call = listening
    call.says(STORY)
    assert asides(call) == ["Mm-hm."]  # the second pause comes too soon after the first
    decided = [note for note in call.record.effects(fx.NoteDecision) if note.what == "backchannel"]
    assert [note.reason for note in decided] == ["the caller goes on telling"]
    assert 350 <= decided[0].waited_ms <= 700
    assert call.heard == ["What happened?", "I am sorry to hear that."]
    assert call.record.effects(fx.StopPlayout) == []
    (asked,) = call.record.shown
    assert [message.role for message in asked.history] == ["agent", "caller"]
    (aside,) = [clause for clause in call.voice.said if clause.kind == "backchannel"]
    assert aside.words()


def test_it_is_no_turn_the_silence_after_it_is_the_callers() -> None:
    call = on_the_core(_flow(backchannels="usual"))
    call.says(STORY)
    told = asides(call)
    assert told == ["Mm-hm."]
    silent_since_ms = call.now_ms
    call.until(fx.Speak)
    assert call.record.effects(fx.Speak)[-1].text == "Are you still there?"
    assert call.now_ms - silent_since_ms <= 6_000


@pytest.mark.parametrize(
    "phase",
    [{}, {"backchannels": "usual", "sensitive": True}, {"backchannels": "usual", "expects": (YesNo(),)}],
)
def test_the_agent_is_silent_where_it_is_not_wanted(phase: dict[str, Any]) -> None:
    call = on_the_core(_flow(**phase))
    call.says(STORY)
    assert asides(call) == []


def test_a_short_sentence_gets_an_answer_and_nothing_else() -> None:
    call = on_the_core(_flow(backchannels="usual"))
    call.says("My package is not here and… I want it")
    assert asides(call) == []


def test_a_finished_sentence_gets_an_answer_and_nothing_else() -> None:
    call = on_the_core(_flow(backchannels="usual"))
    call.says("It all began last Tuesday when I came home from work and found that the package was not there at all.")
    assert asides(call) == []
    assert call.heard[-1] == "I am sorry to hear that."


def test_the_next_one_comes_when_the_caller_has_told_a_good_deal_more_and_is_another() -> None:
    call = on_the_core(_flow(backchannels="usual"))
    long = "and then I waited for the whole of the next morning at home with my old dog and my two small children and"
    call.says(f"{STORY[:107]}… {long}… {long}… that is it.")
    assert asides(call) == ["Mm-hm.", "I see."]


def test_in_a_spanish_phase_they_are_spanish() -> None:
    call = on_the_core(_flow(backchannels="usual", language="es"))
    call.says("Pues todo empezó el martes pasado cuando llegué a casa y vi que el paquete no estaba allí y… eso.")
    assert asides(call) == ["Ajá."]


def test_a_caller_who_goes_on_meanwhile_interrupts_nobody() -> None:
    call = on_the_core(_flow(backchannels=("Mm-hm, mm-hm, mm-hm, mm-hm.",)))
    call.says(STORY)
    assert len(asides(call)) == 1
    spoke_over = [event for _, event, _ in call.record.entries if isinstance(event, ev.PlayoutStopped)]
    assert spoke_over == []
    assert not any(note.what == "barge-in" for note in call.record.effects(fx.NoteDecision))


def test_who_inspects_the_call_sees_it_in_brackets_and_as_a_decision_and_not_as_the_answer(tmp_path: Path) -> None:
    with RuntimeCall(_flow(backchannels=("Mm-hm.",)), model=_model(), journals=tmp_path) as call:
        call.start().says(STORY)
        call.hangs_up()
    (journal,) = tmp_path.glob("*.jsonl")
    seen = inspect_journal(read_journal(journal))
    assert ("agent", "(Mm-hm.)") in seen.transcript
    assert [note.what for note in seen.floor] == ["backchannel", "turn over"]
    (turn,) = seen.turns
    assert turn.said.endswith("then I called the shop.")
    assert turn.answer_after_ms > 0


def test_nobody_shows_a_machine_that_they_listen() -> None:
    reach = Phase(
        name="reach", on_enter=Say(text="Good morning."), transitions=(Transition(on=MachineAnswers(), to="beep"),)
    )
    beep = Phase(
        name="beep",
        on_enter=Wait(),
        backchannels="usual",
        transitions=(Transition(on=BeepHeard(silence_ms=9_000), to="message"),),
    )
    message = Phase(name="message", on_enter=Say(text="Call us back."), ends=HangUpAfter())
    flow = Flow(name="reminder", initial="reach", phases=(reach, beep, message))
    call = ScriptedCall(flow, model=ScriptedModel({})).start(outbound=True, then_wait=False)
    call.says("Please leave a message after the tone.", then_wait=False)
    call.says(STORY, then_wait=False).run_ms(5_000)
    assert call.phase == "beep"
    assert asides(call) == []

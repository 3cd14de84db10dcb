"""Calls taken by a session, as they should be."""

from __future__ import annotations

from typing import Any

import pytest

from tests.runtime.desk_calls import GREETING, asks, desk, greeted, lines
from voiceagent import (
    Flow,
    Phase,
    Press,
    Say,
    TransferTo,
    tool,
)
from voiceagent.core import events as ev
from voiceagent.core.effects import AskModel, StopPlayout
from voiceagent.ports import Announcement
from voiceagent.testing import ask_for, say


def test_the_greeting_is_played_to_its_end(exchange: Any) -> None:
    (line,) = exchange.serve(greeted, desk(), lines=lines(say("Yes?")))
    (heard,) = line.all(ev.PlayoutReached)
    assert heard.finished
    assert heard.heard_ms == len(GREETING) * 65
    assert line.leg.played == {heard.utterance: heard.heard_ms * 8}


def test_what_the_caller_says_is_answered_aloud(exchange: Any) -> None:
    async def scenario(line: Any) -> None:
        await asks(line)
        await line.waits(2_000)

    (line,) = exchange.serve(scenario, desk(), lines=lines(say("It is ten.")), heard=["what time is it"])
    (transcript,) = line.all(ev.TranscriptFinal)
    assert transcript.text == "what time is it"
    (asked,) = line.all(AskModel)
    assert [message.text for message in asked.request.history] == [GREETING, "what time is it"]
    assert line.spoken == [GREETING, "It is ten."]
    assert line.all(ev.PlayoutReached)[-1].finished
    assert line.ended == "caller hung up"


def test_the_agent_hangs_up_once_its_last_words_were_heard(exchange: Any) -> None:
    async def scenario(line: Any) -> None:
        await asks(line)
        await line.waits(2_000)
        await line.over()

    (line,) = exchange.serve(scenario, desk(), lines=lines(ask_for("finish")), heard="that is all")
    assert line.spoken == [GREETING, "Goodbye."]
    assert line.ended == "phase end"
    assert line.leg.hang_ups[0] == "drained"


def _handing_over(announce: str | None = None, accept: str | None = None) -> Flow:
    flow = desk()
    human = Phase(
        name="end",
        on_enter=Say(text="I put you through."),
        ends=TransferTo(target="support", announce=announce, accept=accept),
    )
    return flow.model_copy(update={"phases": (flow.phases[0], human)})


def test_a_caller_is_handed_over_after_the_last_words(exchange: Any) -> None:
    async def scenario(line: Any) -> None:
        line.leg.targets = ("support",)
        await asks(line)
        await line.waits(2_000)
        await line.over()

    (line,) = exchange.serve(scenario, _handing_over(), lines=lines(ask_for("finish")), heard=["a person"])
    assert line.spoken[-1] == "I put you through."
    assert line.ended == "transferred to support"
    assert line.leg.announced is None
    assert "apology" not in line.leg.played


def test_a_caller_who_may_come_back_is_kept_a_place_until_somebody_has_taken_them(exchange: Any) -> None:
    async def scenario(line: Any) -> None:
        line.leg.targets, line.leg.callers_come_back = ("support",), True
        await asks(line)
        await line.waits(2_000)
        await line.over()

    flow = _handing_over(announce="A caller of the desk.", accept="Press 1.")
    (line,) = exchange.serve(scenario, flow, lines=lines(ask_for("finish")), heard=["a person"], complete=False)
    assert line.all(ev.HandedOver) == [ev.HandedOver("support")]
    assert line.leg.announced == Announcement("A caller of the desk.", "en-US", "Press 1.")
    assert line.leg.sorry == Announcement(flow.phrases.not_available, "en-US")
    assert line.all(ev.CallEnded) == [], "the call waits to be gone on with"


def test_a_caller_who_cannot_be_handed_over_is_told_so_and_so_is_the_record(exchange: Any, caplog: Any) -> None:
    async def scenario(line: Any) -> None:
        await asks(line)
        await line.waits(15_000)
        await line.over()

    (line,) = exchange.serve(scenario, _handing_over(), lines=lines(ask_for("finish")), heard=["a person"])
    assert line.ended == "transfer failed: no number is given for support"
    assert line.spoken[-1] == line.flow.phrases.not_available
    assert "call call-1: transfer failed" in caplog.text
    assert "Traceback" not in caplog.text


@pytest.mark.parametrize(
    "words",
    [
        {"announce": "A caller of the desk.", "accept": "Press {{ 1 // 0 }}."},
        {"announce": "A caller of {{ 1 // 0 }}.", "accept": "Press 1."},
    ],
)
def test_a_caller_goes_to_nobody_who_could_not_be_asked_whether_they_take_them(exchange: Any, words: Any) -> None:
    async def scenario(line: Any) -> None:
        line.leg.targets, line.leg.callers_come_back = ("support",), True
        await asks(line)
        await line.waits(15_000)
        await line.over()

    flow = _handing_over(**words)
    (line,) = exchange.serve(scenario, flow, lines=lines(ask_for("finish")), heard=["a person"])
    assert line.ended == "transfer failed: nobody could be asked whether they take the caller"
    assert line.spoken[-1] == line.flow.phrases.not_available


def test_keys_that_a_phase_begins_with_are_pressed_on_the_line(exchange: Any) -> None:
    flow = desk()
    menu = Phase(name="end", prompt="desk/talk.md", on_enter=Press(digits="12#"))
    (line,) = exchange.serve(
        asks,
        flow.model_copy(update={"phases": (flow.phases[0], menu)}),
        lines=lines(ask_for("finish"), say("Yes?")),
        heard=["press one two for the office"],
    )
    assert line.leg.pressed == "12#"


def test_a_caller_who_cuts_in_silences_the_agent(exchange: Any) -> None:
    async def scenario(line: Any) -> None:
        await line.waits(1_000)
        await line.speaks(700)
        assert line.leg.clears == 1
        await line.waits(1_500)

    (line,) = exchange.serve(scenario, desk(), lines=lines(say("Sure.")), heard=["please", "please stop"])
    (stopped,) = line.all(ev.PlayoutStopped)
    assert 1_000 < stopped.heard_ms < 2_000
    assert line.spoken == [GREETING, "Sure."]


@pytest.mark.parametrize(
    "moment",
    [
        ev.CallStarted,
        ev.LegAttached,
        ev.PhaseSwapped,
        ev.PlayoutStarted,
        ev.SpeechQueued,
        ev.PlayoutReached,
        ev.CallerStartedSpeaking,
        ev.CallerPaused,
        ev.TranscriptFinal,
        ev.ReplyStarted,
        ev.ReplyText,
        ev.ToolRequested,
        ev.ReplyFinished,
        ev.ToolFinished,
        ev.TimePassed,
    ],
)
def test_a_caller_may_hang_up_at_any_moment(exchange: Any, moment: type[ev.Event]) -> None:
    async def scenario(line: Any) -> None:
        await asks(line)
        await line.over()

    def first(line: Any) -> None:
        line.when[moment] = line.hangs_up

    model = lines(ask_for("look_up", words="Let me see."), say("Ten."))
    (line,) = exchange.serve(scenario, desk(look_up), lines=model, heard="what time is it", first=first)
    assert line.ended == "caller hung up"
    assert line.all(moment)


@tool
async def look_up() -> dict[str, object]:
    """Look something up."""
    return {"found": "ten"}


def test_two_calls_at_once_do_not_mix(exchange: Any) -> None:
    def echo(request: Any) -> Any:
        return say(f"You said {request.history[-1].text}.")

    async def scenario(first: Any, second: Any) -> None:
        await greeted(first)
        await first.presses("11")
        await second.presses("22")
        await first.waits(6_000)

    first, second = exchange.serve(scenario, desk(), lines=echo, calls=2)
    assert first.spoken == [GREETING, "You said 11."]
    assert second.spoken == [GREETING, "You said 22."]
    assert b"22." not in b"".join(line for entry in first.journal.entries for line in entry.effects)
    assert first.leg.played != second.leg.played or first.leg is not second.leg


@pytest.mark.parametrize(("words", "stops"), [("No wait, stop.", True), ("Uh-huh.", False)])
def test_the_first_words_said_into_the_agents_decide_whether_it_falls_silent(
    exchange: Any, words: str, *, stops: bool
) -> None:
    async def scenario(line: Any) -> None:
        await line.waits(300)
        await line.speaks(760)
        assert [partial.text for partial in line.all(ev.TranscriptPartial)] == [words]
        assert bool(line.all(StopPlayout)) is stops
        line.hangs_up()
        await line.over()

    exchange.serve(scenario, desk(), lines=lines(), heard=[words, words])

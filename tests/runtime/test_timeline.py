"""The timeline of a call, read off its journal."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from tests.runtime.conftest import FRAME_MS
from tests.runtime.desk_calls import GREETING, asks, desk, greeted, lines
from tests.runtime.test_inspection import Recorded
from voiceagent import tool
from voiceagent.core import events as ev
from voiceagent.core.events import PlayoutStopped
from voiceagent.core.ids import UtteranceId
from voiceagent.runtime.timeline import Span, Timeline, drawing_of, timeline_of
from voiceagent.testing import ask_for, say


@tool(effect="read")
async def look_up() -> str:
    """Look something up."""
    return "ten"


def on(timeline: Timeline, track: str) -> list[Span]:
    return [span for span in timeline.spans if span.track == track]


def test_everybody_is_heard_where_they_spoke(exchange: Any) -> None:
    (line,) = exchange.serve(asks, desk(), lines=lines(say("It is ten.")), heard=["What time is it?"])
    timeline = timeline_of(line.journal)
    (phase,) = on(timeline, "phase")
    assert (phase.text, phase.from_ms, phase.until_ms) == ("talk", 0, timeline.duration_ms)
    greeting, answer = on(timeline, "agent")
    assert greeting.text == GREETING
    assert abs(greeting.until_ms - greeting.from_ms - len(GREETING) * 65) <= FRAME_MS
    (said,) = on(timeline, "caller")
    assert said.text == "What time is it?"
    assert abs(said.until_ms - said.from_ms - 600) <= 40
    assert greeting.until_ms <= said.from_ms < said.until_ms < answer.from_ms
    assert [span.from_ms for span in timeline.spans] == sorted(span.from_ms for span in timeline.spans)
    assert timeline.spans[0] == phase


def test_a_clause_that_has_been_heard_is_marked_where_it_ended(exchange: Any) -> None:
    (line,) = exchange.serve(asks, desk(), lines=lines(say("It is ten.")), heard=["What time is it?"])
    timeline = timeline_of(line.journal)
    marks = [point.at_ms for point in timeline.points if point.kind == "mark"]
    assert [span.until_ms for span in on(timeline, "agent")] == [marks[-2], marks[-1]]


def test_a_turn_is_told_stage_by_stage(exchange: Any) -> None:
    (line,) = exchange.serve(asks, desk(), lines=lines(say("It is ten.")), heard=["What time is it?"])
    timeline = timeline_of(line.journal)
    (turn,) = timeline.turns
    (said,) = on(timeline, "caller")
    assert turn.ended_ms == said.until_ms
    stages = [turn.decided_ms, turn.asked_ms, turn.first_words_ms, turn.answered_ms]
    assert None not in stages
    assert stages == sorted(stages, key=lambda at_ms: at_ms or 0)
    assert turn.answered_ms == on(timeline, "agent")[1].from_ms


def test_what_was_not_heard_is_told_apart_from_what_was(exchange: Any) -> None:
    async def scenario(line: Any) -> None:
        await line.waits(1_000)
        await line.speaks(700)
        await line.waits(1_500)

    (line,) = exchange.serve(scenario, desk(), lines=lines(say("Sure.")), heard=["please", "please stop"])
    cut, _ = on(timeline_of(line.journal), "agent")
    assert GREETING.startswith(cut.text)
    assert cut.note == f"not heard: {GREETING[len(cut.text) :].strip()}"
    assert cut.until_ms - cut.from_ms < len(GREETING) * 65


def test_a_tool_takes_as_long_as_it_ran_and_says_how_it_ended(exchange: Any) -> None:
    def model(request: Any) -> Any:
        return say("Ten.") if any(message.role == "tool" for message in request.history) else ask_for("look_up")

    (line,) = exchange.serve(asks, desk(look_up), lines=model, heard="What time is it?")
    timeline = timeline_of(line.journal)
    ran, *_ = on(timeline, "tool")
    assert (ran.text, ran.note) == ("look_up", "finished")
    assert on(timeline, "caller")[0].until_ms < ran.from_ms <= ran.until_ms < on(timeline, "agent")[1].from_ms


def test_keys_and_decisions_stand_at_their_moment(exchange: Any) -> None:
    async def scenario(line: Any) -> None:
        await greeted(line)
        await line.presses("7")
        await line.waits(3_000)

    (line,) = exchange.serve(scenario, desk(), lines=lines(say("Seven.")))
    points = timeline_of(line.journal).points
    assert [point.text for point in points if point.kind == "key"] == ["7"]
    assert any(point.text.startswith("turn over after") for point in points if point.kind == "decision")


def test_a_journal_that_breaks_off_is_drawn_as_far_as_it_goes(exchange: Any) -> None:
    (line,) = exchange.serve(asks, desk(), lines=lines(say("It is ten.")), heard=["What time is it?"])
    entries = line.journal.entries
    for length in range(len(entries)):
        timeline = timeline_of(replace(line.journal, entries=entries[:length]))
        assert all(span.from_ms <= span.until_ms <= timeline.duration_ms for span in timeline.spans)


def test_what_was_heard_is_measured_in_the_language_of_the_phase(tmp_path: Path) -> None:
    call = Recorded(tmp_path / "c.jsonl")
    call.enters_spanish_phase(0)
    call.agent_begins("a1", 0, 3_000, "Usted debe 1999 euros.")
    call.happens(2_200, PlayoutStopped(UtteranceId("a1"), 2_200, exact=True))
    (said,) = on(timeline_of(call.journal()), "agent")
    assert (said.text, said.note) == ("Usted debe", "not heard: 1999 euros.")


def test_whoever_is_only_listened_to_waits_for_the_answer_all_the_same(tmp_path: Path) -> None:
    call = Recorded(tmp_path / "c.jsonl")
    call.caller_speaks(0, 6_000, "Well, it all began")
    call.agent_speaks("b1", 6_350, 6_700, "Mm-hm.", "backchannel")
    call.agent_speaks("a1", 8_000, 9_000, "I see.")
    timeline = timeline_of(call.journal())
    assert [turn.answered_ms for turn in timeline.turns] == [8_000]
    assert [(span.track, span.text) for span in timeline.spans[1:]] == [("filler", "Mm-hm."), ("agent", "I see.")]


def test_words_that_may_still_change_are_shown_until_there_are_those_that_do_not(exchange: Any) -> None:
    (line,) = exchange.serve(asks, desk(), lines=lines(say("It is ten.")), heard=["What time is it?"])
    (began,) = [entry for entry in line.journal.entries if isinstance(entry.event, ev.CallerStartedSpeaking)]
    drawing = drawing_of(line.journal.header, line.journal.entries[0].at_ms)

    def told(*events: ev.Event) -> str:
        for event in events:
            drawing.event(replace(began, event=event))
        return on(drawing.timeline(), "caller")[-1].text

    utterance = began.event.utterance
    assert told(began.event, ev.TranscriptPartial(utterance, "What time")) == "What time"
    assert told(ev.TranscriptFinal(utterance, "What time is it?")) == "What time is it?"
    assert told(ev.TranscriptPartial(utterance, "What time")) == "What time is it?"

"""The simulated world: speech to the word, transcripts bit by bit, models and tools that fail as real ones do."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from itertools import pairwise

import pytest
from pydantic import JsonValue

from voiceagent.core import effects as fx
from voiceagent.core import events as ev
from voiceagent.errors import ScriptError, ToolFailed, VoiceFailed
from voiceagent.ports import ReplyPiece, SentText
from voiceagent.spec.flow import Flow
from voiceagent.testing import (
    After,
    Faults,
    ModelRule,
    RuledModel,
    Schedule,
    ScriptedCall,
    ScriptedModel,
    Timing,
    ask_for,
    say,
)
from voiceagent.testing.agent_voice import MS_PER_CHARACTER

LONG = "We are open from nine in the morning until six in the evening, every day but Sunday."
CODE = ask_for("check_member", '{"code": "⟨code⟩"}')

Place = Callable[..., ScriptedCall]


@pytest.fixture
def place(desk: Flow) -> Place:
    def place_call(*lines: list[ReplyPiece], **more: object) -> ScriptedCall:
        model = ScriptedModel({"hello": [CODE], "desk": lines or [say("Yes?")]})
        more = {"model": model, **more}
        tools = {"check_member": {"member": True}, "opening_hours": {"until": "six"}, "look_left": {"side": "left"}}
        return ScriptedCall(desk, tools={**tools, **more.pop("tools", {})}, **more).start()  # pyright: ignore[reportArgumentType] - what `ScriptedCall` takes

    return place_call


# --- the caller's words ----------------------------------------------------------------------------------------------


def test_words_come_bit_by_bit_while_they_are_said(place: Place) -> None:
    call = place().says("one two three four").says("could you please tell me when you are open")
    partials = [event for _, event, _ in call.journal if isinstance(event, ev.TranscriptPartial)]
    said = [event.text for event in partials if event.utterance == "c2"]
    assert said[0] == "could"
    assert all(longer.startswith(shorter) for shorter, longer in pairwise(said))
    assert "could you please tell me when you are open".startswith(said[-1])


def test_no_digit_of_a_secret_is_seen_in_a_partial(place: Place) -> None:
    call = place().says("my code is one two three four")
    partials = [event for _, event, _ in call.journal if isinstance(event, ev.TranscriptPartial)]
    assert partials
    assert {event.text for event in partials} == {""}


def test_an_ellipsis_is_a_pause_to_breathe(place: Place) -> None:
    call = place().says("one two … three four")
    assert len(call.record.at(ev.CallerPaused)) == 2
    assert call.phase == "desk"


# --- the agent's words -----------------------------------------------------------------------------------------------


def test_a_caller_interrupts_at_the_very_word(place: Place) -> None:
    call = place(say("Yes?"), say(LONG), say("Sorry.")).says("one two three four")
    call.says("When are you open?", then_wait=False).until_heard("nine in the morning")
    said = next(clause for clause in call.voice.said if clause.text.startswith("We are open"))
    assert call.now_ms == said.starts_ms + len("We are open from nine in the morning") * MS_PER_CHARACTER
    call.says("No wait, stop that please.")
    heard = next(words for words in call.heard if words.startswith("We are open"))
    assert heard == call.voice.heard(said.starts_ms, said.ends_ms)
    assert "Sunday" not in heard


def test_what_is_never_said_is_told(place: Place) -> None:
    call = place().says("one two three four")
    with pytest.raises(ScriptError, match="did not say 'bananas'"):
        call.until_heard("bananas")
    with pytest.raises(ScriptError, match="no filler"):
        call.until_speaking(100, filler=True)
    with pytest.raises(ScriptError, match="'book' was not started"):
        call.until_tool("book")


def test_words_that_were_queued_and_dropped_are_not_heard(place: Place) -> None:
    call = place(say("Yes?"), say(LONG), say("Sorry.")).says("one two three four")
    call.says("When are you open?", then_wait=False).until_heard("nine in the morning")
    call.says("No wait, stop that please.", then_wait=False)
    with pytest.raises(ScriptError, match="every day but Sunday"):
        call.until_heard("every day but Sunday")


# --- the model -------------------------------------------------------------------------------------------------------


class _Failing:
    """A model that breaks off after its first words, with an error or without one."""

    def __init__(self, error: Exception | None) -> None:
        self._error = error

    async def reply(self, request: fx.ModelRequest) -> AsyncIterator[ReplyPiece]:
        yield SentText("Let me see. ")
        if self._error is not None:
            raise self._error

    async def close(self) -> None:
        pass


@pytest.mark.parametrize(
    ("error", "reason"), [(VoiceFailed("503"), "503"), (None, "the model broke off")], ids=["fails", "ends early"]
)
def test_a_model_that_fails_makes_a_reply_that_failed(place: Place, error: Exception | None, reason: str) -> None:
    call = place(model=_Failing(error)).says("one two three four", then_wait=False).until(ev.ReplyFailed)
    assert [event.reason for _, event, _ in call.journal if isinstance(event, ev.ReplyFailed)] == [reason]
    call.assert_replays()


def test_a_model_that_fails_at_once_and_again_leads_to_a_person(place: Place) -> None:
    def fail(_: fx.ModelRequest) -> list[ReplyPiece]:
        raise VoiceFailed("503")

    assert place(model=fail).says("one two three four").phase == "person"


def test_an_error_that_is_no_failure_of_a_voice_is_not_hidden(place: Place) -> None:
    with pytest.raises(ZeroDivisionError):
        place(model=_Failing(ZeroDivisionError())).says("one two three four")


def test_a_model_follows_the_first_rule_that_fits(place: Place) -> None:
    model = RuledModel(
        [
            ModelRule(tuple(CODE), phase="hello"),
            ModelRule(tuple(ask_for("opening_hours")), caller_says="when|hours"),
            ModelRule(tuple(say("Until six.")), after_tool="opening_hours"),
            ModelRule(tuple(say("What else?"))),
        ]
    )
    call = place(model=model).says("one two three four").says("When are you open?")
    assert call.heard[-1] == "Until six."
    assert call.says("Thanks").heard[-1] == "What else?"


def test_rules_of_which_none_fits_are_a_mistake_of_the_script(place: Place) -> None:
    with pytest.raises(ScriptError, match=r"no rule of the model fits in phase 'hello' after caller: ⟨code#1"):
        place(model=RuledModel([ModelRule(tuple(say("Hm.")), phase="desk")])).says("one two three four")


def test_the_newest_secret_of_a_name_can_be_passed_by_that_name_alone(place: Place) -> None:
    seen: list[JsonValue] = []

    def check(arguments: Mapping[str, JsonValue]) -> JsonValue:
        seen.append(arguments["code"])
        return {"member": True}

    place(tools={"check_member": check}).says("one two three four")
    assert seen == ["1234"]


# --- faults ----------------------------------------------------------------------------------------------------------


def test_each_fault_is_the_event_that_it_stands_for(place: Place) -> None:
    faults: dict[str, tuple[Sequence[int], type[ev.Event]]] = {
        "model_fails": ([1], ev.ReplyFailed),
        "model_breaks_off": ([2], ev.ReplyFailed),
        "transcript_fails": ([1], ev.TranscriptFailed),
        "synthesis_fails": ([2], ev.SpeechFailed),
        "swap_fails": ([2], ev.SwapFailed),
    }
    for name, (numbers, event) in faults.items():
        call = place(faults=Faults(**{name: numbers})).says("one two three four")  # pyright: ignore[reportArgumentType] - the names are its fields
        assert len(call.record.at(event)) == 1, name
        call.assert_replays()


def test_a_model_that_breaks_off_has_said_something_before(place: Place) -> None:
    call = place(say(f"Well. {LONG}"), faults=Faults(model_breaks_off=[2])).says("one two three four")
    broken = next(event.reply for _, event, _ in call.journal if isinstance(event, ev.ReplyFailed))
    said = [event.text for _, event, _ in call.journal if isinstance(event, ev.ReplyText) and event.reply == broken]
    assert said == ["Well."]


def test_a_reply_that_never_begins_is_given_up_by_the_core(place: Place) -> None:
    call = place(faults=Faults(model_stalls=[1])).says("one two three four")
    assert call.record.at(ev.ReplyStarted)[0] - call.record.at(fx.AskModel)[0] >= 15_000


def test_a_transcript_that_never_comes_is_given_up_by_the_core(place: Place) -> None:
    call = place(faults=Faults(transcript_stalls=[1])).says("one two three four")
    assert call.record.at(ev.TranscriptFinal) == []
    assert call.heard[-1].startswith("Sorry")


def test_a_secret_that_is_gone_fails_the_tool_and_not_the_test(place: Place) -> None:
    lines = ask_for("check_member", '{"code": "⟨code#9: 4 digits⟩"}')
    model = ScriptedModel({"hello": [lines, say("Once more?")]})
    call = place(model=model, tools={"check_member": lambda _: {"member": True}}).says("one two three four")
    failed = [event for _, event, _ in call.journal if isinstance(event, ev.ToolFailed)]
    assert "no longer there" in failed[0].reason


def test_a_tool_fails_in_the_way_it_is_told_to(place: Place) -> None:
    slow = After(400, ToolFailed("it took too long"), "timed_out")
    call = place(ask_for("look_left"), say("I cannot."), tools={"look_left": slow}).says("one two three four")
    failed = next(event for _, event, _ in call.journal if isinstance(event, ev.ToolFailed))
    assert (failed.kind, failed.reason) == ("timed_out", "it took too long")


def test_what_is_called_off_while_it_comes_is_ignored_and_the_call_replays(place: Place) -> None:
    came_all_the_same: list[int] = []
    for seed in range(1, 60):
        call = place(say("One. Two. Three. Four. Five."), timing=Timing(token_ms=30), schedule=Schedule(seed))
        call.says("one two three four", then_wait=False).until(ev.ReplyText).hangs_up()
        came_all_the_same += [seed for swap in call.schedule.taken if not swap.late]
        call.assert_replays()
    assert came_all_the_same


# --- what the runtime does too ---------------------------------------------------------------------------------------


def test_a_voice_is_noticed_and_known_to_be_over_as_late_as_a_detector_knows_it(place: Place) -> None:
    call = place().says("one two three four")
    (started_ms,), (paused_ms,) = call.record.at(ev.CallerStartedSpeaking), call.record.at(ev.CallerPaused)
    ((began_ms, ended_ms),) = call.caller.spells
    assert (started_ms - began_ms, paused_ms - ended_ms) == (60, 200)
    assert [event.at_ms for _, event, _ in call.journal if isinstance(event, ev.CallerPaused)] == [ended_ms]


def test_a_tool_that_takes_longer_than_it_may_is_given_up(place: Place) -> None:
    call = place(ask_for("look_left"), say("Hm."), tools={"look_left": After(90_000, {"side": "left"})})
    call.says("one two three four").says("Look left")
    (started_ms,) = [at for at, _, out in call.journal if any(isinstance(o.effect, fx.StartTool) for o in out)][1:]
    failed = [(at, event) for at, event, _ in call.journal if isinstance(event, ev.ToolFailed)]
    assert [(at - started_ms, event.kind) for at, event in failed] == [(10_000, "timed_out")]


def test_a_fetch_that_takes_longer_than_it_may_is_given_up(place: Place) -> None:
    call = place(tools={"opening_hours": After(90_000, {"until": "six"})}).says("one two three four")
    (fetch,) = call.record.effects(fx.Fetch)
    call.run_ms(20_000)
    assert call.record.at(ev.PrefetchFailed) == [fetch.deadline_ms]
    assert call.record.at(ev.PrefetchFinished) == []

"""B6: a call of ten hours, of endless replies, tools and tokens: each limit ends it in words, and is on record once."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from pydantic import JsonValue

from voiceagent import Flow, HangUpAfter, Phase, Prompt, Requested, Say, Transition, tool
from voiceagent.core import effects as fx
from voiceagent.ports import ReplyDone, ReplyPiece, SentText
from voiceagent.spec.flow import Limits
from voiceagent.testing import ScriptedCall, ScriptedModel, ask_for, say

LAST_WORDS = "We have reached the time limit of this call. Please call again. Goodbye."


@tool
async def weather() -> dict[str, object]:
    """What the weather is like."""
    raise AssertionError("scripted tools never run")


def agent(**limits: int) -> Flow:
    return Flow(
        name="desk",
        initial="talk",
        limits=Limits(**limits),
        prompts={"talk.md": Prompt(text="Be kind.")},
        phases=(
            Phase(
                name="talk",
                prompt="talk.md",
                on_enter=Say(text="Hello."),
                tools=(weather,),
                transitions=(Transition(on=Requested(name="finish", description="They are done."), to="end"),),
            ),
            Phase(name="end", on_enter=Say(text="Goodbye."), ends=HangUpAfter()),
        ),
    )


def talked_to_death(flow: Flow, lines: Sequence[Sequence[ReplyPiece]], *, lasting_ms: int = 2_000) -> ScriptedCall:
    """Talk until the agent has had enough of it, for ten hours at most."""
    tools: dict[str, JsonValue] = {"weather": {"sun": True}}
    call = ScriptedCall(flow, model=ScriptedModel({"talk": lines}), tools=tools).start()
    while not call.ended:
        assert call.now_ms < 36_000_000, "nobody has ended the call"
        call.says("And what else can you tell me about it?", lasting_ms=lasting_ms)
    call.assert_replays()
    return call


def on_record(call: ScriptedCall) -> list[str]:
    return [problem.reason for problem in call.record.effects(fx.ReportProblem) if problem.what == "limit reached"]


@pytest.mark.parametrize(
    ("limits", "reason"),
    [
        ({"max_call_ms": 60_000}, "time limit of the call"),
        ({"max_turns": 5}, "turn limit of the call"),
        ({"max_tokens": 5_000}, "token limit of the call"),
        ({"max_spoken_characters": 300}, "speech limit of the call"),
        ({"max_model_requests": 5}, "model limit of the call"),
    ],
)
def test_a_call_that_has_used_up_a_limit_is_told_so_and_ended(limits: dict[str, int], reason: str) -> None:
    answer = [SentText("It will be sunny all day."), ReplyDone(input_tokens=900, output_tokens=100)]
    call = talked_to_death(agent(**limits), [answer])
    assert on_record(call) == [reason]
    assert call.heard[-1] == LAST_WORDS
    assert call.record.effects(fx.HangUp) == [fx.HangUp(reason, drain=True)]
    assert len(call.record.effects(fx.AskModel)) <= 30


def test_a_call_of_ten_hours_is_over_after_half_of_one() -> None:
    call = talked_to_death(agent(max_turns=1_000_000), [say("I see.")], lasting_ms=20_000)
    assert on_record(call) == ["time limit of the call"]
    assert call.now_ms < 31 * 60_000


def test_tools_beyond_their_limit_are_refused_in_words_and_it_is_on_record_once() -> None:
    call = talked_to_death(agent(max_tool_calls=3, max_turns=6), [ask_for("weather"), say("That is all I know.")] * 9)
    assert len(call.record.effects(fx.StartTool)) == 3
    assert on_record(call) == ["tool limit of the call", "turn limit of the call"]
    refused = [message for request in call.record.shown for message in request.history if message.failed]
    assert {message.text for message in refused} == {'"no more functions can be used in this call"'}


def test_what_a_call_costs_is_counted_even_where_the_caller_interrupts_every_reply() -> None:
    flow = agent(max_model_requests=4)
    model = ScriptedModel({"talk": [say("Let me tell you a very long story about the weather, sit down.")]})
    call = ScriptedCall(flow, model=model).start()
    while not call.ended:
        assert call.now_ms < 600_000
        call.says("Tell me something else", then_wait=False).run_ms(3_500)
    assert len(call.record.effects(fx.AskModel)) <= 4
    assert on_record(call) == ["model limit of the call"]


FOR_EVER = {
    "a function of another phase": ask_for("transfer"),
    "the same function": ask_for("weather"),
    "a function that there is not": ask_for("finish_early"),
    "a function with other words before it": [SentText("Let me see. "), *ask_for("transfer")],
}


@pytest.mark.parametrize("asked", FOR_EVER.values(), ids=FOR_EVER)
def test_a_model_that_asks_for_the_same_for_ever_is_stopped_and_the_caller_told(asked: Sequence[ReplyPiece]) -> None:
    call = talked_to_death(agent(max_tool_calls=1), [asked] * 200)
    assert on_record(call)[-1] == "model limit of one turn"
    assert call.heard[-1] == LAST_WORDS
    assert len(call.record.effects(fx.AskModel)) == 21
    assert len(call.record.effects(fx.StartTool)) <= 1


def test_a_caller_who_goes_on_talking_is_not_counted_against() -> None:
    call = talked_to_death(agent(max_model_requests_of_turn=2, max_turns=30), [say("I see.")])
    assert on_record(call) == ["turn limit of the call"]

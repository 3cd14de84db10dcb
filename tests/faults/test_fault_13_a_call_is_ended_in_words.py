"""Fault 13, the call's side of a deploy: whoever is still talking when the server stops hears a goodbye."""

from __future__ import annotations

from voiceagent import Flow, HangUpAfter, Phase, Prompt, Requested, Say, Transition
from voiceagent.core import effects as fx
from voiceagent.core.events import ServerStops
from voiceagent.testing import ScriptedCall, ScriptedModel, ask_for, say

GOODBYE = "I am sorry, I have to end this call now. Please call again in a moment. Goodbye."
DESK = Flow(
    name="desk",
    initial="talk",
    prompts={"talk.md": Prompt(text="Be kind.")},
    phases=(
        Phase(
            name="talk",
            prompt="talk.md",
            on_enter=Say(text="Hello."),
            transitions=(Transition(on=Requested(name="finish", description="They are done."), to="end"),),
        ),
        Phase(name="end", on_enter=Say(text="It was a pleasure to talk to you, and goodbye."), ends=HangUpAfter()),
    ),
)


def placed(*lines: object) -> ScriptedCall:
    return ScriptedCall(DESK, model=ScriptedModel({"talk": lines})).start()  # pyright: ignore[reportArgumentType] - lines of a model


def test_a_caller_hears_goodbye_and_the_line_is_let_go_when_it_was_heard() -> None:
    call = placed(say("I see."))
    call.says("I want to know something").happens(ServerStops()).until_quiet()
    assert call.heard[-1] == GOODBYE
    assert call.record.effects(fx.HangUp) == [fx.HangUp("server stops", drain=True)]
    assert call.ended
    call.assert_replays()


def test_a_caller_in_the_middle_of_a_sentence_hears_it_too() -> None:
    call = placed(say("I see."))
    call.says("I want to know something that takes long to say", lasting_ms=6_000, then_wait=False).run_ms(2_000)
    call.happens(ServerStops()).until_quiet()
    assert call.heard[-1] == GOODBYE
    assert call.ended


def test_a_call_that_says_goodbye_by_itself_is_left_to_it() -> None:
    call = placed(ask_for("finish"))
    call.says("That was all", then_wait=False).until_heard("It was a pleasure")
    call.happens(ServerStops()).until_quiet()
    assert GOODBYE not in call.heard
    assert call.record.effects(fx.HangUp) == [fx.HangUp("phase end", drain=True)]

"""Handing a caller over: whoever takes them is told about them, and if nobody does the agent has them again."""

from __future__ import annotations

from typing import Any

import pytest

from voiceagent import Facts, Flow, HangUpAfter, Phase, Say, TransferFails, TransferTo, Transition
from voiceagent.core import effects as fx
from voiceagent.core import events as ev
from voiceagent.core.conversation import Conversation
from voiceagent.core.ids import CallId, Epoch, LegId
from voiceagent.core.state import Inherited

LEG = LegId("leg1")


class Town(Facts):
    town: str = "Bath"


def flow_of(
    *transitions: Transition, announce: str | None = "A caller from {{ town }}.", accept: str | None = None
) -> Flow:
    return Flow(
        name="line",
        initial="human",
        facts=Town,
        phases=(
            Phase(
                name="human",
                on_enter=Say(text="I put you through."),
                ends=TransferTo(target="support", announce=announce, accept=accept),
                transitions=transitions,
            ),
            Phase(name="nobody", on_enter=Say(text="Nobody is in today. Goodbye."), ends=HangUpAfter()),
        ),
    )


ON_FAILURE = Transition(on=TransferFails(), to="nobody", say="There is no answer.")


class Call:
    def __init__(self, flow: Flow) -> None:
        self.conversation = Conversation(flow, Inherited(CallId("call")))
        self.events: list[tuple[ev.Event, int]] = []
        self.effects: list[Any] = []
        self.now_ms = 0

    def happens(self, event: ev.Event) -> None:
        self.now_ms += 100
        self.events.append((event, self.now_ms))
        for out in self.conversation.handle(event, self.now_ms):
            self.effects.append(out.effect)

    def goes_on_until_heard(self) -> None:
        """Have every phase put in force and every sentence heard, until nothing more is asked for."""
        done = 0
        while done < len(self.effects):
            effect = self.effects[done]
            done += 1
            match effect:
                case fx.SwapPhase() if effect.epoch == self.conversation.state.epoch:
                    self.happens(ev.PhaseSwapped(Epoch(effect.epoch)))
                case fx.Speak(utterance, clause, _, _, last):
                    self.happens(ev.PlayoutReached(utterance, clause, 500, finished=last))
                case _:
                    pass
        self.effects, effects = [], self.effects
        self.said = [effect.text for effect in effects if isinstance(effect, fx.Speak)]
        self.done = [effect for effect in effects if isinstance(effect, fx.Transfer | fx.HangUp)]


def handing_over(flow: Flow) -> Call:
    call = Call(flow)
    call.happens(ev.CallStarted("en-US", "UTC", 1_700_000_000_000))
    call.happens(ev.LegAttached(LEG, "script"))
    call.goes_on_until_heard()
    return call


def resumed(call: Call) -> Call:
    """The call in another session, made of what was recorded."""
    again = Call(call.conversation.state.flow)
    for event, at_ms in call.events:
        again.conversation.handle(event, at_ms)
    again.now_ms = call.now_ms + 30_000
    again.happens(ev.CallResumed(30_000))
    again.happens(ev.LegAttached(LegId("leg2"), "script"))
    again.goes_on_until_heard()
    return again


def test_whoever_takes_the_caller_is_told_what_the_flow_says_with_what_is_known() -> None:
    assert handing_over(flow_of()).done == [fx.Transfer("support", "A caller from Bath.")]
    assert handing_over(flow_of(announce=None)).done == [fx.Transfer("support", None)]
    asked = handing_over(flow_of(accept="Press 1 to talk to {{ town }}."))
    assert asked.done == [fx.Transfer("support", "A caller from Bath.", "Press 1 to talk to Bath.")]


def test_a_question_that_cannot_be_filled_in_is_not_the_same_as_none() -> None:
    unasked = handing_over(flow_of(accept="Press {{ 12 // (town | length - 4) }}."))
    assert unasked.done == [fx.Transfer("support", "A caller from Bath.", "")]


def test_nobody_is_asked_about_a_caller_of_whom_they_are_told_nothing():
    with pytest.raises(ValueError, match="say in `announce` who the caller is"):
        TransferTo(target="support", accept="Press 1.")


@pytest.mark.parametrize("left_first", [False, True])
def test_a_caller_whom_nobody_takes_is_with_the_agent_again_where_the_flow_says(left_first: bool) -> None:
    call = handing_over(flow_of(ON_FAILURE))
    if left_first:
        call.happens(ev.LegLost(LEG, "agent hung up"))
    call.happens(ev.HandedOver("support"))
    assert call.conversation.state.suspended
    again = resumed(call)
    assert again.said == ["There is no answer.", "Nobody is in today. Goodbye."]
    assert again.done == [fx.HangUp("phase nobody", drain=True)]


def test_without_a_word_of_the_flow_the_caller_is_told_that_the_call_cannot_go_on() -> None:
    call = handing_over(flow_of())
    call.happens(ev.HandedOver("support"))
    again = resumed(call)
    assert again.said == [again.conversation.state.flow.phrases.not_available]
    assert again.done == [fx.HangUp("transfer failed: nobody has taken the call for support", drain=True)]


def test_a_transfer_that_comes_to_nothing_at_once_leads_on_in_the_same_connection() -> None:
    call = handing_over(flow_of(ON_FAILURE))
    call.happens(ev.TransferFailed("support", "no number"))
    call.goes_on_until_heard()
    assert call.said == ["There is no answer.", "Nobody is in today. Goodbye."]


def test_a_caller_who_hung_up_before_it_failed_is_told_nothing() -> None:
    call = handing_over(flow_of(ON_FAILURE))
    call.happens(ev.LegLost(LEG, "caller hung up"))
    call.happens(ev.TransferFailed("support", "the caller has gone"))
    call.goes_on_until_heard()
    assert (call.said, call.done) == ([], [fx.HangUp("the caller has gone", drain=False)])


def test_what_nobody_asked_for_hands_nobody_over() -> None:
    call = Call(flow_of(ON_FAILURE))
    call.happens(ev.CallStarted("en-US", "UTC", 1_700_000_000_000))
    call.happens(ev.LegAttached(LEG, "script"))
    call.happens(ev.HandedOver("support"))
    call.happens(ev.TransferFailed("support", "no number"))
    call.goes_on_until_heard()
    assert call.said == ["I put you through."]
    assert call.done == [fx.Transfer("support", "A caller from Bath.")]

"""Fault 16: what a flow knows of a call is gone with the call, also where that is broken off and never ends here."""

from __future__ import annotations

import gc

from voiceagent import Flow, HangUpAfter, Phase, Pressed, Reprompts, Say, Transition
from voiceagent.core.conversation import Conversation
from voiceagent.core.events import CallStarted, LegAttached, LegLost
from voiceagent.core.ids import CallId, LegId
from voiceagent.core.state import Inherited

FLOW = Flow(
    name="desk",
    initial="talk",
    phases=(
        Phase(
            name="talk",
            on_enter=Say(text="Hello."),
            no_match=Reprompts(phrases=("Pardon?",)),
            transitions=(Transition(on=Pressed(digits="9"), to="end"),),
        ),
        Phase(name="end", on_enter=Say(text="Goodbye."), ends=HangUpAfter()),
    ),
)


def places_in_flows() -> int:
    gc.collect()
    return sum(type(each).__name__ == "_Position" for each in gc.get_objects())


def break_off_a_call() -> None:
    conversation = Conversation(FLOW, Inherited(CallId("CA0")))
    conversation.handle(CallStarted(locale="en", time_zone="UTC", unix_ms=0), 0)
    conversation.handle(LegAttached(LegId("l1"), "twilio"), 0)
    conversation.handle(LegLost(LegId("l1"), "connection lost", may_return=True), 1_000)
    assert conversation.state.suspended
    assert not conversation.state.ended


def test_a_hundred_calls_that_are_broken_off_leave_no_place_in_their_flow() -> None:
    break_off_a_call()  # whatever is made once
    before = places_in_flows()
    for _ in range(100):
        break_off_a_call()
    assert places_in_flows() == before

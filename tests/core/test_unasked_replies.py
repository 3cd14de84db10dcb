"""Replies that a speech model begins by itself, while one is asked for: the caller is answered once."""

from __future__ import annotations

import pytest

from voiceagent.core import effects as fx
from voiceagent.core import events as ev
from voiceagent.core.conversation import Conversation
from voiceagent.core.ids import CallId, Epoch, LegId, ReplyId, UtteranceId
from voiceagent.core.state import Inherited
from voiceagent.spec.flow import Flow
from voiceagent.spec.phase import HangUpAfter, Phase, Requested, Transition
from voiceagent.spec.prompt import Prompt
from voiceagent.spec.tool import tool

ASKED, UNASKED = ReplyId("r1"), ReplyId("u1")


@tool()
async def opening_hours() -> dict[str, str]:
    """When the desk is open."""
    raise AssertionError("nobody runs it here")


class Desk:
    """A conversation with a speech model that has been asked to begin."""

    def __init__(self) -> None:
        bye = Requested(name="bye", description="The caller is done.")
        flow = Flow(
            name="desk",
            initial="desk",
            prompts={"desk/desk.md": Prompt("You are at the desk.")},
            phases=(
                Phase(
                    name="desk",
                    prompt="desk/desk.md",
                    tools=(opening_hours,),
                    transitions=(Transition(on=bye, to="end"),),
                ),
                Phase(name="end", ends=HangUpAfter()),
            ),
        )
        self._conversation = Conversation(flow, Inherited(CallId("call"), voice_speaks=True, replies_unasked=True))
        self._now_ms = 0
        self.happens(ev.CallStarted("en-US", "UTC", 1_700_000_000_000))
        self.happens(ev.LegAttached(LegId("leg1"), "script"))
        self.happens(ev.PhaseSwapped(Epoch(1)))

    def happens(self, *events: ev.Event) -> list[fx.Effect]:
        """Return what is done about these, one after the other."""
        self._now_ms += 10
        return [out.effect for event in events for out in self._conversation.handle(event, self._now_ms)]

    def at(self, now_ms: int, event: ev.Event) -> list[fx.Effect]:
        """The same, at this moment."""
        self._now_ms = now_ms
        return [out.effect for out in self._conversation.handle(event, now_ms)]


@pytest.fixture
def desk() -> Desk:
    return Desk()


def begun(reply: ReplyId) -> ev.ReplyStarted:
    return ev.ReplyStarted(reply, Epoch(1))


def said(reply: ReplyId, text: str) -> tuple[ev.Event, ...]:
    return (ev.ReplyText(reply, text), ev.ReplyFinished(reply))


def test_a_reply_that_begins_by_itself_comes_in_place_of_the_one_that_was_asked_for(desk: Desk) -> None:
    effects = desk.happens(begun(UNASKED))
    assert fx.CancelReply(ASKED) in effects
    effects = desk.happens(*said(UNASKED, "Hello."))
    assert [effect.reply for effect in effects if isinstance(effect, fx.PlayReply)] == [UNASKED]
    assert [effect for effect in effects if isinstance(effect, fx.AskModel)] == []


def test_one_that_begins_when_nobody_wants_it_any_more_is_not_heard(desk: Desk) -> None:
    desk.happens(begun(UNASKED))
    assert desk.happens(begun(ASKED)) == [fx.CancelReply(ASKED)]


def test_a_result_that_the_reply_in_its_place_did_not_know_of_is_still_told(desk: Desk) -> None:
    asked = ev.ToolRequested(ASKED, "q1", "opening_hours", {}, None)
    effects = desk.happens(begun(ASKED), asked, ev.ReplyFinished(ASKED))
    (call,) = [effect.call for effect in effects if isinstance(effect, fx.StartTool)]
    effects = desk.happens(ev.ToolFinished(call, {"from": "9"}))
    assert [effect.reply for effect in effects if isinstance(effect, fx.AskModel)] == ["r2"]
    assert fx.CancelReply(ReplyId("r2")) in desk.happens(begun(UNASKED))
    effects = desk.happens(*said(UNASKED, "Yes?"))
    (again,) = [effect for effect in effects if isinstance(effect, fx.AskModel)]
    assert "tool_result" in [message.role for message in again.request.history]
    assert again.reply == "r3"


def test_a_reply_that_does_not_begin_is_asked_for_three_seconds_after_the_voice_however_late_its_words(
    desk: Desk,
) -> None:
    desk.happens(begun(ASKED), *said(ASKED, "Hello."))
    utterance = UtteranceId("c1")
    desk.at(5_000, ev.CallerStartedSpeaking(utterance, 5_000))
    desk.at(6_200, ev.CallerPaused(utterance, 6_000))
    desk.at(7_400, ev.TranscriptFinal(utterance, "Are you open today?", in_audio=True))
    assert [effect for effect in desk.at(8_990, ev.TimePassed()) if isinstance(effect, fx.AskModel)] == []
    assert [type(effect) for effect in desk.at(9_010, ev.TimePassed())].count(fx.AskModel) == 1

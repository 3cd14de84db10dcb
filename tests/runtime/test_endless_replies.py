"""Models that do not come to an end: what they have said is bounded, and the caller gets a word in."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, cast

import pytest

from tests.runtime.desk_agent import BOTH, Swapping, call_to, desk, rules
from voiceagent.core import effects as fx
from voiceagent.core import events as ev
from voiceagent.core.ids import Epoch, ReplyId, UtteranceId
from voiceagent.language import language_for
from voiceagent.ports import MULAW_8K, ModelReplyAudio, ModelReplyBegan, ModelReplyText, SessionSetup
from voiceagent.runtime.model_replies import ModelReplies
from voiceagent.runtime.model_session import LiveSession
from voiceagent.testing import After, RuntimeCall
from voiceagent.testing.scripted_model import ModelRule, RuledModel, say

MOST_CLAUSES = 200
ENDLESS = ModelRule(tuple(say(" ".join(["So it goes on."] * 1_000))), caller_says="story")


def cut_off(call: RuntimeCall) -> list[str]:
    return [problem.what for problem in call.record.effects(fx.ReportProblem) if problem.what == "reply cut off"]


@pytest.mark.parametrize("swap", BOTH)
def test_a_speech_model_that_goes_on_and_on_is_cut_off_and_can_be_interrupted(swap: Swapping) -> None:
    call, provider = call_to(desk(), swap, model=rules(ENDLESS))
    with call:
        call.start().says("Tell me the story", then_wait=False).until(fx.CancelReply).run_ms(1_000)
        texts = [event for _, event, _ in call.journal if isinstance(event, ev.ReplyText)]
        assert len(texts) == MOST_CLAUSES
        assert provider.sessions[0].log[-1] == "cancel"
        call.says("When are you open?")
        assert cut_off(call) == ["reply cut off"]
        assert call.really_heard.endswith("From nine to five.")


def test_a_text_model_that_goes_on_and_on_is_cut_off_and_can_be_interrupted() -> None:
    rest = [ModelRule(tuple(say("From nine to five.")), caller_says="open")]
    with RuntimeCall(desk(), model=RuledModel([ENDLESS, *rest]), tools={"opening_hours": After(1, {})}) as call:
        call.start().says("Tell me the story", then_wait=False).until(fx.CancelReply).run_ms(1_000)
        said = [speak for speak in call.record.effects(fx.Speak) if speak.text == "So it goes on."]
        assert len(said) == MOST_CLAUSES
        call.says("When are you open?")
        assert call.really_heard.endswith("From nine to five.")


@dataclass
class Session:
    """A session that only has to let itself be told to stop."""

    cancelled: int = 0

    def cancel(self) -> None:
        self.cancelled += 1


@dataclass
class Played:
    """What was to be played."""

    replies: list[Any] = field(default_factory=list[Any])

    def play(self, reply: Any) -> None:
        self.replies.append(reply)


def a_reply_of(minutes: int) -> tuple[Session, list[ev.Event]]:
    """Return what comes of a reply of one clause that is so long."""
    posted: list[ev.Event] = []
    setup = SessionSetup(Epoch(1), "", "", (), None, MULAW_8K, MULAW_8K)
    live, session = LiveSession("reception", setup, MULAW_8K), Session()
    live.session = cast("Any", session)
    replies = ModelReplies(MULAW_8K, cast("Any", Played()), language_for("en-US"), posted.append)
    replies.happened(live, ModelReplyBegan("one"))
    replies.happened(live, ModelReplyText("one", "Well, "))
    for _ in range(minutes * 60):
        replies.happened(live, ModelReplyAudio("one", b"\x10" * 1_000 * MULAW_8K.bytes_per_ms))
    replies.play(ReplyId("u1"), UtteranceId("u1"), from_ms=0)
    return session, posted


@pytest.mark.parametrize("minutes", [9, 30])
def test_audio_without_an_end_is_kept_for_ten_minutes_and_no_longer(minutes: int) -> None:
    session, posted = a_reply_of(minutes)
    too_long = minutes > 10
    assert session.cancelled == too_long
    assert posted.count(ev.ReplyFinished(ReplyId("u1"))) == too_long


def test_a_session_has_one_reply_to_begin_and_what_it_begins_besides_is_its_own() -> None:
    posted: list[ev.Event] = []
    setup = SessionSetup(Epoch(1), "", "", (), None, MULAW_8K, MULAW_8K)
    live = LiveSession("reception", setup, MULAW_8K)
    replies = ModelReplies(MULAW_8K, cast("Any", Played()), language_for("en-US"), posted.append)
    live.asked = ReplyId("r2")
    for own_id in ("one", "two"):
        replies.happened(live, ModelReplyBegan(own_id))
    assert posted == [ev.ReplyStarted(ReplyId("r2"), Epoch(1)), ev.ReplyStarted(ReplyId("u1"), Epoch(1))]

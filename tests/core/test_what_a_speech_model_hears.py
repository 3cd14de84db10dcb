"""A voice that speaks into the words of a speech model, which hears it by itself."""

from __future__ import annotations

import pytest

from voiceagent.core import effects as fx
from voiceagent.core import events as ev
from voiceagent.core.conversation import Conversation
from voiceagent.core.ids import CallId, Epoch, LegId, UtteranceId
from voiceagent.core.state import Inherited
from voiceagent.spec.flow import Flow
from voiceagent.spec.phase import HangUpAfter, Phase, Requested, Transition
from voiceagent.spec.prompt import Prompt

VOICE = UtteranceId("c1")
BYE = Transition(on=Requested(name="bye", description="The caller is done."), to="end")
DESK = Flow(
    name="desk",
    initial="desk",
    prompts={"desk/desk.md": Prompt("You are at the desk.")},
    phases=(
        Phase(name="desk", prompt="desk/desk.md", transitions=(BYE,)),
        Phase(name="end", ends=HangUpAfter()),
    ),
)


class Line:
    """A call in which a speech model is in the middle of what it says."""

    def __init__(self) -> None:
        self._conversation = Conversation(DESK, Inherited(CallId("call"), voice_speaks=True, replies_unasked=True))
        self._now_ms = 0
        self.done: list[fx.Effect] = []
        self.happens(ev.CallStarted("en-US", "UTC", 1_700_000_000_000))
        self.happens(ev.LegAttached(LegId("leg1"), "script"))
        self.happens(ev.PhaseSwapped(Epoch(1)))
        (asked,) = [effect for effect in self.done if isinstance(effect, fx.AskModel)]
        self.happens(ev.ReplyStarted(asked.reply, Epoch(1)))
        self.happens(ev.ReplyText(asked.reply, "Your account was opened nine years ago."))
        self.happens(ev.ReplyFinished(asked.reply))
        (played,) = [effect for effect in self.done if isinstance(effect, fx.PlayReply)]
        self.happens(ev.PlayoutStarted(played.utterance, self._now_ms))

    def happens(self, event: ev.Event) -> None:
        self.done += [out.effect for out in self._conversation.handle(event, self._now_ms)]

    def waits(self, ms: int) -> None:
        end_ms = self._now_ms + ms
        while (due_ms := self._conversation.deadline_ms) is not None and due_ms <= end_ms:
            self._now_ms = max(self._now_ms, due_ms)
            self.happens(ev.TimePassed())
        self._now_ms = end_ms

    def somebody_speaks(self, *, for_ms: int) -> None:
        self.happens(ev.CallerStartedSpeaking(VOICE, self._now_ms))
        self.waits(for_ms)

    @property
    def barge_ins(self) -> list[int]:
        """How long the voice had been on, each time it interrupted."""
        return [e.waited_ms for e in self.done if isinstance(e, fx.NoteDecision) and e.what == "barge-in"]


@pytest.fixture
def line() -> Line:
    return Line()


def test_an_okay_that_the_model_hears_is_neither_waited_for_nor_recognized_again(line: Line) -> None:
    line.somebody_speaks(for_ms=300)
    line.happens(ev.TranscriptPartial(VOICE, "Okay."))
    line.waits(1_200)
    assert line.barge_ins == [500]
    assert [effect for effect in line.done if isinstance(effect, fx.TranscribeSoFar)] == []


def test_a_faint_voice_that_the_model_hears_interrupts_like_any_other(line: Line) -> None:
    line.somebody_speaks(for_ms=400)
    line.happens(ev.VoiceFoundFaint(VOICE, 16))
    line.waits(1_000)
    assert line.barge_ins == [500]

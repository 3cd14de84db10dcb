"""A model session is replaced in a quiet moment, and not at all where the call is over sooner."""

from __future__ import annotations

import pytest

from voiceagent.core import effects as fx
from voiceagent.core import events as ev
from voiceagent.core.conversation import Conversation
from voiceagent.core.ids import CallId, Epoch, LegId
from voiceagent.core.state import Inherited
from voiceagent.spec.flow import Flow
from voiceagent.spec.phase import Ask, HangUpAfter, HostSignals, Phase, Say, Transition
from voiceagent.spec.prompt import Prompt


class Desk:
    """A conversation with a speech model whose session nears its end, at the desk or while goodbye is said."""

    def __init__(self, *, goodbye: Phase) -> None:
        flow = Flow(
            name="desk",
            initial="desk",
            prompts={"desk.md": Prompt("You are at the desk."), "bye.md": Prompt("Say goodbye.")},
            phases=(
                Phase(name="desk", prompt="desk.md", on_enter=Say(text="Hello."), transitions=()),
                goodbye,
            ),
            transitions=(Transition(on=HostSignals(name="bye"), to="goodbye"),),
        )
        self._conversation = Conversation(flow, Inherited(CallId("call"), voice_speaks=True, replies_unasked=True))
        self._now_ms = 0
        self.happens(ev.CallStarted("en-US", "UTC", 1_700_000_000_000))
        self.happens(ev.LegAttached(LegId("leg1"), "script"))
        self.happens(ev.PhaseSwapped(Epoch(1)))

    def happens(self, event: ev.Event) -> list[fx.Effect]:
        self._now_ms += 10
        return [out.effect for out in self._conversation.handle(event, self._now_ms)]

    def says_goodbye(self) -> None:
        self.happens(ev.HostEvent("bye"))
        self.happens(ev.PhaseSwapped(Epoch(2)))

    def later(self, ms: int) -> list[fx.Effect]:
        """Return what is done as soon as something is due, within so many milliseconds."""
        due_ms = self._conversation.deadline_ms
        if due_ms is None or due_ms > self._now_ms + ms:
            return []
        self._now_ms = max(due_ms, self._now_ms)
        return [out.effect for out in self._conversation.handle(ev.TimePassed(), self._now_ms)]


BY_THE_MODEL = Phase(name="goodbye", prompt="bye.md", on_enter=Ask(), ends=HangUpAfter())
BY_US = Phase(name="goodbye", on_enter=Say(text="Goodbye."), ends=HangUpAfter())
LEAVES_TIME = ev.VoiceExpiring(60_000, "the session is nearly over")
AT_ONCE = ev.VoiceExpiring(5_000, "the session is nearly over")
LOST = ev.VoiceExpiring(0, "the connection broke")


def renewed(effects: list[fx.Effect]) -> bool:
    return any(isinstance(effect, fx.RenewVoice) for effect in effects)


def test_at_the_desk_a_quiet_moment_is_enough() -> None:
    assert renewed(Desk(goodbye=BY_US).happens(LEAVES_TIME))


@pytest.mark.parametrize("goodbye", [BY_THE_MODEL, BY_US], ids=["by the model", "by us"])
def test_a_session_that_outlasts_the_goodbye_is_not_renewed(goodbye: Phase) -> None:
    desk = Desk(goodbye=goodbye)
    desk.says_goodbye()
    assert not renewed(desk.happens(LEAVES_TIME))
    assert not renewed(desk.later(30_000))


@pytest.mark.parametrize("ends", [AT_ONCE, LOST], ids=["about to end", "lost"])
def test_a_session_that_ends_before_the_model_has_said_goodbye_is_renewed_at_once(ends: ev.VoiceExpiring) -> None:
    desk = Desk(goodbye=BY_THE_MODEL)
    desk.says_goodbye()
    assert renewed(desk.happens(ends))


@pytest.mark.parametrize("ends", [AT_ONCE, LOST], ids=["about to end", "lost"])
def test_nobody_needs_a_session_while_we_say_goodbye_ourselves(ends: ev.VoiceExpiring) -> None:
    desk = Desk(goodbye=BY_US)
    desk.says_goodbye()
    assert not renewed(desk.happens(ends))
    assert not renewed(desk.later(30_000))


def test_what_was_wanted_at_the_desk_is_not_wanted_any_more_while_goodbye_is_said() -> None:
    desk = Desk(goodbye=BY_US)
    desk.happens(ev.CallerStartedSpeaking("c1", 20))
    assert not renewed(desk.happens(LEAVES_TIME))
    desk.says_goodbye()
    assert not renewed(desk.later(30_000))

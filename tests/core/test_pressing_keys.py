"""Keys towards the far side: a phase begins with them where a machine has answered that asks for some."""

from __future__ import annotations

import pytest

from voiceagent import Facts, Flow, HangUpAfter, Phase, Press, Say, TimedOut, Transition
from voiceagent.core import effects as fx
from voiceagent.core import events as ev
from voiceagent.core.conversation import Conversation
from voiceagent.core.ids import CallId, LegId
from voiceagent.core.state import Inherited


class Reached(Facts):
    extension: str = "30"
    name: str = "the office"


def placed(digits: str) -> Conversation:
    """A call that begins with keys."""
    menu = Phase(
        name="menu",
        on_enter=Press(digits=digits),
        timeout_ms=5_000,
        transitions=(Transition(on=TimedOut(), to="bye"),),
    )
    bye = Phase(name="bye", on_enter=Say(text="Goodbye."), ends=HangUpAfter())
    return Conversation(Flow(name="line", initial="menu", facts=Reached, phases=(menu, bye)), Inherited(CallId("call")))


def begun(call: Conversation) -> list[fx.Effect]:
    """What is asked for once the first phase is in force."""
    call.handle(ev.CallStarted("en-US", "UTC", 1_700_000_000_000), 0)
    call.handle(ev.LegAttached(LegId("leg1"), "script"), 0)
    return [out.effect for out in call.handle(ev.PhaseSwapped(call.state.epoch), 100)]


@pytest.mark.parametrize(("digits", "pressed"), [("12#", "12#"), ("{{ extension }}#", "30#")])
def test_a_phase_begins_with_its_keys_and_not_with_words(digits: str, pressed: str) -> None:
    assert begun(placed(digits)) == [fx.SendDigits(pressed)]


def test_what_is_no_keys_is_not_pressed_and_the_record_says_so() -> None:
    assert begun(placed("{{ name }}")) == [fx.ReportProblem("keys", "phase menu: a fact in `press` is no keys")]


def test_a_call_that_goes_on_elsewhere_does_not_press_them_again() -> None:
    call = placed("12#")
    begun(call)
    call.handle(ev.LegLost(LegId("leg1"), "network", may_return=True), 200)
    call.handle(ev.CallResumed(1_000), 1_200)
    again = [*call.handle(ev.LegAttached(LegId("leg2"), "script"), 1_300)]
    again += call.handle(ev.PhaseSwapped(call.state.epoch), 1_400)
    assert not [out for out in again if isinstance(out.effect, fx.SendDigits)]

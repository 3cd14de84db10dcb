"""An agent that is changed while its author talks to it: the call takes the change when it enters a phase."""

from __future__ import annotations

from voiceagent.core import effects as fx
from voiceagent.core import events as ev
from voiceagent.core.conversation import Conversation
from voiceagent.core.ids import CallId, Epoch, LegId
from voiceagent.core.state import Inherited
from voiceagent.spec.facts import Facts
from voiceagent.spec.flow import Flow, Limits
from voiceagent.spec.phase import HangUpAfter, HostSignals, Phase, Say, Transition
from voiceagent.spec.tool import tool


class Known(Facts):
    ticket: str | None = None
    name: str | None = None


class OtherFacts(Facts):
    ticket: int | None = None
    name: str | None = None


class FewerFacts(Facts):
    name: str | None = None


@tool(grants="repairs", sets=("ticket", "name"))
async def find(number: str) -> dict[str, object]:
    """Find a repair."""
    raise AssertionError("nothing runs in a test of decisions")


def agent(
    *,
    greeting: str = "Hello.",
    second: str = "Anything else?",
    facts: type[Facts] = Known,
    names: tuple[str, ...] = ("welcome", "repair"),
    finds: bool = True,
    limits: Limits | None = None,
) -> Flow:
    """An agent with two phases that the host's signals lead back and forth between."""
    sayings = {"welcome": greeting, "repair": second}
    phases = [
        Phase(
            name=name,
            on_enter=Say(text=sayings[name]),
            tools=(find,) if finds else (),
            transitions=tuple(
                Transition(on=HostSignals(name=f"to {other}"), to=other) for other in names if other in sayings
            ),
        )
        for name in names
        if name in sayings
    ]
    ending = Phase(name="goodbye", on_enter=Say(text="Goodbye."), ends=HangUpAfter())
    out = Transition(on=HostSignals(name="to goodbye"), to="goodbye")
    return Flow(
        name="workshop",
        initial=names[0],
        phases=(*phases, ending),
        facts=facts,
        transitions=(out,),
        limits=limits or Limits(),
    )


class Call:
    """A call that has greeted its caller."""

    def __init__(self, flow: Flow) -> None:
        self.conversation = Conversation(flow, Inherited(CallId("call-1")))
        self.effects: list[fx.Effect] = []
        self.now_ms = 0
        self.happens(ev.CallStarted("en-US", "UTC", 0, None, None)).happens(ev.LegAttached(LegId("leg-1"), "test"))
        self.enters()

    def happens(self, event: ev.Event) -> Call:
        self.now_ms += 100
        self.effects += [out.effect for out in self.conversation.handle(event, self.now_ms)]
        return self

    def enters(self) -> Call:
        return self.happens(ev.PhaseSwapped(self.conversation.state.epoch))

    def moves(self, to: str) -> Call:
        return self.happens(ev.HostEvent(f"to {to}")).enters()

    def changes(self, version: str, flow: Flow, *, before: str = "v1") -> Call:
        self.conversation.prepare(version, flow)
        return self.happens(ev.AgentChanged(version, before, flow.sha256, flow.prompt_hashes))

    def knows(self, **facts: object) -> Call:
        self.conversation.state.facts = self.conversation.state.facts.with_values(facts)
        self.conversation.state.grants["repairs"] = None
        return self

    @property
    def said(self) -> list[str]:
        return [effect.text for effect in self.effects if isinstance(effect, fx.Speak)]

    @property
    def used(self) -> list[tuple[str, tuple[str, ...]]]:
        return [(effect.version, effect.forgotten) for effect in self.effects if isinstance(effect, fx.UseVersion)]

    @property
    def problems(self) -> list[str]:
        return [effect.reason for effect in self.effects if isinstance(effect, fx.ReportProblem)]


def test_a_changed_phase_is_as_it_is_now_from_the_next_entry_on() -> None:
    call = Call(agent()).changes("v2", agent(second="What else?"))
    assert (call.said, call.used) == (["Hello."], []), "the phase that the call is in goes on as it began"
    call.moves("repair")
    assert call.said == ["Hello.", "What else?"]
    assert call.used == [("v2", ())]


def test_of_two_changes_before_an_entry_the_later_holds() -> None:
    call = Call(agent()).changes("v2", agent(second="What else?")).changes("v3", agent(second="And now?"), before="v2")
    assert call.moves("repair").said[-1] == "And now?"
    assert call.used == [("v3", ())]


def test_a_phase_is_entered_by_the_change_once_and_then_goes_on_with_it() -> None:
    call = Call(agent()).changes("v2", agent(greeting="Good day.", second="What else?"))
    assert call.moves("repair").moves("welcome").said[-1] == "Good day."
    assert len(call.used) == 1


def test_the_phase_that_the_call_is_in_may_be_removed_and_goes_on_until_it_is_left() -> None:
    call = Call(agent()).changes("v2", agent(names=("repair",), second="What else?"))
    assert call.problems == ["welcome goes on as it was until the call leaves it"]
    assert call.conversation.phase == "welcome"
    assert call.moves("repair").said[-1] == "What else?"


def test_a_phase_that_is_removed_is_still_entered_as_it_was_where_the_call_goes_there() -> None:
    call = Call(agent()).changes("v2", agent(names=("welcome",), greeting="Good day."))
    call.moves("repair")
    assert call.said[-1] == "Anything else?"
    assert call.problems == ["repair is entered as it was before the agent was changed"]
    assert call.moves("welcome").said[-1] == "Good day."
    assert call.used == [("v2", ())]


def test_what_is_known_goes_over_and_what_the_change_does_not_know_is_forgotten_in_words() -> None:
    fits = Call(agent()).knows(ticket="4711", name="Ann").changes("v2", agent(facts=OtherFacts)).moves("repair")
    assert fits.conversation.state.facts.known() == {"ticket": 4711, "name": "Ann"}
    assert fits.used == [("v2", ())]
    fewer = Call(agent()).knows(ticket="4711", name="Ann").changes("v2", agent(facts=FewerFacts, finds=False))
    fewer.moves("repair")
    assert fewer.conversation.state.facts.known() == {"name": "Ann"}
    assert list(fewer.conversation.state.grants) == []
    assert fewer.used == [("v2", ("ticket", "repairs"))]
    other = Call(agent()).knows(ticket="blue").changes("v2", agent(facts=OtherFacts)).moves("repair")
    assert other.used == [("v2", ("ticket",))]


def test_a_phase_that_cannot_be_entered_leads_back_to_one_that_only_the_version_before_has() -> None:
    call = Call(agent()).changes("v2", agent(names=("repair",), second="What else?"))
    call.happens(ev.HostEvent("to repair")).happens(ev.SwapFailed(call.conversation.state.epoch, "no session"))
    assert call.conversation.phase == "welcome"
    assert [version for version, _ in call.used] == ["v2", "v1"]
    call.enters().moves("repair")
    assert call.said[-1] == "What else?"


def test_a_call_keeps_the_limits_that_it_began_with() -> None:
    call = Call(agent()).changes("v2", agent(limits=Limits(max_turns=1))).moves("repair")
    assert call.conversation.state.flow.limits.max_turns == Limits().max_turns


def test_why_a_phase_was_left_is_told_by_the_version_that_was_left() -> None:
    call = Call(agent()).changes("v2", agent(names=("welcome",))).moves("goodbye")
    weighed = call.conversation.weighed[-1]
    assert weighed.taken is not None
    assert any(edge is weighed.taken for edge in weighed.flow.transitions_of(weighed.phase))
    assert weighed.flow is not call.conversation.state.flow


def test_a_version_that_nobody_has_at_hand_changes_nothing() -> None:
    call = Call(agent()).happens(ev.AgentChanged("v9", "v1", "", {})).moves("repair")
    assert call.said[-1] == "Anything else?"
    assert call.problems == ["v9 is not at hand: the agent is as it was"]
    assert call.conversation.state.epoch == Epoch(2)

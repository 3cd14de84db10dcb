"""Grants can be lost again: who is asked once more for a PIN and gets it wrong is nobody from then on."""

from __future__ import annotations

from voiceagent.spec.facts import Facts
from voiceagent.spec.flow import Flow
from voiceagent.spec.guided import GuidedDialogue
from voiceagent.spec.phase import HangUpAfter, Phase, Requested, Transition
from voiceagent.spec.prefetch import Prefetch
from voiceagent.spec.tool import tool
from voiceagent.spec.verify import verify


class CallerFacts(Facts):
    right: bool = False
    name: str | None = None
    trusted: bool = False


@tool(grants="account", grants_when="right", sets=("right", "name"))
async def check_pin(pin: str) -> dict[str, object]:
    """Check the caller's PIN."""
    return {}


@tool(grants="account", grants_when="trusted", sets=("trusted",))
async def check_voice() -> dict[str, object]:
    """Check the caller's voice."""
    return {}


@tool(requires="account")
async def balance() -> dict[str, object]:
    """Look up the balance."""
    return {}


def leave(to: str, **changes: object) -> Transition:
    return Transition.model_validate(
        {"on": Requested(name=f"go_{to}", description="They want to."), "to": to, **changes}
    )


BYE = Phase(name="bye", ends=HangUpAfter())
DOOR = Phase(
    name="door",
    guided=GuidedDialogue(),
    tools=(check_pin,),
    transitions=(Transition(on=check_pin, to="limits", when={"right": True}), leave("bye")),
)
ACCOUNT = Phase(name="account", guided=GuidedDialogue(), tools=(balance,), transitions=(leave("bye"),))


def flow(*ways_on: Transition, tools: tuple[object, ...] = (check_pin,)) -> Flow:
    """A caller who has shown who they are is asked again in `limits`, before they go on."""
    limits = Phase.model_validate(
        {"name": "limits", "guided": GuidedDialogue(), "tools": tools, "transitions": (*ways_on, leave("bye"))}
    )
    return Flow(name="bank", initial="door", facts=CallerFacts, phases=(DOOR, limits, ACCOUNT, BYE))


def told(flow: Flow) -> list[str]:
    return [f"{finding.code} {'→'.join(finding.path)}" for finding in verify(flow)]


def test_a_way_out_of_the_phase_that_asks_again_leads_to_no_tool_that_needs_the_answer() -> None:
    (finding,) = verify(flow(leave("account")))
    assert (finding.code, finding.path) == ("grant-missing", ("door", "limits", "account"))
    assert finding.message.endswith("it is asked for again in 'limits', and the answer may be no")


def test_nor_does_the_success_of_asking_without_a_look_at_the_answer() -> None:
    assert told(flow(Transition(on=check_pin, to="account"))) == ["grant-missing door→limits→account"]


def test_a_yes_on_the_way_gives_it_back() -> None:
    assert told(flow(Transition(on=check_pin, to="account", when={"right": True}))) == []
    assert told(flow(leave("account", when={"right": True}))) == []


def test_a_yes_of_before_says_nothing_where_another_tool_may_have_said_no() -> None:
    way_on = leave("account", when={"right": True})
    assert told(flow(way_on, tools=(check_voice,))) == ["grant-missing door→limits→account"]
    assert told(flow(leave("account", when={"right": True, "trusted": True}), tools=(check_voice,))) == [
        "grant-missing door→limits→account"
    ]


def test_nothing_is_fetched_on_a_way_on_which_it_may_be_lost() -> None:
    fetching = Transition(on=check_pin, to="bye", prefetch=(Prefetch(tool=balance),))
    there = leave("account", when={"right": True})
    assert told(flow(fetching, there)) == ["prefetch-early door→limits→bye"]

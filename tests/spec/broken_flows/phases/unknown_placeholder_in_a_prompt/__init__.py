"""A prompt names a fact that the flow does not declare."""

# breaks unknown-placeholder

from voiceagent import Facts, Flow, GuidedDialogue, HangUpAfter, Phase, Requested, Say, Transition, tool


class LibraryFacts(Facts):
    recognised: bool = False
    reader_id: str | None = None
    branch: str | None = None


@tool(grants="loans", grants_when="recognised", sets=("recognised", "reader_id"))
async def check_card(card: str) -> dict[str, object]:
    """Check a reader's card."""
    return {}


BYE = Phase(name="bye", on_enter=Say(text="Goodbye."), ends=HangUpAfter())
DONE = Transition(on=Requested(name="finish", description="They are done."), to="bye")
IN = Transition(on=check_card, to="desk", when={"recognised": True})
CARD = Phase(name="card", guided=GuidedDialogue(), tools=(check_card,), transitions=(IN,))
DESK = Phase(name="desk", prompt="unknown_placeholder_in_a_prompt/desk.md", transitions=(DONE,))

FLOW = Flow(name="library", initial="card", phases=(CARD, DESK, BYE), facts=LibraryFacts)
